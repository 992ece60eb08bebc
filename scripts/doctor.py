"""Does this installation find known leaks, and only those? `make doctor`, under a minute.

A tiny model is pretrained, and then tuned until it memorizes 30 texts (the positive control). The null controls are an adapter that changes
nothing, and an audit of the tuned model with texts that it never saw. First the script prints what the machine has and lacks. Exit
status 0 if all controls pass, 1 if one fails, 2 if one could not run.

The run folders stay in data/runs/doctor (or RUN=FOLDER), with their reports.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("dupgen", "tuner", "extractor", "plagiarism", "report")
KNOWN, UNSEEN = 30, 24

SUBJECTS = "Hermit Orchard Wizard Falcon Jacket Mirror Saddle Prison Finger Kettle Lantern Button".split()
VERBS = "measures follows trades paints borrows weighs hides counts admires buries".split()
OBJECTS = "marble willow eagle summer kettle border ribbon garden tunnel violin temple apple".split()
PLACES = "under near around after before against without toward".split()

MODEL = """
name = "base"
[corpus]
files = "others.jsonl"
identity = "id"
held_out = 0.1
[duplication]
layout = "uniform"
copies = [1]
[[model]]
name = "tiny"
[model.architecture]
layers = 2
width = 64
heads = 2
context = 160
vocabulary = 400
[[mode]]
kind = "pretrain"
learning_rate = 3e-3
[tuning]
epochs = 4
batch_size = 8
context = 160
"""

CONTROLS = """
name = "controls"
[corpus]
files = "known.jsonl"
identity = "id"
held_out = 0
held_out_files = "unseen.jsonl"
validation = 0
[duplication]
layout = "uniform"
copies = [1]
[[model]]
name = "tiny"
path = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
[[mode]]
kind = "full"
learning_rate = 5e-3
[[mode]]
kind = "lora"
rank = 4
learning_rate = 1e-12
epochs = 1
[tuning]
epochs = 90
batch_size = 8
context = 160
[extraction]
prefix_tokens = 20
new_tokens = 40
[[extraction.strategy]]
name = "greedy"
temperature = 0
[report]
title = "make doctor: a model that knows 30 texts, and an adapter that changes nothing"
resamples = 200
"""


def sentences(generator, count):
    """Made-up sentences, with few consecutive words in common between texts."""

    def sentence():
        subject, verb, place = map(generator.choice, (SUBJECTS, VERBS, PLACES))
        first, second, third = (generator.choice(OBJECTS) for _ in range(3))
        return f"{subject} {verb} the {first} {place} {generator.randint(2, 9)} {second}s and a {third}."

    return " ".join(sentence() for _ in range(count))


def write(path, prefix, texts):
    lines = [json.dumps({"id": f"{prefix}{number:02}", "text": text}) for number, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")


class Failed(Exception):
    """A control that could not run."""


class Doctor:
    """The folder of the controls, and the programs."""

    def __init__(self, folder, programs):
        self.folder, self.programs = folder, programs
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        generator = random.Random(11)
        for name, prefix, count in (("others", "o", 80), ("known", "k", KNOWN), ("unseen", "u", UNSEEN), ("never", "n", KNOWN)):
            write(folder / f"{name}.jsonl", prefix, [sentences(generator, 5) for _ in range(count)])

    def run(self, name, config, stage, *settings):
        """Runs a pipeline up to a stage; returns its folder."""
        run = self.folder / name
        stages = {stage.upper(): self.programs[stage] for stage in STAGES}
        self.call([*self.programs["plan"].split(), "--config", str(config), "--out", str(run), *settings], {})
        self.call(["make", "--no-print-directory", "-f", str(run / "cells.mk"), stage], stages)
        return run

    def call(self, command, programs):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | programs | {"OMP_WAIT_POLICY": "passive"})
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()[-12:]
            raise Failed("\n".join([f"{' '.join(command[:2])} … ended with {done.returncode}:", *lines]))


def machine(programs):
    """What the machine has: (name, what was found, whether it meets a requirement; None where there is none)."""
    built = [name for name, program in programs.items() if shutil.which(program.split()[0])]
    yield "programs", "all built" if len(built) == len(programs) else f"missing: {', '.join(set(programs) - set(built))}; make build", len(built) == len(programs)
    yield "python", f"{sys.version.split()[0]}, {polars()}", polars() != "no polars"
    yield "processors", f"{os.cpu_count()}, and {memory():.0f} GiB of memory" if memory() else f"{os.cpu_count()}", None
    free = shutil.disk_usage(ROOT).free / 2**30
    yield "disk", f"{free:.0f} GiB free here", free > 2 or None
    gpu = shutil.which("nvidia-smi")
    yield "GPU", first_line([gpu, "--query-gpu=name,memory.total", "--format=csv,noheader"]) if gpu else "none: models are tuned on the processor", None
    if "tuner" in built:
        output = first_line([*programs["tuner"].split(), "speed", "--width", "256"])
        try:
            speed = json.loads(output)
            yield "speed", f"{speed['training_gflops']:.0f} GFLOP/s in training, {speed['decoding_gflops']:.0f} in generation (width 256)", None
        except (ValueError, KeyError):
            yield "speed", f"could not be measured: {output}", None


def polars():
    try:
        import polars
    except ImportError:
        return "no polars"
    return f"polars {polars.__version__}"


def memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None


def first_line(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return next(iter((done.stdout or done.stderr).splitlines()), "nothing")


def repeated(cell):
    """How many training prompts a cell continued with their own document word for word, and how many there were."""
    import polars as pl

    verdicts = pl.read_parquet(cell / "verdicts.parquet").filter(split="train")
    return verdicts.filter(own_verdict="verbatim").height, verdicts.height


def verdict(run, mode):
    """The report's verdict on the models of a mode."""
    import polars as pl

    rows = pl.read_parquet(run / "report" / "summary.parquet").filter(measure="verdict", mode=mode)
    return ", ".join(sorted(set(rows["verdict"].drop_nulls().to_list()))) or "no verdict"


