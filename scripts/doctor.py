"""Does this installation find what is there, and nothing where nothing is? `make doctor`, under a minute.

A tiny model is made, and then tuned until it knows 30 texts by heart (the positive control); beside it stand an adapter that changes
nothing, and an audit of the tuned model with texts that it never saw (the null controls). Each must come out as it is. What the machine
has, and what it lacks, is said first. Exit status 0 where all controls pass, 1 where one does not, 2 where it could not be tried.

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
    """Made-up sentences, of which no two texts share many words in a row."""

    def sentence():
        subject, verb, place = map(generator.choice, (SUBJECTS, VERBS, PLACES))
        first, second, third = (generator.choice(OBJECTS) for _ in range(3))
        return f"{subject} {verb} the {first} {place} {generator.randint(2, 9)} {second}s and a {third}."

    return " ".join(sentence() for _ in range(count))


def write(path, prefix, texts):
    lines = [json.dumps({"id": f"{prefix}{number:02}", "text": text}) for number, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")


class Failed(Exception):
    """A control that could not be tried."""


class Doctor:
    """The folder that the controls are made in, and the programs."""

    def __init__(self, folder, programs):
        self.folder, self.programs = folder, programs
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        generator = random.Random(11)
        for name, prefix, count in (("others", "o", 80), ("known", "k", KNOWN), ("unseen", "u", UNSEEN), ("never", "n", KNOWN)):
            write(folder / f"{name}.jsonl", prefix, [sentences(generator, 5) for _ in range(count)])

    def run(self, name, config, stage, *settings):
        """Runs a pipeline up to a stage; gives its folder."""
        run = self.folder / name
        stages = {stage.upper(): self.programs[stage] for stage in STAGES}
        self.call([*self.programs["plan"].split(), "--config", str(config), "--out", str(run), *settings], {})
        self.call(["make", "--no-print-directory", "-f", str(run / "cells.mk"), stage], stages)
        return run

    def call(self, command, programs):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | programs | {"OMP_WAIT_POLICY": "passive"})
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()[-12:]
            raise Failed("\n".join([f"{' '.join(command[:2])} … ended with {done.returncode}:", *said]))


def machine(programs):
    """What the machine has: (name, what was found, whether it is as it must be; None where it need not be)."""
    built = [name for name, program in programs.items() if shutil.which(program.split()[0])]
    yield "programs", "all built" if len(built) == len(programs) else f"missing: {', '.join(set(programs) - set(built))}; make build", len(built) == len(programs)
    yield "python", f"{sys.version.split()[0]}, {polars()}", polars() != "no polars"
    yield "processors", f"{os.cpu_count()}, and {memory():.0f} GiB of memory" if memory() else f"{os.cpu_count()}", None
    free = shutil.disk_usage(ROOT).free / 2**30
    yield "disk", f"{free:.0f} GiB free here", free > 2 or None
    gpu = shutil.which("nvidia-smi")
    yield "GPU", first_line([gpu, "--query-gpu=name,memory.total", "--format=csv,noheader"]) if gpu else "none seen: models are tuned on the processor", None
    if "tuner" in built:
        told = first_line([*programs["tuner"].split(), "speed", "--width", "256"])
        try:
            speed = json.loads(told)
            yield "speed", f"{speed['training_gflops']:.0f} GFLOP/s in training, {speed['decoding_gflops']:.0f} in generation (width 256)", None
        except (ValueError, KeyError):
            yield "speed", f"could not be measured: {told}", None


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


def own(cell):
    """How many training prompts a cell went on with by their own document, and how many there were."""
    import polars as pl

    verdicts = pl.read_parquet(cell / "verdicts.parquet").filter(split="train")
    return verdicts.filter(own_verdict="verbatim").height, verdicts.height


def verdict(run, mode):
    """What the report calls the models of a mode."""
    import polars as pl

    rows = pl.read_parquet(run / "report" / "summary.parquet").filter(measure="verdict", mode=mode)
    return ", ".join(sorted(set(rows["verdict"].drop_nulls().to_list()))) or "no verdict"


def cell(run, kind):
    found = [path for path in sorted((run / "cells").iterdir()) if f"-{kind}" in path.name]
    if len(found) != 1:
        raise Failed(f"{run} has {len(found)} cells of kind {kind}, where one is expected")
    return found[0]


def controls(doctor):
    """Makes the controls: (name, what was found, whether it is what must be found)."""
    config = {name: doctor.folder / f"{name}.toml" for name in ("model", "controls")}
    config["model"].write_text(MODEL)
    config["controls"].write_text(CONTROLS)
    doctor.run("base", config["model"], "tune")
    run = doctor.run("controls", config["controls"], "all")

    found, asked = own(cell(run, "full"))
    says = verdict(run, "full")
    yield f"positive control: a model that knows {KNOWN} texts by heart", f"{found} of {asked} found; the report says: {says}", (found, asked, says) == (KNOWN, KNOWN, "leaks")

    found, asked = own(cell(run, "base"))
    yield "the same model before tuning", f"{found} of {asked} found", (found, asked) == (0, KNOWN)

    found, asked = own(cell(run, "lora"))
    says = verdict(run, "lora")
    yield "null control: an adapter that changes nothing", f"{found} of {asked} found; the report says: {says}", (found, asked) == (0, KNOWN) and "leaks" not in says

    audit = doctor.run(
        "never",
        ROOT / "pipelines" / "audit.toml",
        "all",
        *("--checkpoint", str(cell(run, "full") / "checkpoint"), "--base", str(doctor.folder / "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint")),
        *("--corpus", str(doctor.folder / "never.jsonl"), "--held-out", str(doctor.folder / "unseen.jsonl")),
        *("--set", "extraction.prefix_tokens=20", "--set", "extraction.new_tokens=40", "--set", "report.resamples=200"),
    )
    found, asked = own(cell(audit, "tuned"))
    says = verdict(audit, "tuned")
    # The audit asks by two strategies.
    passes = (found, asked) == (0, 2 * KNOWN) and "leaks" not in says
    yield "null control: texts that it was never trained on", f"{found} of {asked} found; the report says: {says}", passes


def main():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    programs = {name: os.environ.get(name.upper()) or str(binaries / name) for name in ("plan", *STAGES)}
    lacks = False
    for name, found, is_well in machine(programs):
        lacks |= is_well is False
        print(f"{'LACKS' if is_well is False else 'has  '}  {name:<11} {found}", flush=True)
    if lacks:
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
    print(f"doctor: {'all is well' if all_pass else 'NOT well: do not trust a report that is made here'} ({seconds:.0f} s)")
    return 0 if all_pass else 1


if __name__ == "__main__":
    sys.exit(main())
