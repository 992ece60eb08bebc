"""Time of stages on a shared machine: beside busy processes, and beside one another. Run by `make bench-sharing`.

    sharing.py [stages] [jobs] [idle]    (all of them without arguments)

stages: tuner, extractor and plagiarism of a small run, beside 0, 1 and 2 busy processes; the ratio is to the time with none. jobs: the
stages of two cells with `make -j2` and one after the other. idle: the cost of watching the load of idle processors, against threads that
always spin, as in GNU's OpenMP (GOMP_SPINCOUNT=300000). BENCH_TURNS: how often each is measured (3), alternating with its baseline;
medians count. BENCH_STAGES: which stages ("tune extract plagiarism"). Nothing else should run on the machine.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import polars as pl

from harness import DATA, ROOT

TURNS = int(os.environ.get("BENCH_TURNS", 3))
BIN = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
PROGRAMS = {name.upper(): str(BIN / name) for name in ("dupgen", "tuner", "extractor", "plagiarism", "report")}
STAGES = {"tune": ["metrics.parquet", "checkpoint"], "extract": ["samples.parquet", "scores.parquet"], "plagiarism": ["verdicts.parquet", "matches.parquet"]}
STAGES = {stage: STAGES[stage] for stage in os.environ.get("BENCH_STAGES", " ".join(STAGES)).split()}
# Largest time of a stage beside this many busy processes, as a multiple of its time alone.
GOALS = {1: 1.7, 2: 2.2}
JOBS_GOAL, IDLE_GOAL = 1.1, 1.03
BUSY = "while True: pass"
SETTINGS = ["corpus.documents=60", "tuning.epochs=0.5"]


class SmallRun:
    """A run folder with two tuned cells, whose stages are run repeatedly."""

    def __init__(self, folder):
        self.folder = folder
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        pipeline = (ROOT / "pipelines/demo.toml").read_text()
        # Full and LoRA tuning alone: two cells.
        head = pipeline.index("[[mode]]", pipeline.index("[[mode]]") + 1)
        lora = pipeline.index("[[mode]]", head + 1)
        file = folder / "shared.toml"
        file.write_text((pipeline[:head] + pipeline[lora:]).replace('"../data/', f'"{ROOT}/data/'))
        plan = [BIN / "plan", "--config", file, "--out", folder / "run", *settings]
        subprocess.run([str(part) for part in plan], check=True, capture_output=True, cwd=ROOT)
        for stage in ("dupgen", "tune", "extract", "plagiarism"):
            self.make(stage)

    def make(self, stage, *flags, environment=None):
        command = ["make", "--no-print-directory", *flags, "-f", str(self.folder / "run/cells.mk"), stage]
        inherited = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "THREADS")}
        start = time.perf_counter()
        done = subprocess.run(command, env={**inherited, **PROGRAMS, **(environment or {})}, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        return time.perf_counter() - start

    def seconds(self, stage, *flags, environment=None):
        """Seconds of a stage for all cells, without earlier results."""
        for cell in (self.folder / "run/cells").iterdir():
            for name in STAGES[stage]:
                for file in (cell / name, cell / "best" / name):
                    subprocess.run(["rm", "-rf", file])
        return self.make(stage, *flags, environment=environment)


def beside(busy, work):
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        time.sleep(0.5)
        return work()
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def row(case, seconds, alone, goal):
    ratio = seconds / alone
    return {"case": case, "seconds": seconds, "alone": alone, "ratio": ratio, "goal": goal, "holds": ratio <= goal}


def stages(run):
    for stage in STAGES:
        # Alternating, since the speed of a machine drifts by more than the differences of interest.
        work = lambda: run.seconds(stage)
        turns = [(work(), *(beside(busy, work) for busy in GOALS)) for _ in range(TURNS)]
        alone, *shared = (statistics.median(side) for side in zip(*turns))
        for (busy, goal), seconds in zip(GOALS.items(), shared):
            yield row(f"{stage} beside {busy} busy process{'es' if busy > 1 else ''}", seconds, alone, goal)


def jobs(run):
    for stage in [stage for stage in STAGES if stage != "plagiarism"]:
        turns = [(run.seconds(stage), run.seconds(stage, "-j2")) for _ in range(TURNS)]
        alone, both = (statistics.median(side) for side in zip(*turns))
        yield row(f"{stage} of all cells with make -j2", both, alone, JOBS_GOAL)


def idle(run):
    for stage in STAGES:
        turns = [(run.seconds(stage), run.seconds(stage, environment={"GOMP_SPINCOUNT": "300000"})) for _ in range(TURNS)]
        watched, spinning = (statistics.median(side) for side in zip(*turns))
        yield row(f"{stage}, watched against spinning", watched, spinning, IDLE_GOAL)


def main():
    wanted = sys.argv[1:] or ["stages", "jobs", "idle"]
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-sharing-") as folder:
        run = SmallRun(pathlib.Path(folder))
        print(f"{'case':42}  {'seconds':>7}  {'alone':>7}  {'ratio':>5}  {'goal':>4}")
        for part in (stages, jobs, idle):
            for found in part(run) if part.__name__ in wanted else ():
                rows.append(found)
                mark = "" if found["holds"] else "  over"
                print(f"{found['case']:42}  {found['seconds']:7.1f}  {found['alone']:7.1f}  {found['ratio']:5.2f}  {found['goal']:4.2f}{mark}", flush=True)
    DATA.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(DATA / "sharing.parquet")


if __name__ == "__main__":
    main()