def cell(run, kind):
    found = [path for path in sorted((run / "cells").iterdir()) if f"-{kind}" in path.name]
    if len(found) != 1:
        raise Failed(f"{run} has {len(found)} cells of kind {kind}, expected one")
    return found[0]


def controls(doctor):
    """Runs the controls: (name, what was found, whether the control passes)."""
    config = {name: doctor.folder / f"{name}.toml" for name in ("model", "controls")}
    config["model"].write_text(MODEL)
    config["controls"].write_text(CONTROLS)
    doctor.run("base", config["model"], "tune")
    run = doctor.run("controls", config["controls"], "all")

    found, prompts = repeated(cell(run, "full"))
    outcome = verdict(run, "full")
    passes = (found, prompts, outcome) == (KNOWN, KNOWN, "leaks")
    yield f"positive control: a model that has memorized {KNOWN} texts", f"{found} of {prompts} found; the report says: {outcome}", passes

    found, prompts = repeated(cell(run, "base"))
    yield "the same model before tuning", f"{found} of {prompts} found", (found, prompts) == (0, KNOWN)

    found, prompts = repeated(cell(run, "lora"))
    outcome = verdict(run, "lora")
    passes = (found, prompts) == (0, KNOWN) and "leaks" not in outcome
    yield "null control: an adapter that changes nothing", f"{found} of {prompts} found; the report says: {outcome}", passes

    audit = doctor.run(
        "never",
        ROOT / "pipelines" / "audit.toml",
        "all",
        *("--checkpoint", str(cell(run, "full") / "checkpoint"), "--base", str(doctor.folder / "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint")),
        *("--corpus", str(doctor.folder / "never.jsonl"), "--held-out", str(doctor.folder / "unseen.jsonl")),
        *("--set", "extraction.prefix_tokens=20", "--set", "extraction.new_tokens=40", "--set", "report.resamples=200"),
    )
    found, prompts = repeated(cell(audit, "tuned"))
    outcome = verdict(audit, "tuned")
    # The audit has two strategies.
    passes = (found, prompts) == (0, 2 * KNOWN) and "leaks" not in outcome
    yield "null control: texts that it was never trained on", f"{found} of {prompts} found; the report says: {outcome}", passes


def main():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    programs = {name: os.environ.get(name.upper()) or str(binaries / name) for name in ("plan", *STAGES)}
    is_incomplete = False
    for name, found, meets in machine(programs):
        is_incomplete |= meets is False
        print(f"{'LACKS' if meets is False else 'has  '}  {name:<11} {found}", flush=True)
    if is_incomplete:
        return 2
    started, all_pass = time.monotonic(), True
    try:
        for name, found, passes in controls(Doctor((ROOT / (os.environ.get("RUN") or "data/runs/doctor")).resolve(), programs)):
            all_pass &= passes
            print(f"{'PASS ' if passes else 'FAIL '}  {name}: {found}", flush=True)
    except Failed as failed:
        print(f"FAIL   {failed}")
        return 2
    seconds = time.monotonic() - started
    print(f"doctor: {'all is well' if all_pass else 'NOT well: do not trust reports of this installation'} ({seconds:.0f} s)")
    return 0 if all_pass else 1


if __name__ == "__main__":
    sys.exit(main())
