"""The checks one after the other, within a budget of time, and their table. Started by scripts/device_check.sh, which says how."""

import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import parquet_files
import settings
from checks import decoding, device, greedy, models, parity, scoring, tuning
from harness import COLUMNS, ROOT, Failed, Machine, OutOfTime, Row, one_line

TORCH = "2.11.0"

# In order of importance: what comes last is left out first. A check is a function of the machine that yields rows.
CHECKS = {
    "device": device.check, "parity": parity.check, "greedy": greedy.check, "tuning": tuning.check, "decoding": decoding.check,
    "scoring": scoring.check, "models": models.check,
}  # fmt: skip


class WrongUsage(Exception):
    """A variable or this Python is not as it must be, with what to do."""


def main():
    # Whoever ends this ends what it runs, and its files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wanted, machine_settings, out = read_environment()
    except (WrongUsage, parquet_files.NoLibrary) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="device-check-") as work:
        machine = Machine(out=out, work=Path(work), **machine_settings)
        rows = []
        for number, name in enumerate(wanted, 1):
            started = time.monotonic()
            made = checked(name, machine)
            rows += made
            # After each check, so that what is known stays where this is ended from outside.
            parquet_files.write(out / "device_check.parquet", [vars(row) for row in rows], COLUMNS)
            bad = sum(is_bad(row) for row in made)
            print(
                f"device_check {number}/{len(wanted)}: {name:<9} {time.monotonic() - started:6.1f} s, {len(made)} figures"
                f"{f', {bad} do not hold' if bad else ''}, {max(machine.left(), 0):.0f} s left",
                file=sys.stderr,
                flush=True,
            )
    table = "\n".join([*table_lines(rows), *closing_lines(rows, wanted, machine, out)])
    (out / "device_check.txt").write_text(table + "\n")
    print(table)
    return 1 if any(is_bad(row) for row in rows) else 0


def read_environment():
    """(names of checks, arguments of Machine, output folder)"""
    given = os.environ.get
    wanted = given("CHECKS", "").replace(",", " ").split() or list(CHECKS)
    if unknown := [name for name in wanted if name not in CHECKS]:
        raise WrongUsage(f"CHECKS: there is no check {unknown[0]}; there are {' '.join(CHECKS)}")
    name = given("DEVICE") or "cuda"
    if name != "cpu" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise WrongUsage(f"DEVICE={name}: expected cuda, cuda:N, or cpu for a dry run")
    try:
        budget = float(given("BUDGET_S") or 300)
    except ValueError as error:
        raise WrongUsage(f"BUDGET_S={given('BUDGET_S')}: expected a number of seconds") from error
    programs = Path(given("BIN") or ROOT / "target/debug").resolve()
    if not programs.is_dir():
        raise WrongUsage(f"BIN={programs} is no folder; it holds the programs tuner, extractor, plan, and examples/ with two more")
    parquet_files.library()
    shapes = settings.TINY if name == "cpu" else settings.FULL
    if (given("LARGE") or "0") != "0":
        shapes = shapes | {"groups": [*shapes["groups"], shapes["large"]]}
    arguments = {"device": name, "programs": programs, "budget": budget, "shapes": shapes, "torch_folder": torch_folder(name)}
    return wanted, arguments, Path(given("OUT") or ROOT / "data/device-check").resolve()


