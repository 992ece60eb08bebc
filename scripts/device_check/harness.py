"""Rows of the table, and the runner of programs, with a time limit and one log for their output."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent / "peers"

# Characters of a failed program's output that a row's note quotes.
NOTE_CHARACTERS = 400


class Failed(Exception):
    """A check could not run; the message is for the user."""


class OutOfTime(Exception):
    """The budget was used up while a program ran."""


@dataclasses.dataclass
class Row:
    """One figure. `kind` is correctness, speed, or estimate (of plan); only correctness decides the exit status. `holds` is None for a
    figure without a goal."""

    what: str
    kind: str = "speed"
    ours: float | None = None
    peer: float | None = None
    unit: str = ""
    ratio: float | None = None
    goal: float | None = None
    holds: bool | None = None
    note: str = ""
    seconds: float | None = None
    check: str = ""
    device: str = ""


COLUMNS = {
    "check": str, "what": str, "kind": str, "ours": float, "peer": float, "unit": str, "ratio": float, "goal": float, "holds": bool,
    "seconds": float, "device": str, "note": str,
}  # fmt: skip


@dataclasses.dataclass
class Finished:
    """A program that succeeded."""

    output: str
    errors: str
    seconds: float
    # Peak memory of the process, and of the GPU above what was used before (None on a processor or without nvidia-smi).
    peak_bytes: int
    device_bytes: int | None

    def figures(self):
        """The JSON object on the last line of the output."""
        lines = self.output.strip().splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError) as error:
            raise Failed(f"expected JSON on the last line of the output, found {lines[-1:] or 'nothing'}") from error


class Machine:
    """The device, the programs, the folders, and the time that is left."""

    def __init__(self, *, device, programs, out, work, budget, shapes, torch_folder):
        self.device = device
        self.is_dry = device == "cpu"
        self.programs = programs
        self.work = work
        self.shapes = shapes
        self.started = time.monotonic()
        self.budget = budget
        self.log = out / "device_check.log"
        self.log.write_text("")
        # With busy waiting a program is 3% faster alone, and seven times slower beside another busy program.
        self.environment = {"OMP_WAIT_POLICY": "passive"} | os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        if torch_folder is not None:
            # The LibTorch that the programs were built with may be missing here: they use that of this Python.
            path = [str(torch_folder / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(path)
            self.environment["LIBTORCH_CUDA"] = str(torch_folder)

    def left(self):
        """Seconds of the budget that are left."""
        return self.budget - (time.monotonic() - self.started)

    def goal(self, value):
        """A goal of speed; None in a dry run."""
        return None if self.is_dry else value

    def program(self, name, *arguments):
        """Runs one of the programs."""
        path = self.programs / name
        if not path.is_file():
            raise Failed(f"{path} is missing: copy it from a machine that has built it (`make build`; examples by `cargo build --examples`)")
        return self.run([path, *arguments])

    def peer(self, name, settings):
        """Runs a Python program of the folder peers with these settings; returns the figures that it prints."""
        file = self.work / f"{name}.json"
        file.write_text(json.dumps(settings))
        return self.run([sys.executable, PEERS / f"{name}.py", file]).figures()

    def run(self, command):
        command = [str(part) for part in command]
        if self.left() <= 0:
            raise OutOfTime(command[0])
        paths = [self.work / "stdout", self.work / "stderr"]
        before = device_memory(self.device)
        started = time.monotonic()
        with paths[0].open("w") as output, paths[1].open("w") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=ROOT, env=self.environment, start_new_session=True
            )
            memory = MemoryWatch(self.device, before)
            timed_out = threading.Event()

            def stop():
                timed_out.set()
                os.killpg(process.pid, signal.SIGKILL)

            limit = threading.Timer(self.left(), stop)
            limit.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                limit.cancel()
                device_bytes = memory.stop()
        process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        output, errors = (path.read_text(errors="replace") for path in paths)
        with self.log.open("a") as log:
            print(f"$ {shlex.join(command)}\n{errors.rstrip()}\n(exit status {code}, {seconds:.1f} s)", file=log)
        if timed_out.is_set():
            raise OutOfTime(Path(command[0]).name)
        if code != 0:
            message = (errors.strip() or output.strip())[-NOTE_CHARACTERS:]
            ended = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
            name = next(Path(part).name for part in command if part != sys.executable)
            raise Failed(f"{name}: {ended}: {one_line(message)}")
        return Finished(output, errors, seconds, usage.ru_maxrss * 1024, device_bytes)


class MemoryWatch:
    """Polls the used memory of the GPU several times a second until `stop`, which returns the peak above what was used before."""

    PAUSE_SECONDS = 0.25

    def __init__(self, device, before):
        self.before, self.peak, self.ended = before, before, threading.Event()
        self.thread = threading.Thread(target=self.watch, args=[device], daemon=True) if before is not None else None
        if self.thread:
            self.thread.start()

    def watch(self, device):
        while not self.ended.wait(self.PAUSE_SECONDS):
            self.peak = max(self.peak, device_memory(device) or 0)

    def stop(self):
        self.ended.set()
        if self.thread is None:
            return None
        self.thread.join()
        return self.peak - self.before


def query_driver(device, query):
    """A property of a GPU by nvidia-smi --query-gpu; None if it is not known."""
    if device == "cpu":
        return None
    index = device.partition(":")[2] or "0"
    # The driver numbers all GPUs, programs only the visible ones.
    if visible := [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]:
        index = visible[int(index)] if int(index) < len(visible) else index
    command = ["nvidia-smi", f"--id={index}", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


def device_memory(device):
    """Bytes of the GPU's memory that are in use, by all programs."""
    mebibytes = query_driver(device, "memory.used")
    return int(mebibytes) * 2**20 if mebibytes and mebibytes.isdigit() else None


def one_line(text):
    """A text without line breaks."""
    return re.sub(r"\s+", " ", text).strip()


def pipeline(file, *, name, model, modes=(), tuning=None, extraction=None, strategies=()):
    """Writes a pipeline file; settings are dictionaries."""
    line = lambda key, value: f"{key} = {json.dumps(value)}"
    lines = [
        line("name", name), "[corpus]", line("files", str(file.with_name("texts.jsonl"))), line("held_out", 0),
        "[duplication]", line("layout", "uniform"), line("copies", [1]), "[[model]]", line("name", "model"), line("path", str(model)),
    ]  # fmt: skip
    for mode in modes:
        lines += ["[[mode]]", *(line(key, value) for key, value in mode.items())]
    for table, settings in [("tuning", tuning), ("extraction", extraction)]:
        if settings is not None:
            lines += [f"[{table}]", *(line(key, value) for key, value in settings.items())]
    for strategy in strategies:
        lines += ["[[extraction.strategy]]", *(line(key, value) for key, value in strategy.items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file
