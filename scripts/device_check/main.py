"""Runs the checks in turn within a time budget and prints their table. Started by scripts/device_check.sh, which lists the variables."""

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

# In order of importance: the last ones are left out first. A check takes the machine and yields rows.
CHECKS = {
    "device": device.check, "parity": parity.check, "greedy": greedy.check, "tuning": tuning.check, "decoding": decoding.check,
    "scoring": scoring.check, "models": models.check,
}  # fmt: skip


class WrongUsage(Exception):
    """A variable or this Python is not suitable; the message says what to do."""


def main():
    # Exits, so that the running program is killed and temporary files are removed.
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
            of_check = run_check(name, machine)
            rows += of_check
            # After each check, so that results remain if this process is killed.
            parquet_files.write(out / "device_check.parquet", [vars(row) for row in rows], COLUMNS)
            bad = sum(is_bad(row) for row in of_check)
            print(
                f"device_check {number}/{len(wanted)}: {name:<9} {time.monotonic() - started:6.1f} s, {len(of_check)} figures"
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
    get = os.environ.get
    wanted = get("CHECKS", "").replace(",", " ").split() or list(CHECKS)
    if unknown := [name for name in wanted if name not in CHECKS]:
        raise WrongUsage(f"CHECKS: there is no check {unknown[0]}; there are {' '.join(CHECKS)}")
    name = get("DEVICE") or "cuda"
    if name != "cpu" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise WrongUsage(f"DEVICE={name}: expected cuda, cuda:N, or cpu for a dry run")
    try:
        budget = float(get("BUDGET_S") or 300)
    except ValueError as error:
        raise WrongUsage(f"BUDGET_S={get('BUDGET_S')}: expected a number of seconds") from error
    programs = Path(get("BIN") or ROOT / "target/debug").resolve()
    if not programs.is_dir():
        raise WrongUsage(f"BIN={programs} is no folder; expected the folder of tuner, extractor, plan and examples/")
    parquet_files.library()
    shapes = settings.TINY if name == "cpu" else settings.FULL
    if (get("LARGE") or "0") != "0":
        shapes = shapes | {"groups": [*shapes["groups"], shapes["large"]]}
    arguments = {"device": name, "programs": programs, "budget": budget, "shapes": shapes, "torch_folder": torch_folder(name)}
    return wanted, arguments, Path(get("OUT") or ROOT / "data/device-check").resolve()


def torch_folder(name):
    """The folder of this Python's torch. On a GPU it must be the right version for CUDA; on a processor the programs may have their own
    LibTorch."""
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
    versions = [line.replace('"', "'").split("'") for line in lines if line.startswith("__version__")]
    return versions[0][1] if versions and len(versions[0]) > 1 else "of unknown version"


def run_check(name, machine):
    """The rows of a check, with one more if it fails or is left out."""
    left, needed = machine.left(), machine.shapes["seconds"][name]
    last = time.monotonic()
    rows = []
    try:
        if left < needed:
            raise OutOfTime
        for row in CHECKS[name](machine):
            now = time.monotonic()
            rows.append(row)
            row.seconds, last = now - last if row.seconds is None else row.seconds, now
    except OutOfTime as error:
        if error.args:
            note = f"left out: {error} ran when the budget of {machine.budget:.0f} s was used up; BUDGET_S=… gives more"
        else:
            note = f"left out: takes about {needed} s, and {max(left, 0):.0f} s of the budget of {machine.budget:.0f} s were left; BUDGET_S=… gives more"
        rows.append(Row("left out", kind=kind_of(name), note=note))
    except Failed as error:
        rows.append(Row("failed", kind="correctness", holds=False, note=one_line(str(error))))
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
    """Whether a row makes the exit status 1: a check of correctness that does not hold or did not run."""
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
    checks = [row for row in rows if row.kind == "correctness"]
    goals = [row for row in rows if row.kind != "correctness" and row.holds is not None]
    left_out = [row.check for row in rows if row.what == "left out"]
    holds = sum(row.holds is True for row in checks)
    lines = [f"{holds} of {len(checks)} checks of correctness hold; {sum(row.holds for row in goals)} of {len(goals)} goals met."]
    if left_out:
        lines.append(f"Left out for lack of time: {', '.join(left_out)}.")
    if others := [name for name in CHECKS if name not in wanted]:
        lines.append(f"Not requested: {', '.join(others)}.")
    if machine.is_dry:
        lines.append("A dry run on the processor with tiny shapes: it tests the check itself, not a GPU, and judges no goals.")
    return [*lines, f"{time.monotonic() - machine.started:.0f} s; {out / 'device_check.parquet'}"]


if __name__ == "__main__":
    sys.exit(main())
