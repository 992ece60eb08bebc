"""Known answers for a look before tuning: what is planted in a corpus comes out in exact numbers, with and without a model."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
OWN = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
GIVEN = ("CHECKPOINT", "CORPUS", "BASE", "HELD_OUT", "OTHER", "MODEL", "SET", "RUN", "PIPELINE", "THREADS", "AUDIT")
TINY = "tests/fixtures/tiny-gpt2"  # its context is 64 tokens


def make(*arguments):
    environment = {name: value for name, value in OWN.items() if name not in GIVEN}
    done = subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def words(number, count=24, edits=()):
    """Words that no other number has, but for those at some places."""
    return " ".join(f"other{place}of{number}" if place in edits else f"w{number}x{place}y" for place in range(count))


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


class Look(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def look(self, corpus, status=0, **variables):
        """scripts/run.sh as `make check` calls it; gives the table, its rows by label, and check.parquet."""
        environment = {name: value for name, value in OWN.items() if name not in GIVEN}
        environment |= {name.upper(): str(PROGRAMS / name) for name in "plan dupgen tuner extractor plagiarism report check".split()}
        environment |= {"LOOK": "1", "PIPELINE": "pipelines/check.toml", "RUN": str(self.folder / "run"), "CORPUS": str(corpus)}
        environment |= {name: str(value) for name, value in variables.items()}
        done = subprocess.run([ROOT / "scripts/run.sh", "all"], cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        if status:
            return done.stdout + done.stderr
        table = done.stderr[done.stderr.rindex("\ndocuments  ") :]
        lines = [line for line in table.splitlines() if len(line) > 20]
        counts = {line[:20].strip(): line[20:29].strip() for line in lines}
        return table + done.stdout, counts, pl.read_parquet(self.folder / "run/check/check.parquet")

    def assert_counts(self, counts, expected):
        for label, count in expected.items():
            self.assertEqual(counts[label], str(count), label)

    def test_planted_copies_details_and_overlap_come_out_in_exact_numbers(self):
        clean = [{"id": f"c{number}", "body": words(number)} for number in range(20)]
        copied = [{"id": f"k{number}-{copy}", "body": words(100 + number)} for number in range(3) for copy in range(4)]
        variant = [{"id": "k0-v", "body": "  " + words(100).upper().replace(" ", "\n")}]
        # Of 17 runs of eight words one edit in the middle spoils eight.
        near = [{"id": f"n{number}-{edits}", "body": words(200 + number, edits=edits)} for number in range(2) for edits in ((), (12,))]
        details = [
            {"id": "mail", "body": words(300) + " ann@example.org"},
            {"id": "phone", "body": words(301) + " (406) 555-0117"},
            {"id": "number", "body": words(302) + " code 402917"},
            {"id": "name", "body": words(303) + " we asked Dr. Okafor"},
        ]
        corpus = write(self.folder / "corpus.jsonl", clean + copied + variant + near + details + [{"id": "empty", "body": " "}])
        held_out = [{"id": f"same{number}", "body": words(number)} for number in range(3)]
        held_out += [{"id": "same-v", "body": words(3).upper()}]
        held_out += [{"id": f"near{number}", "body": words(4 + number, edits=(12,))} for number in range(3)]
        held_out += [{"id": f"own{number}", "body": words(400 + number)} for number in range(5)]
        held_out = write(self.folder / "held out.jsonl", held_out)
        settings = "corpus.text=body corpus.identity=id"
        expected = {
            "documents": 20 + 3 + 4 + 4,
            "left out": 1,
            "copies": 3,
            "near copies": 4,
            "personal details": 4,
            "numbers": 1,
            "names": 1,
            "e-mails": 1,
            "phones": 1,
            "no loss": 0,
            "at risk": 3,
            "held out, the same": 4,
            "held out, near": 3,
            "held out, passages": 3,
        }
        table, counts, check = self.look(corpus, HELD_OUT=held_out, SET=settings)
        self.assert_counts(counts, expected | {"cut by the context": "-", "tokens with loss": "-"})
        self.assertIn("10 copies, 1 of them the same up to white space and case alone", table)
        self.assertIn("1 documents left out: empty", table)
        self.assertIn("copies and zlib alone: MODEL= adds", table)
        train = check.filter(pl.col("split") == "train")
        self.assertEqual(train["doc_id"][0], "k0-0", "five copies are most at risk")
        self.assertEqual(train["copies"].to_list()[:3], [5, 4, 4])
        self.assertEqual(check.filter(pl.col("doc_id") == "n0-()")["nearest_doc_id"].to_list(), ["n0-(12,)"])
        page = (self.folder / "run/check/check.html").read_text()
        self.assertIn("k0-0", page)
        self.assertIn("first 80 characters", page)

        # The same with the model that is going to be tuned: every document is longer than its context.
        table, counts, check = self.look(corpus, HELD_OUT=held_out, SET=settings, MODEL=TINY)
        self.assert_counts(counts, expected | {"cut by the context": 31})
        train = check.filter(pl.col("split") == "train")
        self.assertEqual(train["loss_tokens"].unique().to_list(), [63])
        self.assertEqual(train["untuned_loss"].null_count(), 0)
        self.assertEqual(train["risk_by"].unique().to_list(), ["model"])
        self.assertIn("loss before tuning", table)
        # So many are scored as are asked for; the others stand on the same scale.
        few = " extraction.scored_documents=10"
        table, counts, check = self.look(corpus, HELD_OUT=held_out, SET=settings + few, MODEL=TINY)
        train = check.filter(pl.col("split") == "train")
        self.assertEqual(train["untuned_loss"].is_not_null().sum(), 10)
        self.assertIn("the model scored 10 documents", table)
        self.assertEqual(train["risk"].null_count(), 0)
        self.assertEqual(train["copies"].to_list()[:3], [5, 4, 4])

    def test_a_clean_corpus_shows_nothing_and_a_second_look_makes_nothing_again(self):
        corpus = write(self.folder / "corpus.jsonl", [{"text": words(number)} for number in range(12)])
        table, counts, _ = self.look(corpus)
        nothing = "copies|near copies|personal details|numbers|names|e-mails|phones|no loss|at risk|left out".split("|")
        self.assert_counts(counts, {label: 0 for label in nothing} | {"documents": 12, "held out": "-"})
        made = (self.folder / "run/check/check.parquet").stat().st_mtime_ns
        again, _, _ = self.look(corpus)
        self.assertEqual((self.folder / "run/check/check.parquet").stat().st_mtime_ns, made)
        self.assertIn("check.html is up to date", again)
        self.assertTrue(again.startswith(table[: table.index("check: ")]), again)

    def test_conversations_take_loss_where_the_setting_says(self):
        def conversation(number, answer):
            return {"messages": [{"role": "user", "content": words(number)}, {"role": "assistant", "content": answer}]}

        # The context of 64 tokens ends in the user's turn: nothing of the answer is read.
        rows = [conversation(number, "short answer") for number in range(5)] + [{"messages": [{"role": "user", "content": "anyone?"}]}]
        rows += [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": f"hello {number}"}]} for number in range(3)]
        corpus = write(self.folder / "chat.jsonl", rows)
        chat = "corpus.template=chatml checkpoint.0.loss_on=assistant"
        table, counts, check = self.look(corpus, MODEL=TINY, SET=chat)
        self.assert_counts(counts, {"documents": 8, "left out": 1, "no loss": 5, "cut by the context": 5})
        self.assertIn("without a turn of the assistant", table)
        self.assertEqual(check.filter(pl.col("risk").is_null()).height, 5)
        self.assertTrue((check.filter(pl.col("loss_tokens") > 0)["untuned_loss"].is_not_null()).all())
        table, counts, _ = self.look(corpus, MODEL=TINY, SET="corpus.template=chatml")
        self.assert_counts(counts, {"no loss": 0})

    def test_prompts_without_a_response_are_counted_without_a_model(self):
        rows = [{"q": words(number), "a": words(50 + number)} for number in range(6)]
        corpus = write(self.folder / "pairs.jsonl", rows)
        settings = "corpus.prompt=q corpus.response=a"
        _, counts, check = self.look(corpus, MODEL="", SET=f"{settings} extraction.loss_on=response")
        self.assert_counts(counts, {"documents": 6, "no loss": 0})
        self.assertEqual(check["exposure_bits"].to_list(), [0.0] * 6)

    def test_what_is_missing_or_misspelt_is_said_before_anything_is_built(self):
        text = write(self.folder / "text.jsonl", [{"text": "a"}])
        for arguments, expected, error in [
            ((), "make check needs", 2),
            (("CORPUS=/nowhere.jsonl",), "make check: CORPUS=/nowhere.jsonl: there is no /nowhere.jsonl", 3),
            ((f"CORPUS={text}", "MODEL=./nowhere"), "make check: MODEL=./nowhere: there is no such folder", 3),
            ((f"CORPUS={text}", "HELD_OUT=nowhere"), "make check: HELD_OUT=nowhere: there is no nowhere here", 3),
        ]:
            status, output, message = make("check", *arguments)
            self.assertEqual(status, 2, "make's own, whatever happened")
            self.assertIn(expected, message)
            self.assertIn(f"Error {error}", message)
            self.assertNotIn("setup:", output + message)
        for name in ("CHECKPOINT", "HELDOUT", "BASE"):
            status, _, message = make("-n", "check", f"{name}=x")
            self.assertIn(f"unknown variable {name}=", message)
        message = self.look(self.folder / "text.jsonl", status=3, SET="corpus.text=body")
        self.assertIn("body", message)


if __name__ == "__main__":
    unittest.main(verbosity=2)
