"""Benchmarks run without their peers, say what is missing, and refuse a floor that is none."""

import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "scripts" / "bench"
FOLDER = tempfile.TemporaryDirectory()
os.environ["BENCH_DATA"] = FOLDER.name
sys.path.insert(0, str(BENCH))

import harness
import large_corpus
import polars as pl


def peer_missing():
    raise harness.Missing("the peer (set BENCH_PEER)")


def compared(ours, *, higher, floor=None, goal=None, peer=peer_missing):
    """A row of two pairs of turns, in tokens/s or seconds."""
    turn = lambda: (ours, 1_000, None)
    unit = "tokens/s" if higher else "s"
    return harness.compare("test", f"{ours} {unit}", unit, turn, peer, pairs=2, higher=higher, floor=floor, goal=goal)


def finished(rows):
    """Exit status or message, and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            harness.finish("test", rows)
        except SystemExit as end:
            return end.code, printed.getvalue()
    return 0, printed.getvalue()


class LargeCorpusTest(unittest.TestCase):
    def test_text_is_seeded_and_repeats_what_it_says(self):
        urn = large_corpus.vocabulary(random.Random(0), count=2_000, size=20_000)
        texts, again, later = (large_corpus.documents(urn, seed, first) for seed, first in [(1, 0), (1, 0), (1, 4096)])
        self.assertEqual(texts.to_list(), again.to_list())
        count = large_corpus.DOCUMENTS
        self.assertEqual((len(texts), texts.n_unique()), (count + 41, count), "one in a hundred is there twice")
        self.assertEqual(pl.concat([texts, later]).n_unique(), 2 * count, "and no document of one batch is in another")
        # Document 50 has three quarters of document 49 behind words of its own.
        first, second = (text.split(". ", 1)[1] for text in texts[49:51].to_list())
        quarters = len(first) * 3 // 4
        self.assertEqual(second[:quarters], first[:quarters])
        words = pl.Series(" ".join(texts[:count].to_list()).lower().replace(".", "").split()).value_counts(sort=True)
        self.assertGreater(words["count"][0], 20 * words["count"][100], "frequencies fall as in a language")


class FloorTest(unittest.TestCase):
    def test_a_floor_below_our_own_figure_is_refused(self):
        for ours, higher, floor, refused in [
            (100.0, True, 120.0, False),
            (100.0, True, 90.0, True),
            (100.0, False, 90.0, False),
            (100.0, False, 120.0, True),
        ]:
            found = compared(ours, higher=higher, floor=lambda: (floor, "a library"))
            code, printed = finished([found])
            self.assertEqual(code != 0, refused, (ours, higher, floor))
            self.assertIn("a library", printed)

    def test_a_floor_that_was_measured_on_a_busy_machine_is_measured_again(self):
        measured = iter([50.0, 80.0, 130.0])
        found = compared(100.0, higher=True, floor=lambda: (next(measured), "a library"))
        self.assertEqual(found["floor"], 130.0)
        self.assertEqual(finished([found])[0], 0)

    def test_the_rate_is_that_of_the_fastest_library_seen(self):
        turns = iter([{"product": 3.0, "convolution": 5.0}, {"product": 4.0, "convolution": 2.0}])
        run, numpy_rate, example = harness.run, harness.numpy_rate, harness.example
        figures = lambda: next(turns)
        try:
            harness.run = lambda *_: type("Run", (), {"figures": staticmethod(figures)})
            harness.numpy_rate = lambda: {"numpy": 4.5}
            harness.example = lambda *_: "matrix_rates"
            self.assertEqual(harness.floor_rate("float32"), (5.0, "convolution"))
            self.assertEqual(harness.floor_rate("float32"), (5.0, "convolution"))
        finally:
            harness.run, harness.numpy_rate, harness.example = run, numpy_rate, example
            harness._rates.clear()


class PeerTest(unittest.TestCase):
    def test_a_peer_that_is_missing_is_named_and_ours_is_measured(self):
        found = compared(100.0, higher=True)
        self.assertEqual((found["ours"], found["peer"], found["ratio"]), (100.0, None, None))
        code, printed = finished([found])
        self.assertEqual(code, 0)
        self.assertIn("peer missing: the peer (set BENCH_PEER)", printed)
        self.assertEqual(pl.read_parquet(Path(FOLDER.name) / "test.parquet")["ours"].to_list(), [100.0])

    def test_a_goal_is_shown_beside_the_ratio(self):
        for theirs, word in [(20.0, "4 yes"), (50.0, "4 NO")]:
            found = compared(100.0, higher=True, goal=4.0, peer=lambda: (theirs, 1_000, None))
            self.assertIn(word, finished([found])[1])
        self.assertIn("4 ?", finished([compared(100.0, higher=True, goal=4.0)])[1])

    def said_by_setup(self, **variables):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BENCH_")}
        done = subprocess.run(
            ["bash", BENCH / "setup.sh"], capture_output=True, text=True, env=kept | {"BENCH_OFFLINE": "1", "BENCH_DATA": FOLDER.name} | variables
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr.splitlines()

    def test_setup_without_network_says_what_to_set_for_each_peer(self):
        said = self.said_by_setup()
        self.assertEqual(len(said), 3, said)
        for line, variable in zip(said, ["BENCH_PYTHON", "BENCH_DEDUPLICATE", "BENCH_DETECTOR"], strict=True):
            self.assertIn("missing", line)
            self.assertIn(variable, line)

    def test_peers_that_are_given_as_folders_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            detector, program = Path(folder) / "PAN2015.py", Path(folder) / "dedup_dataset"
            detector.touch(), program.touch()
            said = self.said_by_setup(BENCH_PYTHON=sys.executable, BENCH_DEDUPLICATE=str(program), BENCH_DETECTOR=folder)
            self.assertFalse(any("missing" in line for line in said), said)


if __name__ == "__main__":
    unittest.main()
