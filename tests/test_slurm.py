"""The test pipeline through a real Slurm of one node, with faults in the middle, against the same pipeline through make.

The test starts munged, slurmctld and slurmd itself, in a folder of its own (scripts/slurm/cluster.sh), and ends them. Where Slurm is not
installed it says so and does not run. Run by `make test`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

from test_pipeline import PROGRAMS, ROOT, content, parquet_files

CLUSTER = ROOT / "scripts/slurm/cluster.sh"
PROGRAM_NAMES = ["plan", "dupgen", "tuner", "extractor", "plagiarism", "report"]
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
LACKING = [name for name in ["munged", "slurmctld", "slurmd", "sbatch", "flock"] if not shutil.which(name, path=PATH)]
# Training long enough that it can be interrupted, with a state that is saved all the time.
SETTINGS = "tuning.epochs=30 tuning.save_seconds=0.1"
CLUSTER_SETTINGS = "cluster.cpus=1 cluster.min_memory_gb=0.1"
# On a machine that others use too.
PATIENCE_S = 180


def environment(**more):
    passed = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "THREADS")}
    return passed | {"PATH": PATH} | {name.upper(): str(PROGRAMS / name) for name in PROGRAM_NAMES} | more


def command(*words, **options):
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def run_script(stage, run, settings=""):
    """scripts/run.sh as the Makefile calls it."""
    variables = {"PIPELINE": "pipelines/test.toml", "RUN": str(run), "THREADS": "1", "SET": f"{SETTINGS} {settings}"}
    return command("scripts/run.sh", stage, env=environment(**variables))


def wait_for(what, happened):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = happened()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


def process_of(program, folder):
    """The id of the process that runs a program of ours with that folder as --out."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0] == str(program) and "--out" in words and words[words.index("--out") + 1] == str(folder):
            return int(path.parent.name)
    return None


@unittest.skipIf(
    LACKING,
    f"DID NOT RUN: {', '.join(LACKING)} not installed. It needs Slurm (Debian, Ubuntu: apt-get install slurm-wlm); all but Slurm itself is "
    "tested in crates/plan",
)
class Slurm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cluster = cls.folder / "cluster"
        cls.addClassCleanup(subprocess.run, [CLUSTER, "stop", cluster], check=True, timeout=60)
        cls.expected = cls.folder / "by-make"
        run_script("all", cls.expected)
        command(CLUSTER, "start", cluster, env=environment(CPUS="2"))
        cls.slurm = environment(SLURM_CONF=str(cluster / "slurm.conf"))

    def shell(self, *words):
        return command(*words, env=self.slurm)

    def submit(self, run):
        return self.shell("bash", run / "slurm/submit.sh")

    def queue(self):
        """(array job, element, state) of what is queued; elements that wait together are in one line."""
        lines = self.shell("squeue", "--noheader", "--format=%F %K %T").splitlines()
        return [tuple(line.split()) for line in lines]

    def jobs(self, run):
        return {job["array"]: job["id"] for job in tomllib.loads((run / "slurm/jobs.toml").read_text())["job"]}

    def wait_for_end(self):
        wait_for("an empty queue", lambda: not self.queue())

    def assert_same_results(self, run):
        files = {path.relative_to(self.expected) for path in parquet_files(self.expected)}
        found = {path.relative_to(run) for path in parquet_files(run)}
        self.assertEqual(found, files)
        for path in files:
            self.assertTrue(content(run / path).equals(content(self.expected / path)), path)
        weights = {path.relative_to(self.expected) for path in self.expected.glob("cells/**/*.safetensors")}
        self.assertGreaterEqual(len(weights), 6)
        for path in weights:
            self.assertEqual((run / path).read_bytes(), (self.expected / path).read_bytes(), path)

    def test_a_node_drained_a_job_put_back_and_a_stage_killed_change_no_result(self):
        run = self.folder / "run"
        run_script("slurm", run, f'{CLUSTER_SETTINGS} cluster.setup=["echo of the site"]')
        self.submit(run)
        jobs = self.jobs(run)
        node = os.uname().nodename.split(".")[0]
        cells = {name: next(path for path in (run / "cells").iterdir() if f"-{name}" in path.name) for name in ("full", "head", "lora")}

        # The node is drained while cells are trained: what runs goes on, nothing new begins.
        wait_for("a state to resume from", lambda: list(cells["full"].glob("*/state.safetensors")))
        self.shell("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
        # One of them is put back into the queue, as pre-emption does.
        self.shell("scontrol", "requeue", f"{jobs['tuner']}_1")
        wait_for("a node without jobs", lambda: self.shell("sinfo", "--noheader", "--format=%T").strip() == "drained")
        self.assertTrue(self.queue())
        self.assertNotIn("RUNNING", {state for _, _, state in self.queue()})
        self.assertFalse((cells["full"] / "metrics.parquet").exists())
        self.shell("scontrol", "update", f"NodeName={node}", "State=RESUME")

        # A stage is killed.
        lora = wait_for("training of LoRA", lambda: process_of(PROGRAMS / "tuner", cells["lora"]))
        wait_for("a state to resume from", lambda: list(cells["lora"].glob("*/state.safetensors")))
        os.kill(lora, signal.SIGKILL)
        self.wait_for_end()

        logs = run / "slurm/logs"
        put_back = (logs / "tuner.1.log").read_text()
        self.assertIn("of the site", put_back)
        self.assertIn("start 2", put_back)
        self.assertIn("resuming after step", put_back)
        # What is made from the killed one is cancelled; all else is there, but no report that lacks a cell.
        self.assertTrue((cells["full"] / "best/verdicts.parquet").exists())
        self.assertTrue((cells["head"] / "best/verdicts.parquet").exists())
        self.assertFalse((cells["lora"] / "samples.parquet").exists())
        self.assertFalse((logs / "extractor-1.3.log").exists())
        self.assertFalse((run / "report/report.html").exists())
        self.assertIn(f"{cells['lora'].name}: tuner", (logs / "report.1.log").read_text())

        # Once more: what lacks is made, and nothing else is submitted.
        before = {path: path.stat().st_mtime_ns for path in parquet_files(run)}
        told = self.submit(run)
        self.assertIn("dupgen: done", told)
        self.wait_for_end()
        self.assertIn("resuming after step", (logs / "tuner.3.log").read_text())
        after = {path: path.stat().st_mtime_ns for path in before}
        self.assertEqual(before, after)
        self.assert_same_results(run)
        self.assertIn("Nothing to be done", self.submit(run))
        self.assertIn("Nothing to be done", run_script("all", run))

    def test_a_second_submission_waits_until_the_first_has_ended(self):
        run = self.folder / "twice"
        run_script("slurm", run, CLUSTER_SETTINGS)
        self.submit(run)
        again = subprocess.run(["bash", run / "slurm/submit.sh"], cwd=ROOT, env=self.slurm, capture_output=True, text=True)
        self.assertEqual(again.returncode, 1, again)
        self.assertIn("in the queue", again.stderr)
        self.shell("scancel", *map(str, self.jobs(run).values()))
        self.wait_for_end()
        self.submit(run)
        self.shell("scancel", *map(str, self.jobs(run).values()))
        self.wait_for_end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
