"""How far a run is, what failed and why, who may run beside whom, and how many jobs memory holds: on pipelines/test.toml with make around it.

Run by `make test`. Nothing is built here.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"
GIVEN = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "SET", "RUN", "PIPELINE", "THREADS", "PLAN", "TUNER")
# A rate at which full tuning ends in numbers that are none.
BROKEN = "SET=mode.0.learning_rate=1e30"
BROKEN_CELL = "tiny-full-1e30-bucketed-s0"


def make(*arguments):
    """Exit status and all that was said."""
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN}
    command = ["make", "--no-print-directory", *arguments, "PIPELINE=pipelines/test.toml", "CARGO=true"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def status(run):
    done = subprocess.run([PROGRAMS / "plan", "--status", "--json", "--out", run], cwd=ROOT, check=True, capture_output=True)
    return json.loads(done.stdout)


def states(run):
    """The state of each stage, by row and column."""
    told = status(run)
    rows = [*told["training_sets"], *told["cells"], *told["results"]]
    return {(row["name"], stage["name"]): stage["state"] for row in rows for stage in row["stages"]}


class Status(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.run_folder = Path(cls.folder.name) / "run"
        cls.run_variable = f"RUN={cls.run_folder}"
        cls.exit_status, cls.said = make("-k", "-j2", "run", cls.run_variable, BROKEN)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        # Each test has a folder of its own; times stay what they are.
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.run = Path(place.name) / "run"
        shutil.copytree(self.run_folder, self.run, symlinks=True)

    def test_a_run_goes_on_past_a_failed_cell_and_ends_with_what_failed_and_why(self):
        self.assertEqual(self.exit_status, 2, self.said)
        table = self.said[self.said.index(f"{self.run_folder}: 4 cells: ✓ 3 done, ✗ 1 failed. ") :]
        self.assertRegex(table, rf"\n  {BROKEN_CELL} +tuner +1, after ")
        self.assertIn("a lower learning rate", " ".join(table.split()))
        self.assertIn("There is no report", table)
        self.assertIn("Error 1", table)
        self.assertNotIn("jobserver", self.said)
        self.assertFalse((self.run_folder / "report/report.html").exists())
        self.assertEqual((self.run_folder / "exit_status").read_text().strip(), "1")

    def test_status_says_the_same_from_a_copied_folder(self):
        told = states(self.run_folder)
        self.assertEqual(told, states(self.run))
        of_broken = {stage: state for (row, stage), state in told.items() if row == BROKEN_CELL}
        self.assertEqual(of_broken, {"tuner": "failed", "extractor": "to-do", "plagiarism": "to-do", "best": "to-do"})
        others = {state for (row, _), state in told.items() if row not in (BROKEN_CELL, "report")}
        self.assertEqual(others, {"done"})
        for row in status(self.run)["cells"]:
            for stage in row["stages"]:
                if stage["state"] == "done":
                    self.assertGreater(stage["seconds"], 0, stage)

        exit_status, said = make("status", f"RUN={self.run}")
        self.assertEqual(exit_status, 0, said)
        self.assertTrue(said.startswith(f"{self.run}: 4 cells: ✓ 3 done, ✗ 1 failed. "), said)
        self.assertLessEqual(max(len(line) for line in said.splitlines()[1:]), 120, said)

    def test_what_was_broken_is_made_and_nothing_else(self):
        before = {path: path.stat().st_mtime_ns for path in self.run.glob("cells/*base*/*.parquet")}
        exit_status, said = make("-j2", "run", f"RUN={self.run}")
        self.assertEqual(exit_status, 0, said)
        self.assertIn("4 cells: ✓ 4 done. ", said)
        self.assertEqual(before, {path: path.stat().st_mtime_ns for path in before})
        self.assertEqual(set(states(self.run).values()), {"done"})
        # The records are no results.
        verified = subprocess.run([PROGRAMS / "report", "verify", self.run], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        self.assertNotIn(".done-", verified)

    def command(self, cell):
        corpus = self.run / "corpus/bucketed-s0"
        return [PROGRAMS / "tuner", "--config", cell / "tuner.toml", "--in", corpus, "--out", cell, "--threads", "1", "--force"]

    def test_a_second_stage_in_the_same_folder_is_refused_and_a_killed_one_is_told(self):
        cell = next(self.run.glob("cells/*lora*"))
        row = (cell.name, "tuner")
        (cell / "metrics.parquet").unlink()
        first = subprocess.Popen(self.command(cell), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            record = cell / ".running-tuner"
            while not (record.exists() and record.stat().st_size):
                self.assertIsNone(first.poll(), "it ended before it was stopped")
                time.sleep(0.001)
            first.send_signal(signal.SIGSTOP)
            self.assertEqual(states(self.run)[row], "running")
            second = subprocess.run(self.command(cell), cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(second.returncode, 1, second.stderr)
            self.assertIn(f"tuner is running in this folder already (process {first.pid} on ", second.stderr)
            self.assertEqual(tomllib.loads(record.read_text())["pid"], first.pid)
            # What runs through make is refused too, and does not take the other's record away.
            exit_status, said = make("tune", f"RUN={self.run}")
            self.assertEqual(exit_status, 2, said)
            self.assertIn(f"(process {first.pid} on ", said)
            self.assertEqual(states(self.run)[row], "running")
        finally:
            first.kill()
            first.wait()
        self.assertEqual(states(self.run)[row], "failed")
        _, said = make("status", f"RUN={self.run}")
        self.assertIn("it ended without a message: it was killed", said)
        subprocess.run(self.command(cell), cwd=ROOT, check=True, capture_output=True)
        self.assertEqual(states(self.run)[row], "done")

    def test_jobs_are_lowered_to_what_memory_holds(self):
        """A plan that is told of less memory than there is."""
        plan = self.run.parent / "plan.sh"
        plan.write_text(f'case " $* " in *" --at-once "*) set -- "$@" --memory 1e9 ;; esac\nexec "{PROGRAMS}/plan" "$@"\n')
        exit_status, said = make("-k", "-j8", "run", f"RUN={self.run}", f"PLAN=sh {plan}", BROKEN)
        self.assertEqual(exit_status, 2, said)
        # Only the broken cell is still to be made, and one of it fits.
        self.assertNotIn("jobs at once", said)
        shutil.rmtree(self.run / "cells")
        exit_status, said = make("-k", "-j8", "tune", f"RUN={self.run}", f"PLAN=sh {plan}", BROKEN)
        self.assertIn("\n2 of 8 jobs at once: cells take up to ", "\n" + said)
        self.assertNotIn("jobserver", said)
        self.assertIn(f"{BROKEN_CELL} ", said)
        self.assertEqual({state for (_, stage), state in states(self.run).items() if stage == "tuner"}, {"done", "failed"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
