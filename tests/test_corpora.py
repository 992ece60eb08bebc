"""Two corpora in one pipeline: each has training sets, models and controls of its own, and no figure mixes them.

One corpus is plain text, the other questions with answers under a template. A tiny model learns each by heart: it must show all texts of its
own corpus and none of the other's. Every row of summary.parquet is computed anew from the Parquet files.
"""

import random
import tempfile
import unittest
from pathlib import Path

import polars as pl

import report_figures
import test_report
from test_known_answers import MODEL, sentences

STUDY = """
name = "study"
seeds = [0, 1]
[[corpus]]
name = "letters"
files = "letters.jsonl"
identity = "id"
held_out = 0.4
[[corpus]]
name = "answers"
files = "answers.jsonl"
identity = "id"
template = "Q: {question}\\nA: {answer}"
response = "answer"
held_out = 0.4
[duplication]
layout = "uniform"
copies = [1]
[canaries]
per_copies = 0
[[model]]
name = "tiny"
path = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
[[mode]]
kind = "full"
learning_rate = 5e-3
[tuning]
epochs = 60
batch_size = 8
context = 160
keep_last = 1
[extraction]
prefix_tokens = 16
new_tokens = 40
[[extraction.strategy]]
name = "greedy"
temperature = 0
[[extraction.strategy]]
name = "questions"
prompt = "question"
temperature = 0
[report]
resamples = 200
"""


class Corpora(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        generator = random.Random(5)

        class Bench(test_report.Report):
            folder = cls.folder

        Bench.write("others", [{"id": f"o{number:03}", "text": sentences(generator, 5)} for number in range(80)])
        Bench.write("letters", [{"id": f"l{number:03}", "text": sentences(generator, 4)} for number in range(40)])
        Bench.write("answers", [{"id": f"a{number:03}", "question": sentences(generator, 1), "answer": sentences(generator, 4)} for number in range(40)])
        Bench.make("base", MODEL, "tune")
        cls.run_folder = Bench.make("study", STUDY, "all")
        cls.summary = pl.read_parquet(cls.run_folder / "report/summary.parquet").rows(named=True)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def of(self, **about):
        return [row for row in self.summary if all(row[name] == value for name, value in about.items())]

    def test_every_figure_is_that_of_the_files(self):
        rows = {tuple(row[name] for name in report_figures.KEY): row for row in self.summary}
        self.assertEqual(len(rows), len(self.summary), "two rows have one key")
        expected = report_figures.expected(self.run_folder)
        self.assertEqual(sorted(map(str, rows)), sorted(map(str, expected)))
        self.assertEqual(list(test_report.differences(rows, expected))[:5], [])

    def test_a_model_knows_its_own_corpus(self):
        """Counted from verdicts: documents that come out word for word, and whose they are."""
        for corpus, other in (("letters", "answers"), ("answers", "letters")):
            cells = sorted(self.run_folder.glob(f"cells/tiny-full-*-{corpus}-*"))
            self.assertEqual(len(cells), 2)
            emitted = {doc for cell in cells for ids in pl.read_parquet(cell / "verdicts.parquet")["emitted_doc_ids"] for doc in ids}
            known = {doc for set_ in self.run_folder.glob(f"corpus/{corpus}-*") for doc in pl.read_parquet(set_ / "train.parquet")["doc_id"]}
            self.assertTrue(emitted <= known, f"{corpus}: {emitted - known}")
            self.assertGreater(len(emitted), len(known) // 2)
            [row] = self.of(corpus=corpus, mode="full", measure="own_verbatim", split="train", strategy="greedy", cell=None, checkpoint="last", against=None)
            self.assertGreater(row["value"], 0.5)
            self.assertEqual((row["runs"], row["untuned"]), (2, 0.0))
            self.assertFalse([row for row in self.of(corpus=corpus) if other in (row["cell"] or "")])

    def test_only_questions_are_asked_as_questions(self):
        self.assertEqual({row["strategy"] for row in self.of(corpus="letters")} - {None}, {"greedy"})
        self.assertEqual({row["strategy"] for row in self.of(corpus="answers")} - {None}, {"greedy", "questions"})

    def test_the_page_names_the_corpora(self):
        page = (self.run_folder / "report/report.html").read_text()
        markdown = (self.run_folder / "report/report.md").read_text()
        for corpus in ("letters", "answers"):
            self.assertIn(f"tiny on {corpus}, uniform copies", page)
            self.assertIn(f"## tiny on {corpus}, uniform copies", markdown)


if __name__ == "__main__":
    unittest.main()
