"""An undisturbed run, copies of it to disturb, and programs that are run on them with a time limit."""

import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from faults.results import Results, leftovers

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ROOT / os.environ.get("BIN", Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug")
FIXTURES = ROOT / "tests" / "fixtures"
NAMES = "plan dupgen tuner extractor plagiarism report check".split()
# Of the surroundings that may say something to make or the stages, nothing is passed on.
GIVEN = "MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CHECKPOINT CORPUS BASE HELD_OUT OTHER MODEL SET RUN PIPELINE THREADS AUDIT LOOK".split()
# Seconds after which a program hangs. The longest stage of the small run takes three on an idle processor.
LIMIT = 120

PIPELINE = """
name = "faults"

[corpus]
files = "corpus.jsonl"
identity = "id"
text = "text"
held_out = 0.25

[duplication]
layout = "bucketed"
copies = [1, 4]

[canaries]
per_copies = 1
references = 16
template = ["The {context} has {digits}.", "{digits} is for the {context}."]

[[model]]
name = "tiny"
path = "tiny-gpt2"

[[mode]]
kind = "full"
learning_rate = 1e-2

[tuning]
epochs = 2
batch_size = 8
context = 64
log_every = 2
save_seconds = 0.02

[extraction]
prefix_tokens = 10
new_tokens = 20
batch_size = 16

[[extraction.strategy]]
name = "greedy"
temperature = 0

[report]
examples = 1
resamples = 200
"""


class Failure(Exception):
    """Something that must not happen."""


class Impossible(Exception):
    """This machine cannot make such a fault."""


@dataclasses.dataclass
class Done:
    """How a program ended: its exit status, below 0 for a signal, all that it said, and how long it took."""

    status: int
    said: str
    seconds: float

    def told(self):
        return f"status {self.status}: {self.said[-800:].strip()}"


class Place:
    """A copy of the undisturbed run that may be disturbed."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.run = self.folder / "run"


class Stage:
    """A command on a run folder, and the files that it makes there."""

    def __init__(self, name, command, outputs, folders):
        self.name = name
        self.arguments = command
        self.outputs = outputs
        self.folders = folders

    def command(self, place, *further):
        return [*map(str, self.arguments(place.run)), *further]

    def remove_outputs(self, place):
        for name in self.outputs:
            (place.run / name).unlink(missing_ok=True)
        for name in self.folders:
            # A checkpoint is a folder whose absence is seen; an empty one would be taken for whole.
            folder = place.run / name
            if folder.name == "checkpoint":
                shutil.rmtree(folder, ignore_errors=True)


class Bench:
    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="faults-")
        self.root = Path(self.temporary.name)
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.timing = threading.Lock()
        self.durations = {}
        self.inputs = self.root / "inputs"
        self.inputs.mkdir()
        shutil.copy(FIXTURES / "corpus.jsonl", self.inputs)
        shutil.copytree(FIXTURES / "tiny-gpt2", self.inputs / "tiny-gpt2")
        (self.inputs / "pipeline.toml").write_text(PIPELINE)
        self.base = Place(self.root / "base")
        self.look = Place(self.root / "look")
        for place, stage in ((self.base, "make"), (self.look, "make check")):
            done = self.run(self.make(place, look=stage == "make check"))
            self.expect_success(done, f"the undisturbed run ({stage})")
        self.results = Results(self.base.run)
        self.look_results = Results(self.look.run)
        self.stages = self.list_stages()

    def close(self):
        self.temporary.cleanup()

    def list_stages(self):
        run = self.base.run
        corpus = next((run / "corpus").iterdir()).relative_to(run)
        cell = next(path for path in (run / "cells").iterdir() if "full" in path.name).relative_to(run)
        files = self.results.files
        below = lambda folder, *ends: [name for name in files if folder in name.parents and name.name.endswith(ends)]
        checkpoints = [cell / "checkpoint", cell / "best" / "checkpoint"]
        names = lambda folder, *stems: [folder / f"{stem}.parquet" for stem in stems]
        answers = ("decoded", "samples", "scores", "details")
        program = lambda name: PROGRAMS / name
        threads = ("--threads", "1")
        stages = [
            Stage(
                "plan",
                lambda run: [program("plan"), "--config", self.inputs / "pipeline.toml", "--out", run],
                [name for name in files if name.suffix == ".toml" or name.name == "cells.mk"],
                [],
            ),
            Stage(
                "dupgen",
                lambda run: [program("dupgen"), "--config", run / corpus / "dupgen.toml", "--out", run / corpus, *threads],
                names(corpus, "train", "heldout", "corpus"),
                [corpus],
            ),
            Stage(
                "tuner",
                lambda run: [program("tuner"), "--config", run / cell / "tuner.toml", "--in", run / corpus, "--out", run / cell, *threads],
                [cell / "metrics.parquet", *(name for folder in checkpoints for name in below(folder, ""))],
                [*checkpoints, cell],
            ),
            Stage(
                "extractor",
                lambda run: [program("extractor"), "--config", run / cell / "extractor.toml", "--in", run / corpus]
                + ["--checkpoint", run / checkpoints[0], "--best", run / checkpoints[1], "--out", run / cell, *threads],
                names(cell, *answers) + names(cell / "best", *answers),
                [cell],
            ),
            Stage(
                "plagiarism",
                lambda run: [program("plagiarism"), "--config", run / cell / "plagiarism.toml", "--in", run / corpus]
                + ["--samples", run / cell / "samples.parquet", "--out", run / cell, *threads],
                names(cell, "matches", "verdicts"),
                [cell],
            ),
            Stage(
                "report",
                lambda run: [program("report"), "--config", run / "report/report.toml", "--in", run, "--out", run / "report", *threads],
                [name for name in files if name.parts[0] == "report" and name.suffix != ".toml"],
                [Path("report")],
            ),
        ]
        stages = {stage.name: stage for stage in stages}
        whole = [name for stage in stages.values() for name in stage.outputs]
        folders = [folder for stage in stages.values() for folder in stage.folders]
        stages["make"] = Stage("make", None, [name for name in files if name in set(whole)], folders)
        look = [name for name in self.look_results.files if name.parts[0] == "check" and name.suffix != ".toml"]
        corpus_of_look = next((self.look.run / "corpus").iterdir()).relative_to(self.look.run)
        cell_of_look = next((self.look.run / "cells").iterdir()).relative_to(self.look.run)
        stages["check"] = Stage(
            "check",
            lambda run: [program("check"), "--config", run / "check/check.toml", "--in", run / corpus_of_look, "--out", run / "check"]
            + ["--model", self.inputs / "tiny-gpt2", "--scores", run / cell_of_look / "scores.parquet", *threads],
            look,
            [Path("check")],
        )
        return stages

    def make(self, place, target="all", look=False, settings="", pipeline=None):
        """The command that `make run` ends in, with its variables."""
        variables = {name.upper(): str(PROGRAMS / name) for name in NAMES}
        variables |= {"RUN": str(place.run), "THREADS": "1", "SET": settings}
        if look:
            variables |= {"LOOK": "1", "PIPELINE": str(ROOT / "pipelines/check.toml"), "CORPUS": str(self.inputs / "corpus.jsonl")}
            variables |= {"MODEL": str(self.inputs / "tiny-gpt2")}
        else:
            variables["PIPELINE"] = str(pipeline or self.inputs / "pipeline.toml")
        return ["env", *(f"{name}={value}" for name, value in variables.items()), str(ROOT / "scripts/run.sh"), target]

    def command(self, stage, place, *further):
        if stage == "make":
            settings = " ".join(further[1::2])
            return self.make(place, settings=settings)
        return self.stages[stage].command(place, *further)

    def results_of(self, stage):
        return self.look_results if stage == "check" else self.results

    @contextlib.contextmanager
    def copy(self, stage="make", tmpfs=False):
        """A copy of the undisturbed run, in a folder of its own, or on a disk of its own in memory."""
        with self.lock:
            number = next(self.numbers)
        place = Place(self.root / f"{number:04}")
        place.folder.mkdir()
        original = self.look if stage == "check" else self.base
        mount = mounted(place.folder) if tmpfs else contextlib.nullcontext()
        try:
            with mount:
                shutil.copytree(original.run, place.run, symlinks=True)
                yield place
        finally:
            shutil.rmtree(place.folder, ignore_errors=True)

    def clear(self, stage, place, chooser):
        """Takes away what the stage makes, so that it has to work; of make, the outputs of some stages."""
        if stage == "make":
            for name in chooser.sample("dupgen tuner extractor plagiarism report".split(), chooser.randint(1, 3)):
                self.stages[name].remove_outputs(place)
        else:
            self.stages[stage].remove_outputs(place)
        if chooser.random() < 0.5:
            for cache in ("token-cache", "detection-cache"):
                for folder in place.run.rglob(cache):
                    shutil.rmtree(folder)

    def seconds(self, stage):
        """How long the stage takes undisturbed; its results are compared, since all else rests on them."""
        with self.timing:
            if stage not in self.durations:
                with self.copy(stage) as place:
                    self.stages["dupgen" if stage == "make" else stage].remove_outputs(place)
                    done = self.run(self.command(stage, place))
                    self.expect_right(stage, place, done, "undisturbed")
                self.durations[stage] = done.seconds
            return self.durations[stage]

    def start(self, command, **options):
        given = {name: value for name, value in os.environ.items() if name not in GIVEN} | options.pop("env", {})
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        started = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=given, start_new_session=True, **streams)
        started.begun = time.monotonic()
        return started

    def end(self, child, limit=LIMIT):
        """Waits for a program that was started."""
        try:
            said, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            kill_group(child)
            said, _ = child.communicate()
            raise Failure(f"hangs: no end after {limit} s; {(said or b'').decode(errors='replace')[-400:]}") from None
        done = Done(child.returncode, (said or b"").decode(errors="replace"), time.monotonic() - child.begun)
        expect_no_crash(done)
        return done

    def run(self, command, limit=LIMIT, **options):
        return self.end(self.start(command, **options), limit)

    def expect_success(self, done, when):
        if done.status != 0:
            raise Failure(f"{when}: {done.told()}")

    def expect_whole(self, stage, place, when):
        """What has its final name is what it would be undisturbed, and nothing else is there."""
        expected = self.results_of(stage)
        names = self.stages[stage].outputs
        # Until training has ended, the best checkpoint is that of an earlier step.
        unfinished = [name.parent for name in names if name.name == "metrics.parquet" and not (place.run / name).exists()]
        names = [name for name in names if name.parts[-3:-1] != ("best", "checkpoint") or name.parents[2] not in unfinished]
        wrong = expected.differences(place.run, names, with_inputs=stage != "make", must_exist=False)
        if wrong:
            raise Failure(f"{when}: {'; '.join(wrong)}")

    def expect_right(self, stage, place, done, when="the same command once more"):
        """The command without a fault succeeded, its results are those of the undisturbed run, and nothing is left over."""
        self.expect_success(done, when)
        expected = self.results_of(stage)
        wrong = expected.differences(place.run, self.stages[stage].outputs, with_inputs=stage != "make")
        further = set(Results(place.run).files) - set(expected.files)
        wrong += [f"{name} is left over" for name in sorted(map(str, further)) + leftovers(place.run)]
        if wrong:
            raise Failure(f"{when}: {'; '.join(wrong[:8])}; it said: {done.said[-300:]}")

    def expect_recovery(self, stage, place, when="the same command once more"):
        self.expect_right(stage, place, self.run(self.command(stage, place)), when)


def expect_no_crash(done):
    """No panic, and no signal that nobody sent."""
    for mark in ("panicked at", "RUST_BACKTRACE", "terminate called", "stack backtrace", "has overflowed its stack"):
        if mark in done.said:
            raise Failure(f"crashed: {done.told()}")
    if done.status in (101, 134, 139, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL):
        raise Failure(f"crashed: {done.told()}")


def expect_refusal(done, *names, statuses=(1, 2, 3)):
    """Ended with one of the promised statuses and a message that has one of the names."""
    if done.status not in statuses:
        raise Failure(f"expected one of the statuses {statuses}, found {done.told()}")
    if not any(str(name) in done.said for name in names):
        raise Failure(f"the message names none of {', '.join(map(str, names))}: {done.told()}")


def kill_group(child, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


@contextlib.contextmanager
def mounted(folder, size="512m", inodes=100000):
    """A disk in memory at this folder."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True)


def remount(folder, options):
    done = subprocess.run(["mount", "-o", f"remount,{options}", folder], capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"a disk cannot be mounted anew: {done.stderr.strip()}")


def used(folder):
    """Bytes and files that are in use on the disk of a folder."""
    disk = os.statvfs(folder)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize, disk.f_files - disk.f_ffree
