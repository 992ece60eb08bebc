"""Compares ours with a peer: turns alternate, the first of each is a warm-up, ratios are taken pair by pair.

A benchmark is a list of cases. Each case is a program of ours and one of a peer that do the same work; a program is a command line
whose last line of output is JSON with the figures that the case compares. A missing program is reported, with the variable to set, and
the rest is run.

A floor is what this machine would take for the arithmetic alone, at the rate of the fastest library (`floor_rate`). If ours is better
than its floor, the floor is wrong, and the benchmark ends with status 1. A goal is the ratio to the peer that the project wants.
"""

import dataclasses
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import polars as pl

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("BENCH_DATA", ROOT / "data/bench"))
PYTHON = pathlib.Path(os.environ.get("BENCH_PYTHON") or DATA / "venv/bin/python")
NEEDS_PYTHON = "set BENCH_PYTHON to a Python with scripts/bench/requirements.txt, or BENCH_WHEELS to a folder of its wheels"
THREADS = int(os.environ.get("THREADS") or os.cpu_count())
COLUMNS = {
    "bench": pl.String, "case": pl.String, "unit": pl.String, "ours": pl.Float64, "peer": pl.Float64, "ratio": pl.Float64,
    "ratio_min": pl.Float64, "ratio_max": pl.Float64, "goal": pl.Float64, "floor": pl.Float64, "floor_by": pl.String, "ours_peak_bytes": pl.Int64,
    "peer_peak_bytes": pl.Int64, "equal": pl.Boolean, "note": pl.String,
}  # fmt: skip


@dataclasses.dataclass
class Run:
    """One finished process."""

    seconds: float
    peak_bytes: int
    output: str
    errors: str

    def figures(self):
        """The JSON object on the last line of the output."""
        return json.loads(self.output.strip().splitlines()[-1])


class Missing(Exception):
    """A program or text is missing; the message says what to do."""


# Starts commands from a small process, since the system counts in a child's peak memory what its parent held. Its arguments are the file
# for the figures and the command.
LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as figures:
    print(time.perf_counter() - start, usage.ru_maxrss, file=figures)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


def run(command, environment=None, folder=None):
    """Runs a command, with the peak memory that the system counted for it and its children."""
    command = [str(part) for part in command]
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors, tempfile.NamedTemporaryFile("r") as figures:
        environment = {**os.environ, **(environment or {})}
        code = subprocess.call([*launched, figures.name, *command], stdout=output, stderr=errors, cwd=folder, env=environment)
        output.seek(0), errors.seek(0)
        output, errors, figures = output.read(), errors.read(), figures.read().split()
    if code != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {code}\n{errors[-2000:]}")
    return Run(float(figures[0]), int(figures[1]) * (1 if sys.platform == "darwin" else 1024), output, errors)


def compare(bench, case, unit, ours, peer, *, pairs=5, higher=False, floor=None, goal=None, equal=None, note=""):
    """One row: `ours` and `peer` are functions without arguments that return (value, peak bytes, result).

    The ratio is over 1 if ours is better; `higher` says that larger values are better. `equal` gets both results of a pair. `peer` may
    be None, or raise Missing. `floor` is a function that returns (value, library); it is called after the turns, and again if ours is
    better, since the machine may have been busy while it was measured.
    """
    our_values, peer_values, ratios, peaks, agree = [], [], [], ([], []), []
    for turn in range(pairs + 1):
        sides = (0, 1) if turn % 2 == 0 else (1, 0)
        results = {}
        for side in sides:
            program = (ours, peer)[side]
            if program is None:
                continue
            try:
                results[side] = program()
            except Missing as missing:
                if side == 0:
                    return row(bench, case, unit, note=f"missing: {missing}")
                peer, note = None, f"{note}; peer missing: {missing}".lstrip("; ")
        report_progress(f"{case}: {f'pair {turn} of {pairs}' if turn else 'warm-up'}: {', '.join(f'{results[side][0]:,.4g}' for side in sorted(results))} {unit}")
        if turn == 0:
            continue
        our_values.append(results[0][0])
        peaks[0].append(results[0][1])
        if 1 in results:
            peer_values.append(results[1][0])
            peaks[1].append(results[1][1])
            ratios.append(our_values[-1] / peer_values[-1] if higher else peer_values[-1] / our_values[-1])
            if equal is not None:
                agree.append(bool(equal(results[0][2], results[1][2])))
    best = max(our_values) if higher else min(our_values)
    value, library = floor() if floor else (None, None)
    for _ in range(FLOOR_TURNS):
        if value is None or not beats_floor(best, value, higher):
            break
        value, library = floor()
    return row(
        bench, case, unit, ours=statistics.median(our_values), peer=statistics.median(peer_values) if peer_values else None,
        ratio=statistics.median(ratios) if ratios else None, ratio_min=min(ratios, default=None),
        ratio_max=max(ratios, default=None), goal=goal, floor=value, floor_by=library, ours_peak_bytes=max(peaks[0]),
        peer_peak_bytes=max(peaks[1], default=None), equal=all(agree) if agree else None, note=note,
    )  # fmt: skip


