"""Bytes that cannot lie: one bit is turned in a file that a stage wrote, and a stage that reads the file runs again. It has to say which
file is damaged, or to give the very results that it gave before. Run by `make test`; FLIPS=2000 turns that many bits (default 60), SEED
chooses them, and the table at the end counts them by kind of file.
"""

import collections
import os
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import polars as pl

from faults.damage import KINDS, flip
from test_pipeline import PROGRAMS, ROOT, content, make

FLIPS = int(os.environ.get("FLIPS", "60"))
SEED = int(os.environ.get("SEED", "0"))


class BitFlips(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.run_folder = Path(cls.folder.name) / "run"
        make("run", "PIPELINE=pipelines/test.toml", f"RUN={cls.run_folder}", "THREADS=1")
        cls.expected = {}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def stage(self, name, cell):
        """What a stage gives once more: (exit status, what it said, its results)."""
        run = self.run_folder
        corpus = next(path for path in (run / "corpus").iterdir())
        # An adapter names its base by name alone where the two share no folder.
        is_adapter = (cell / "checkpoint/adapter_config.json").exists()
        base = ["--base", ROOT / "tests/fixtures/tiny-gpt2"] if is_adapter else []
        with tempfile.TemporaryDirectory() as out:
            given = {
                "tuner": ["--config", cell / "tuner.toml", "--in", corpus],
                "extractor": ["--config", cell / "extractor.toml", "--in", corpus, "--checkpoint", cell / "checkpoint", *base],
                "plagiarism": ["--config", cell / "plagiarism.toml", "--in", corpus, "--samples", cell / "samples.parquet"],
                "report": ["--config", run / "report/report.toml", "--in", run],
            }[name]
            command = [PROGRAMS / name, *given, "--out", out, "--threads", "1"]
            # A length that was read wrongly must not take the machine's memory.
            limited = ["bash", "-c", 'ulimit -v 64000000; exec "$@"', "_", *map(str, command)]
            done = subprocess.run(limited, capture_output=True, text=True, errors="replace", timeout=120)
            return done.returncode, done.stderr, self.results(Path(out)) if done.returncode == 0 else None

    @staticmethod
    def results(folder):
        tables = {path.relative_to(folder): content(path) for path in folder.rglob("*.parquet")}
        weights = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.safetensors")}
        pages = {path.name: path.read_text() for path in folder.glob("*.json")}
        return tables, weights, pages

    def same(self, left, right):
        tables = [{name: frame.to_dict(as_series=False).__repr__() for name, frame in side[0].items()} for side in (left, right)]
        return tables[0] == tables[1] and left[1:] == right[1:]

    def flip(self, chooser, kind, readers):
        """Turns one bit of one file of this kind; what came of it, and where."""
        cells = [path for path in sorted((self.run_folder / "cells").iterdir()) if (path / "tuner.toml").exists()]
        files = [file for file in sorted(self.run_folder.glob(KINDS[kind][0])) if file.stat().st_size]
        # Of the untuned model's cell, which has no checkpoint, the report alone reads files.
        reader = chooser.choice(readers)
        file = chooser.choice([file for file in files if reader == "report" or "cells" not in file.parts or set(cells) & set(file.parents)])
        cell = next((path for path in cells if path in file.parents), cells[0])
        if (reader, cell) not in self.expected:
            status, said, results = self.stage(reader, cell)
            self.assertEqual(status, 0, said)
            self.expected[reader, cell] = results
        whole = file.read_bytes()
        damaged, bit = flip(whole, chooser)
        where = f"{bit} of {file.relative_to(self.run_folder)}, read by {reader}"
        file.write_bytes(damaged)
        try:
            status, said, results = self.stage(reader, cell)
        finally:
            file.write_bytes(whole)
        if status in (2, 3) and file.name in said:
            return "found", where
        if status == 0:
            return ("harmless" if self.same(results, self.expected[reader, cell]) else "SILENT"), where
        return f"STATUS {status}", f"{where}: {said[-600:]}"

    def test_no_turned_bit_changes_a_result(self):
        chooser = random.Random(SEED)
        counts = collections.defaultdict(collections.Counter)
        wrong = []
        kinds = [kind for kind, (pattern, _) in KINDS.items() if any(self.run_folder.glob(pattern))]
        self.assertEqual(set(KINDS) - set(kinds), set(), "kinds of files that this run does not have")
        for number in range(FLIPS):
            kind = kinds[number % len(kinds)]
            what, where = self.flip(chooser, kind, KINDS[kind][1])
            counts[kind][what] += 1
            if what not in ("found", "harmless"):
                wrong.append(f"{what}: {where}")
        columns = sorted({what for counted in counts.values() for what in counted} | {"found", "harmless"})
        print(f"\n{FLIPS} turned bits, seed {SEED}")
        print(f"{'':26}{'flips':>7}" + "".join(f"{name:>12}" for name in columns))
        for kind, counted in counts.items():
            print(f"{kind:26}{sum(counted.values()):7}" + "".join(f"{counted[name]:12}" for name in columns))
        self.assertEqual(wrong, [])

    def test_a_run_is_verified(self):
        """`report verify` finds what was changed, in a copy of the run folder too."""
        verify = lambda folder: subprocess.run([PROGRAMS / "report", "verify", folder], capture_output=True, text=True)
        with tempfile.TemporaryDirectory(dir=self.folder.name) as place:
            copy = Path(place) / "copy"
            shutil.copytree(self.run_folder, copy)
            done = verify(copy)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(done.stdout.count(" 0 are not; "), 2, done.stdout)
            samples = next(copy.glob("cells/*full*/samples.parquet"))
            scores = next(copy.glob("cells/*full*/scores.parquet"))
            # Other samples, as another program may write them: what was made of the first is not made of these.
            pl.read_parquet(samples).with_columns(seed=pl.lit(5, pl.Int64)).write_parquet(samples)
            damaged = bytearray(scores.read_bytes())
            damaged[len(damaged) // 2] ^= 1
            scores.write_bytes(damaged)
            # Two files of one list, neither of which hides the other.
            listed = [next(copy.glob(f"cells/*full*/checkpoint/{name}")) for name in ("config.json", "tokenizer.json")]
            for file in listed:
                file.write_bytes(file.read_bytes()[:-1] + b" ")
            done = verify(copy)
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            name = samples.relative_to(copy)
            self.assertIn(f"{name.parent}/verdicts.parquet was made from another {name}", done.stdout)
            for file in [scores, *listed]:
                self.assertIn(f"damaged    {file.relative_to(copy)}", done.stdout)
            self.assertIn("written, 3 are not; ", done.stdout)
        done = verify(ROOT / "scripts")
        self.assertEqual(done.returncode, 3)
        self.assertIn("no file that a stage wrote", done.stderr)


if __name__ == "__main__":
    unittest.main()
