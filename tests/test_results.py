"""RESULTS.md says what data/results holds: its tables and sentences are those that scripts/study makes of the committed files, and counts in them
are counted once more here in another way."""

import random
import re
import sys
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from study import __main__ as study  # noqa: E402
from study import inference  # noqa: E402


class Results(unittest.TestCase):
    def test_the_file_is_what_the_data_say(self):
        text = (ROOT / "RESULTS.md").read_text()
        for name, content in study.blocks().items():
            self.assertEqual(study.replace_block(text, name, content), text, f"{name}: python scripts/study results")

    def test_counts_are_those_of_the_documents(self):
        documents = pl.read_parquet(ROOT / "data/results/study/documents.parquet").filter(split="train", checkpoint="last", mode="full")
        counted = documents.group_by("corpus", "model", "learning_rate", "copies").agg(pl.sum("verbatim"), pl.len().alias("n"))
        text = (ROOT / "RESULTS.md").read_text()
        for (corpus, model), of_place in counted.group_by("corpus", "model"):
            section = text[text.index(f"**{model} on {corpus}**") :].split("\n\n")[1]
            head = [cell.strip() for cell in section.splitlines()[0].split("|")]
            for row in of_place.iter_rows(named=True):
                [line] = [line for line in section.splitlines() if re.match(rf"\| full \| {row['learning_rate']:g} \|", line)]
                column = head.index(f"last, {row['copies']} {'copy' if row['copies'] == 1 else 'copies'}")
                self.assertEqual(line.split("|")[column].strip(), f"{row['verbatim']}/{row['n']}", row)

    def test_statistics_by_hand(self):
        self.assertEqual(inference.sign_test(0, 0), 1.0)
        # Of six documents all one way: 2 / 64.
        self.assertAlmostEqual(inference.sign_test(6, 0), 2 / 64)
        self.assertAlmostEqual(inference.sign_test(1, 3), 2 * (1 + 4) / 16)
        # 10 of 20 by Wilson: 0.5 ± 1.96·√(20/4 + 1.96²/4)/(20 + 1.96²).
        low, high = inference.wilson(10, 20)
        self.assertAlmostEqual(low, 0.29929, places=4)
        self.assertAlmostEqual(high, 0.70071, places=4)
        self.assertEqual(inference.auc([2, 3], [1, 3]), (1 + 0 + 1 + 0.5) / 4)
        self.assertIsNone(inference.auc([], [1]))
        # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / √(4.5 · 5).
        self.assertAlmostEqual(inference.spearman([1, 5, 5, 9], [0, 3, 2, 7]), 4.5 / (4.5 * 5) ** 0.5)
        self.assertIsNone(inference.spearman([1, 1], [2, 3]))

    def test_intervals_of_shares_over_seeds_cover(self):
        """Documents that a model knows by 0.3, each asked in three runs that agree: the interval must count documents, not runs."""
        chance, covered = random.Random(1), 0
        for turn in range(60):
            rows = [(doc, out) for doc in range(60) for out in [chance.random() < 0.3] for _ in range(3)]
            _, n, low, high = inference.share(rows, f"turn {turn}")
            covered += low <= 0.3 <= high
            self.assertEqual(n, 180)
        self.assertGreaterEqual(covered, 52)


if __name__ == "__main__":
    unittest.main()