def report_progress(line):
    """Prints what has been measured so far, since the table comes at the end: ours, then the peer's."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


FLOOR_TURNS = 3


def beats_floor(ours, floor, higher):
    """Whether a figure is better than its floor."""
    return ours > floor if higher else ours < floor


def is_rate(unit):
    """Whether larger values of a unit are better."""
    return unit.endswith("/s")


def rows_that_beat_their_floor(rows):
    """The rows in which ours is better than the floor."""
    return [r for r in rows if r["floor"] is not None and r["ours"] is not None and beats_floor(r["ours"], r["floor"], is_rate(r["unit"]))]


_rates = {}


def floor_rate(precision):
    """(operations per second, library) of the fastest product of large matrices in this run so far. Each call measures once more."""
    rates = run([example("cpu-kernels", "matrix_rates"), THREADS, precision]).figures()
    if precision == "float32":
        rates |= numpy_rate()
    for library, rate in rates.items():
        _rates[precision] = max(_rates.get(precision, (0.0, "")), (rate, library))
    return _rates[precision]


NUMPY_RATE = """
import json, time, numpy
left = numpy.random.default_rng(0).random((2048, 2048), dtype="f4")
times = []
for _ in range(12):
    start = time.perf_counter()
    left @ left
    times.append(time.perf_counter() - start)
print(json.dumps({"numpy": 2 * 2048**3 / min(times)}))
"""


def numpy_rate():
    """numpy's rate, with whatever library it is built on, in the peers' Python or this one; empty if neither has numpy."""
    threads = dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"], str(THREADS))
    for python in [PYTHON, sys.executable]:
        try:
            return run([needs(python, ""), "-c", NUMPY_RATE], threads).figures()
        except (Missing, RuntimeError):
            continue
    return {}


def row(bench, case, unit, **values):
    return {**dict.fromkeys(COLUMNS), "bench": bench, "case": case, "unit": unit, "note": "", **values}


def finish(bench, rows):
    """Writes data/bench/<bench>.parquet, prints the table and what is missing, and exits with 1 if ours beats a floor."""
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    DATA.mkdir(parents=True, exist_ok=True)
    partial = DATA / f"{bench}.parquet.partial"
    table.write_parquet(partial)
    partial.rename(DATA / f"{bench}.parquet")
    number = lambda value: "" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    megabytes = lambda value: "" if value is None else f"{value / 1e6:,.0f}"
    reached = lambda r: "?" if r["ratio"] is None else "yes" if r["ratio"] >= r["goal"] else "NO"
    goal = lambda r: "" if r["goal"] is None else f"{r['goal']:g} {reached(r)}"
    head = ["case", "unit", "ours", "peer", "ratio", "min", "max", "goal", "floor", "MB", "peer MB", "equal", "note"]
    lines = [head] + [
        [
            r["case"], r["unit"], number(r["ours"]), number(r["peer"]), number(r["ratio"]), number(r["ratio_min"]),
            number(r["ratio_max"]), goal(r), number(r["floor"]), megabytes(r["ours_peak_bytes"]), megabytes(r["peer_peak_bytes"]),
            "" if r["equal"] is None else "yes" if r["equal"] else "NO", r["note"],
        ]  # fmt: skip
        for r in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)] + [0]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for library in sorted({r["floor_by"] for r in rows if r["floor_by"]}):
        print(f"floor: at the rate of {library}, the fastest of LibTorch's product, its convolution and numpy's product")
    for note in sorted({part for r in rows for part in r["note"].split("; ") if "missing: " in part}):
        print(note)
    if beaten := rows_that_beat_their_floor(rows):
        cases = ", ".join(r["case"] for r in beaten)
        sys.exit(f"bench: faster than the floor, which must be wrong: {cases}. Was the machine busy while it was measured?")


def needs(path, advice):
    """`path`, if it exists."""
    path = pathlib.Path(path)
    if not path.exists():
        raise Missing(f"{path} ({advice})")
    return path


@functools.cache
def example(crate, name):
    """The cargo example `name` of `crate`: from the folder BENCH_EXAMPLES, or else built now."""
    if built := os.environ.get("BENCH_EXAMPLES"):
        return needs(pathlib.Path(built) / name, "named by BENCH_EXAMPLES")
    build = ["cargo", "build", "--quiet", "--locked", "-p", crate, "--example", name, "--message-format=json"]
    listing = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    programs = [json.loads(line).get("executable") for line in listing.stdout.splitlines() if line.startswith("{")]
    programs = [program for program in programs if program]
    if listing.returncode != 0 or not programs:
        raise Missing(f"example {name} of {crate} (it does not build)")
    return pathlib.Path(programs[-1])
