"""What checks are made with: rows of the table, and programs that are run with a limit of time and everything they say in one log."""

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

# Characters of a program's last lines that a row's note has.
NOTE_CHARACTERS = 400


class Failed(Exception):
    """A check could not be made, with the reason as a person reads it."""


class OutOfTime(Exception):
    """The budget was used up while a program ran."""


@dataclasses.dataclass
class Row:
    """One figure. `kind` is correctness, speed, or estimate (of plan); only correctness decides over the exit status, and `holds` is
    None where nothing was judged."""

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
    """A program that ended well."""

    output: str
    errors: str
    seconds: float
    # Most memory that it held: of the processor, and what the GPU had less while it ran (None on a processor or where nobody says).
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
        # Threads that spin while they wait take seven times as long where another program is busy, and gain 3% where none is.
        self.environment = {"OMP_WAIT_POLICY": "passive"} | os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        if torch_folder is not None:
            # The programs were built against a LibTorch that is not on this machine: they take that of this Python.
            path = [str(torch_folder / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(path)
            self.environment["LIBTORCH_CUDA"] = str(torch_folder)

    def left(self):
        """Seconds of the budget that are left."""
        return self.budget - (time.monotonic() - self.started)

    def goal(self, value):
        """A goal of speed; none where shapes are tiny."""
        return None if self.is_dry else value

    def program(self, name, *arguments):
        """Runs one of the programs, to its end."""
        path = self.programs / name
        if not path.is_file():
            raise Failed(f"{path} is missing: copy it from a machine that has built it (`make build`; examples by `cargo build --examples`)")
        return self.run([path, *arguments])

    def peer(self, name, settings):
        """Runs a Python program of the folder peers on settings; returns the figures that it prints."""
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
            is_late = threading.Event()

            def stop():
                is_late.set()
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
                device_bytes = memory.end()
        process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        output, errors = (path.read_text(errors="replace") for path in paths)
        with self.log.open("a") as log:
            print(f"$ {shlex.join(command)}\n{errors.rstrip()}\n(exit status {code}, {seconds:.1f} s)", file=log)
        if is_late.is_set():
            raise OutOfTime(Path(command[0]).name)
        if code != 0:
            said = (errors.strip() or output.strip())[-NOTE_CHARACTERS:]
            ended = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
            name = next(Path(part).name for part in command if part != sys.executable)
            raise Failed(f"{name}: {ended}: {one_line(said)}")
        return Finished(output, errors, seconds, usage.ru_maxrss * 1024, device_bytes)


class MemoryWatch:
    """Looks several times a second how much of the GPU's memory is taken, until `end`, which says how much it was at most above what was
    taken before."""

    PAUSE_SECONDS = 0.25

    def __init__(self, device, before):
        self.before, self.most, self.ended = before, before, threading.Event()
        self.thread = threading.Thread(target=self.watch, args=[device], daemon=True) if before is not None else None
        if self.thread:
            self.thread.start()

    def watch(self, device):
        while not self.ended.wait(self.PAUSE_SECONDS):
            self.most = max(self.most, device_memory(device) or 0)

    def end(self):
        self.ended.set()
        if self.thread is None:
            return None
        self.thread.join()
        return self.most - self.before


def query_driver(device, what):
    """What the driver says of a GPU (nvidia-smi --query-gpu); None where it says nothing."""
    if device == "cpu":
        return None
    index = device.partition(":")[2] or "0"
    # The driver counts all GPUs, programs those that they are let see.
    if seen := [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]:
        index = seen[int(index)] if int(index) < len(seen) else index
    command = ["nvidia-smi", f"--id={index}", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() if said.returncode == 0 and said.stdout.strip() else None


def device_memory(device):
    """Bytes of the GPU's memory that are taken, by whomever."""
    said = query_driver(device, "memory.used")
    return int(said) * 2**20 if said and said.isdigit() else None


def one_line(text):
    """A text without line ends, to stand in a table."""
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