def torch_folder(name):
    """The folder of this Python's torch. Without CUDA or in another version it is of no use on a GPU; on a processor the programs may have
    a LibTorch of their own."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        if name == "cpu":
            return None
        raise WrongUsage(f"{sys.executable} has no torch: PYTHON must name a Python with PyTorch {TORCH} for CUDA")
    folder = Path(found.origin).parent
    version = torch_version(folder)
    if version.split("+")[0] != TORCH:
        if name == "cpu":
            return None
        raise WrongUsage(f"{folder} is PyTorch {version}: the programs need {TORCH} for CUDA; PYTHON names the Python that has it")
    if name != "cpu" and not (folder / "lib/libtorch_cuda.so").exists():
        raise WrongUsage(f"{folder} is PyTorch {version} without CUDA (lib/libtorch_cuda.so is missing): PYTHON must name one for CUDA")
    return folder


def torch_version(folder):
    try:
        lines = (folder / "version.py").read_text().splitlines()
    except OSError:
        return "of unknown version"
    said = [line.replace('"', "'").split("'") for line in lines if line.startswith("__version__")]
    return said[0][1] if said and len(said[0]) > 1 else "of unknown version"


def checked(name, machine):
    """The rows of a check, whatever becomes of it."""
    left, needed = machine.left(), machine.shapes["seconds"][name]
    started = last = time.monotonic()
    rows = []
    try:
        if left < needed:
            raise OutOfTime
        for row in CHECKS[name](machine):
            now = time.monotonic()
            rows.append(row)
            row.seconds, last = now - last if row.seconds is None else row.seconds, now
    except OutOfTime as cut:
        if cut.args:
            note = f"left out: {cut} ran when the budget of {machine.budget:.0f} s was used up; BUDGET_S=… gives more"
        else:
            note = f"left out: takes about {needed} s, and {max(left, 0):.0f} s of the budget of {machine.budget:.0f} s were left; BUDGET_S=… gives more"
        rows.append(Row("left out", kind=kind_of(name), note=note))
    except Failed as failure:
        rows.append(Row("failed", kind="correctness", holds=False, note=one_line(str(failure))))
    except Exception as error:
        with machine.log.open("a") as log:
            traceback.print_exc(file=log)
        rows.append(Row("failed", kind="correctness", holds=False, note=one_line(f"{type(error).__name__}: {error}")))
    for row in rows:
        row.check, row.device = name, machine.device
        if row.seconds is None:
            row.seconds = time.monotonic() - last
    return rows


def kind_of(name):
    return "correctness" if name in ("device", "parity", "greedy") else "speed"


def is_bad(row):
    """Whether a row decides that the exit status is 1: correctness that does not hold, or is not known to."""
    return row.kind == "correctness" and row.holds is not True


def verdict(row):
    if row.holds is None:
        return "LEFT OUT" if row.what == "left out" else ""
    if row.kind == "correctness":
        return "yes" if row.holds else "NO"
    return "met" if row.holds else "not met"


def table_lines(rows):
    def number(value):
        if value is None:
            return ""
        if value == 0 or value != value:
            return f"{value:g}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    head = ["check", "what", "ours", "peer", "unit", "ratio", "goal", "holds", "s", "note"]
    lines = [head] + [
        [
            row.check, row.what, number(row.ours), number(row.peer), row.unit, number(row.ratio), number(row.goal), verdict(row),
            f"{row.seconds:.1f}", row.note,
        ]  # fmt: skip
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)] + [0]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def closing_lines(rows, wanted, machine, out):
    correct = [row for row in rows if row.kind == "correctness"]
    goals = [row for row in rows if row.kind != "correctness" and row.holds is not None]
    left_out = [row.check for row in rows if row.what == "left out"]
    holds = sum(row.holds is True for row in correct)
    lines = [f"{holds} of {len(correct)} checks of correctness hold; {sum(row.holds for row in goals)} of {len(goals)} goals met."]
    if left_out:
        lines.append(f"Left out for want of time: {', '.join(left_out)}.")
    if others := [name for name in CHECKS if name not in wanted]:
        lines.append(f"Not asked for: {', '.join(others)}.")
    if machine.is_dry:
        lines.append("A dry run on the processor with tiny shapes: it says that the check works, and nothing of a GPU; goals are not judged.")
    return [*lines, f"{time.monotonic() - machine.started:.0f} s; {out / 'device_check.parquet'}"]


if __name__ == "__main__":
    sys.exit(main())
