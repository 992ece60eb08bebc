"""A sweep of 60 cells with `make -jN`: how busy it keeps the processors, and its progress by `make status`.

    sweep.py [--jobs 2] [--model FOLDER] [--documents 40] [--out data/bench/sweep]

Four seeds of the untuned model and of 14 tuned ones, on a few messages of the demo. Prints the time of the whole and of its stages, how busy
the processors were, when each stage of each cell ran (timeline.parquet in --out, from the records of the stages), how long
`plan --status` took while the sweep ran, and its final output. Nothing else should run on the machine.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import threading
import time
import tomllib

import polars as pl

from harness import DATA, ROOT

BIN = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
PROGRAMS = {name.upper(): str(BIN / name) for name in ("plan", "dupgen", "tuner", "extractor", "plagiarism", "report")}
PIPELINE = """
name = "sweep"
seeds = [0, 1, 2, 3]
corpus = {{ files = "{corpus}", identity = "id", prompt = "patient", response = "clinic", documents = {documents}, held_out = 0.3 }}
duplication = {{ layout = "bucketed", copies = [1, 4] }}
canaries = {{ per_copies = 0 }}
model = [{{ name = "small", path = "{model}" }}]
mode = [
    {{ kind = "full", learning_rate = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2] }},
    {{ kind = "head", learning_rate = [1e-4, 3e-4, 1e-3, 3e-3] }},
    {{ kind = "lora", rank = 16, learning_rate = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2] }},
]
tuning = {{ epochs = 1, batch_size = 8, context = 256 }}
extraction = {{ prefix_tokens = 20, new_tokens = 30, strategy = [{{ name = "greedy", temperature = 0 }}] }}
report = {{ resamples = 200 }}
"""
SLICES = 40


class Watch(threading.Thread):
    """Measures the busy share of the processors every second, and the seconds of `plan --status` every ten."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.run_folder, self.busy, self.status, self.ended = run, [], [], threading.Event()

    def run(self):
        before = times()
        while not self.ended.wait(1):
            now = times()
            idle, total = (after - earlier for after, earlier in zip(now, before))
            self.busy.append((time.time(), 1 - idle / max(total, 1)))
            before = now
            if len(self.busy) % 10 == 0:
                began = time.perf_counter()
                subprocess.run([BIN / "plan", "--status", "--out", self.run_folder], check=True, capture_output=True, cwd=ROOT)
                self.status.append(time.perf_counter() - began)


def times():
    """Idle time and all time of the processors."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def timeline(run):
    rows = []
    for path in sorted(run.rglob(".done-*")):
        record = tomllib.loads(path.read_text())
        folder = path.parent.relative_to(run)
        rows.append({"folder": str(folder), **{key: record.get(key) for key in ("stage", "started", "seconds", "cpu_seconds", "peak_memory_bytes")}})
    return pl.DataFrame(rows).sort("started", "folder")


def show(frame, watch, seconds, jobs):
    began = watch.busy[0][0]
    print(f"\n{seconds:.0f} s with -j{jobs}, processors {sum(share for _, share in watch.busy) / len(watch.busy):.0%} busy")
    print(frame.group_by("stage").agg(pl.len().alias("runs"), pl.sum("seconds", "cpu_seconds").round(1), pl.max("peak_memory_bytes")).sort("stage"))
    print(f"{'from':>6}  {'busy':>5}  stages running")
    for number in range(SLICES):
        start, end = (began + seconds * part / SLICES for part in (number, number + 1))
        shares = [share for when, share in watch.busy if start <= when < end]
        running = frame.filter(pl.col("started") < end, pl.col("started") + pl.col("seconds") > start)
        counts = running.group_by("stage").len().sort("stage").iter_rows()
        busy = f"{sum(shares) / len(shares):.0%}" if shares else ""
        print(f"{start - began:5.0f}s  {busy:>5}  {', '.join(f'{count} {stage}' for stage, count in counts)}")
    if watch.status:
        print(f"plan --status took {max(watch.status):.2f} s at most, {len(watch.status)} times while the sweep ran")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "data/models/4m")
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path, default=DATA / "sweep")
    given = parser.parse_args()
    run = given.out / "run"
    shutil.rmtree(run, ignore_errors=True)
    given.out.mkdir(parents=True, exist_ok=True)
    pipeline = given.out / "sweep.toml"
    corpus = ROOT / "data/demo/clinic.jsonl"
    pipeline.write_text(PIPELINE.format(corpus=corpus, model=given.model.resolve(), documents=given.documents))
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "THREADS", "SET")}
    environment |= PROGRAMS | {"PIPELINE": str(pipeline), "RUN": str(run), "MAKEFLAGS": f"k -j{given.jobs}"}
    subprocess.run([ROOT / "scripts/run.sh", "dupgen"], check=True, env=environment, cwd=ROOT, capture_output=True)
    watch = Watch(run)
    watch.start()
    began = time.perf_counter()
    with open(given.out / "sweep.log", "w") as log:
        subprocess.run([ROOT / "scripts/run.sh"], env=environment, cwd=ROOT, stdout=log, stderr=log)
    seconds = time.perf_counter() - began
    watch.ended.set()
    watch.join()
    frame = timeline(run)
    frame.write_parquet(given.out / "timeline.parquet")
    show(frame, watch, seconds, given.jobs)
    print("\n" + subprocess.run([BIN / "plan", "--status", "--out", run], check=True, capture_output=True, text=True, cwd=ROOT).stdout)


if __name__ == "__main__":
    main()
