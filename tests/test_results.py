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
from study import capacity, collect, inference, page  # noqa: E402


class Results(unittest.TestCase):
    def test_the_file_is_what_the_data_say(self):
        text = (ROOT / "RESULTS.md").read_text()
        for name, content in study.blocks().items():
            self.assertEqual(study.replace_block(text, name, content), text, f"{name}: python scripts/study results")

    def test_the_page_is_the_file(self):
        made = page.page((ROOT / "RESULTS.md").read_text(), ROOT)
        self.assertEqual((ROOT / "data/results/study/results.html").read_text(), made, "python scripts/study results")
        self.assertNotIn("<!-- ", made)
        self.assertNotIn(" src=", made)

    def test_areas_are_those_of_the_documents(self):
        """Loss alone, and against the untuned model's, by counting pairs; the report's areas come from its own code."""
        key = "corpus model seed".split()
        settings = "mode rank alpha targets dropout learning_rate".split()
        documents = pl.read_parquet(ROOT / "data/results/study/documents.parquet").with_columns(loss=pl.col("nats") / pl.col("tokens"))
        untuned = documents.filter(checkpoint="untuned").select(*key, "doc_id", before="loss")
        cells = pl.read_parquet(ROOT / "data/results/study/cells.parquet").select(*key, *settings, "checkpoint", "cell")
        areas = pl.read_parquet(ROOT / "data/results/study/memberships.parquet")
        scored = documents.join(untuned, on=[*key, "doc_id"]).join(cells, on=[*key, *settings, "checkpoint"], nulls_equal=True)
        looked_at = 0
        # A best checkpoint may be the untuned model, which was measured on another day: what differs in the sixth digit is equal.
        for (cell, checkpoint), rows in scored.group_by("cell", "checkpoint"):
            for score, column in (("loss", -pl.col("loss")), ("reference", (pl.col("before") - pl.col("loss")).round(5))):
                told = areas.filter(cell=cell, checkpoint=checkpoint, score=score)["auc"].to_list()
                if told and (score == "loss" or checkpoint != "untuned"):
                    members, others = (rows.filter(only).select(column).to_series().to_list() for only in (pl.col("split") == "train", pl.col("role") == "test"))
                    self.assertAlmostEqual(told[0], inference.auc(members, others), places=2, msg=f"{cell} {checkpoint} {score}")
                    looked_at += 1
        self.assertGreater(looked_at, 100)

    def test_ways_of_asking_are_compared_on_the_same_documents(self):
        documents = pl.read_parquet(ROOT / "data/results/study/documents.parquet").filter(pl.col("copies") >= 16, split="train", checkpoint="last", mode="full")
        sampled = pl.read_parquet(ROOT / "data/results/study/generations.parquet").filter(strategy="top-k 40", checkpoint="last", mode="full")
        text = (ROOT / "RESULTS.md").read_text()
        section = text[text.index("<!-- prompts -->") : text.index("<!-- end of prompts -->")]
        shared = documents.join(sampled.select(key := ["corpus", "model", "learning_rate", "seed", "doc_id"]), on=key)
        for (corpus, model), rows in shared.group_by("corpus", "model"):
            table = section[section.index(f"**{model} on {corpus}**") :].split("\n\n")[1]
            [line] = [line for line in table.splitlines() if line.startswith("| full |")]
            _, _, rate, counted, *_ = [cell.strip() for cell in line.split("|")]
            of_rate = rows.filter((pl.col("learning_rate") - float(rate)).abs() < 1e-12)
            self.assertEqual(counted, f"{of_rate['verbatim'].sum()}/{of_rate.height}", line)

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

    def test_bits_that_adapters_hold_are_those_of_the_texts(self):
        """Of each size and method once more: what is saved of eleven bits a word."""
        data = pl.read_parquet(ROOT / "data/results/capacity.parquet").filter(checkpoint="last", split="train")
        text = (ROOT / "RESULTS.md").read_text()
        lines = text[text.index("<!-- capacity -->") : text.index("<!-- end of capacity -->")].splitlines()
        looked_at = 0
        data = data.with_columns(saved=(11 * 64 - pl.col("nats") / pl.lit(2.0).log()).clip(0))
        of_cells = data.group_by("mode", "rank", "corpus", "learning_rate").agg(pl.sum("saved"), pl.len(), pl.first("trainable_parameters"))
        # At the rate that memorized most.
        for row in of_cells.sort("saved").unique(["mode", "rank", "corpus"], keep="last", maintain_order=True).iter_rows(named=True):
            name, words = f"LoRA r{row['rank']}" if row["mode"] == "lora" else row["mode"], f"{64 * row['len']:,}"
            [line] = [line.split(" | ") for line in lines if line.startswith(f"| {name} | ") and line.split(" | ")[3] == words]
            self.assertEqual(line[1], f"{row['learning_rate']:g}", line)
            self.assertEqual(line[4], f"{row['saved'] / 1000:.1f}", line)
            self.assertEqual(line[7], f"{row['saved'] / row['trainable_parameters']:.2f}", line)
            looked_at += 1
        self.assertGreater(looked_at, 10)

    def test_law_is_found_where_there_is_one(self):
        sizes = [(rank, length) for rank in (1, 4, 16, 64) for length in (1024, 4096, 16384)]
        found = capacity.law([(rank, length, 3 * rank**0.6 * length**-0.4 + 0.7) for rank, length in sizes])
        for value, expected in zip(found, (3, 0.6, 0.4, 0.7, 1)):
            self.assertAlmostEqual(value, expected, places=2)
        # Learned whole, whatever the rank, or not at all: nothing of that form.
        self.assertIsNone(capacity.law([(rank, length, min(7, 3000 * rank / length)) for rank, length in sizes]))
        self.assertIsNone(capacity.law([(*size, 2.0) for size in sizes]))

    def test_a_run_renews_its_own_cells_and_leaves_the_others(self):
        def frame(*rows):
            settings = dict.fromkeys(collect.SETTINGS) | {"corpus": "c", "model": "m", "mode": "lora"}
            return pl.DataFrame([settings | {"rank": rank, "seed": seed, "value": value} for rank, seed, value in rows], schema_overrides=collect.TYPES | {"rank": pl.Int32})

        earlier, later = frame((4, 0, 1.0), (4, 1, 2.0), (None, 0, 3.0)), frame((4, 1, 20.0), (None, 0, 30.0), (8, 0, 40.0))
        added = collect.added({"cells": earlier}, {"cells": later})["cells"]
        self.assertEqual(sorted(added["value"].to_list()), [1.0, 20.0, 30.0, 40.0])
        self.assertEqual(collect.added({}, {"cells": later})["cells"].rows(), later.rows())

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
