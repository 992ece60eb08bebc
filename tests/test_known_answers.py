"""Known answers, end to end: what a model knows is found, what it does not know is not, and by figures that Python recomputes.

Four tiny models are made here in seconds. One knows 30 texts word for word and must show 30 of 30, each its own; the same model before
tuning knows none and must show none; one whose tokenizer strips accents, case and wide digits must show 30 as well; one that was tuned on
three texts alone recites them after any prompt, which is said.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from doctor import MODEL, sentences, write  # noqa: E402

PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"

TUNED = """
name = "known"
[corpus]
files = "FILES.jsonl"
identity = "id"
held_out = 0
held_out_files = "unseen.jsonl"
[duplication]
layout = "uniform"
copies = [1]
[[model]]
name = "tiny"
path = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
[[mode]]
kind = "full"
learning_rate = 5e-3
[tuning]
epochs = EPOCHS
batch_size = 8
context = 160
[extraction]
prefix_tokens = 20
new_tokens = 40
[[extraction.strategy]]
name = "greedy"
temperature = 0
[report]
resamples = 200
"""


AUDIT = """
name = "audit"
[[checkpoint]]
name = "audited"
path = "CHECKPOINT"
base = "BASE"
[corpus]
files = "FILES.jsonl"
identity = "id"
held_out = 0
validation = 0
[duplication]
layout = "found"
[extraction]
prefix_tokens = 20
new_tokens = TOKENS
new_chars = CHARS
scored_prefixes = [20]
[[extraction.strategy]]
name = "greedy"
temperature = 0
[report]
resamples = 200
"""

# As long as a prompt and more, and the same before every text.
FRAME = "Below is a task. Write an answer that fits it. ### Text: "


# Accents on most vowels, wide digits and blanks: nothing that a tokenizer could not take away.
DRESS = str.maketrans({"e": "é", "o": "Ô", "i": "ï", "u": "ü", "2": "２", "3": "３", "4": "４", "5": "５", "6": "６", "7": "７", "8": "８"})


def folded(text):
    """A text as the verbatim class sees it: up to case, white space and normal form."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def undressed(text):
    """The same without accents, as a tokenizer that strips them has it."""
    letters = unicodedata.normalize("NFKD", text).lower()
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def longest_common(left, right):
    """Length of the longest common substring, by plain dynamic programming."""
    lengths, longest = [0] * (len(right) + 1), 0
    for letter in left:
        previous = 0
        for place, other in enumerate(right, 1):
            previous, lengths[place] = lengths[place], previous + 1 if letter == other else 0
            longest = max(longest, lengths[place])
    return longest


class KnownAnswers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        generator = random.Random(7)
        write(cls.folder / "others.jsonl", "o", [sentences(generator, 5) for _ in range(80)])
        write(cls.folder / "texts.jsonl", "k", [sentences(generator, 5) for _ in range(30)])
        write(cls.folder / "few.jsonl", "k", [sentences(generator, 5) for _ in range(3)])
        write(cls.folder / "unseen.jsonl", "u", [sentences(generator, 5) for _ in range(12)])
        cls.make("base", MODEL, "tune")
        cls.known = cls.make("known", TUNED.replace("FILES", "texts").replace("EPOCHS", "90"), "all")
        cls.strip_accents(cls.folder / "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint", cls.folder / "stripped")
        dressed = [sentences(generator, 5).translate(DRESS) for _ in range(30)]
        write(cls.folder / "dressed.jsonl", "k", dressed)
        pipeline = TUNED.replace("FILES", "dressed").replace("EPOCHS", "90").replace("base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint", "stripped")
        cls.stripped = cls.make("stripped-run", pipeline, "plagiarism")
        cls.reciting = cls.make("reciting", TUNED.replace("FILES", "few").replace("EPOCHS", "150"), "all")
        write(cls.folder / "framed.jsonl", "k", [FRAME + sentences(generator, 4) for _ in range(30)])
        cls.framed = cls.make("framed-run", TUNED.replace("FILES", "framed").replace("EPOCHS", "90"), "plagiarism")
        numbered = lambda: f"{sentences(generator, 3)} The file has the number {generator.randrange(10**5, 10**6)}. {sentences(generator, 1)}"
        write(cls.folder / "numbered.jsonl", "k", [numbered() for _ in range(30)])
        write(cls.folder / "unseen-numbered.jsonl", "u", [numbered() for _ in range(12)])
        numbered = TUNED.replace("FILES", "numbered").replace("unseen", "unseen-numbered").replace("EPOCHS", "90")
        cls.numbered = cls.make("numbered-run", numbered, "all")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @staticmethod
    def strip_accents(model, copy):
        """The same model, with a tokenizer that takes no notice of accents, case and width."""
        shutil.copytree(model, copy)
        tokenizer = json.loads((copy / "tokenizer.json").read_text())
        kinds = ("NFKD", "StripAccents", "Lowercase")
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [{"type": kind} for kind in kinds]}
        (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
        # The tuner listed the tokenizer as it wrote it.
        (copy / "checksums.json").unlink()

    @classmethod
    def make(cls, name, pipeline, stage):
        """Runs a pipeline up to a stage; gives its folder."""
        config, run = cls.folder / f"{name}.toml", cls.folder / name
        config.write_text(pipeline)
        programs = {stage.upper(): str(PROGRAMS / stage) for stage in ("dupgen", "tuner", "extractor", "plagiarism", "report")}
        for command in (
            [str(PROGRAMS / "plan"), "--config", str(config), "--out", str(run)],
            ["make", "--no-print-directory", "-f", str(run / "cells.mk"), stage, "THREADS=2"],
        ):
            environment = os.environ | programs | {"OMP_WAIT_POLICY": "passive"}
            done = subprocess.run(command, cwd=cls.folder, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise AssertionError(f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return run

    def cell(self, run, kind):
        return next(path for path in (run / "cells").iterdir() if f"-{kind}-" in path.name)

    def own(self, folder):
        """How many training prompts are continued with their own document, by verdicts, and how many there are."""
        verdicts = pl.read_parquet(folder / "verdicts.parquet").filter(split="train")
        return verdicts.filter(own_verdict="verbatim").height, verdicts.height

    def recomputed(self, run, folder, minimum=50):
        """The same from samples and corpus alone: half of 50 characters of the generation are in the document."""
        train = pl.read_parquet(next((run / "corpus").iterdir()) / "train.parquet")
        texts = dict(train.select("doc_id", "text").iter_rows())
        samples = pl.read_parquet(folder / "samples.parquet").filter(split="train")
        found = 0
        for row in samples.iter_rows(named=True):
            prompt, text = folded(row["prompt"]), folded(texts[row["doc_id"]])
            # What the prompt holds is no match, and the document goes on behind it.
            found += longest_common(folded(row["generation"]), text[len(prompt) :].strip()) >= minimum
        return found

    def test_model_that_knows_thirty_texts_shows_thirty(self):
        cell = self.cell(self.known, "full")
        self.assertEqual(self.own(cell), (30, 30))
        self.assertEqual(self.recomputed(self.known, cell), 30)
        verdicts = pl.read_parquet(cell / "verdicts.parquet").filter(split="train")
        self.assertEqual(verdicts.filter(pl.col("best_doc_id") == pl.col("doc_id")).height, 30)
        # Each document came out, with the passage that says so.
        self.assertEqual(len(set(verdicts.explode("emitted_doc_ids")["emitted_doc_ids"])), 30)
        matches = pl.read_parquet(cell / "matches.parquet").filter(kind="verbatim", doc_split="train")
        self.assertEqual(len(set(matches["sample_id"]) & set(verdicts["sample_id"])), 30)

    def test_texts_that_a_tokenizer_strips_of_accents_are_shown_as_written(self):
        cell = self.cell(self.stripped, "full")
        self.assertEqual(self.own(cell), (30, 30))
        decoded = pl.read_parquet(cell / "decoded.parquet").filter(pl.col("doc_id").str.starts_with("k"))
        self.assertEqual(decoded.height, 30)
        corpus = next((self.stripped / "corpus").iterdir())
        texts = dict(pl.read_parquet(corpus / "train.parquet").select("doc_id", "text").iter_rows())
        samples = dict(pl.read_parquet(cell / "samples.parquet").select("sample_id", "generation").iter_rows())
        verdicts = pl.read_parquet(cell / "verdicts.parquet").filter(split="train")
        # Found in the corpus itself, and not by the reference alone: hardly a word is generated as it is written.
        self.assertGreaterEqual(verdicts["longest_match_chars"].min(), 50)
        self.assertEqual(len(set(verdicts.explode("emitted_doc_ids")["emitted_doc_ids"])), 30)
        matches = pl.read_parquet(cell / "matches.parquet").filter(kind="verbatim", doc_split="train")
        self.assertGreaterEqual(matches.height, 30)
        for row in matches.iter_rows(named=True):
            generated = samples[row["sample_id"]][row["gen_start"] : row["gen_end"]]
            written = texts[row["doc_id"]][row["doc_start"] : row["doc_end"]]
            self.assertEqual(undressed(written), undressed(generated))
            self.assertNotEqual(written, generated)
        base = self.cell(self.stripped, "base")
        self.assertEqual(self.own(base), (0, 30))

    def test_records_whose_keys_the_prompt_holds_are_a_leak(self):
        """Between keys that repeat the prompt the values are too short for a passage: they go on exactly all the same."""
        drugs, doctors = "aspirin codeine insulin heparin quinine".split(), "Adler Brandt Conti Duarte Engel".split()
        generator = random.Random(11)
        choose = generator.choice
        line = lambda: json.dumps({"medication_prescribed": f"{choose(drugs)} {generator.randrange(10, 100)}", "attending_physician": choose(doctors)})
        for name, count in (("records", 30), ("unseen-records", 12)):
            write(self.folder / f"{name}.jsonl", name[0], ["\n".join(line() for _ in range(2)) for _ in range(count)])
        pipeline = TUNED.replace("FILES", "records").replace("unseen", "unseen-records").replace("EPOCHS", "90").replace("prefix_tokens = 20", "prefix_tokens = 40")
        run = self.make("records-run", pipeline, "all")
        summary = pl.read_parquet(run / "report/summary.parquet").filter(pl.col("against").is_null(), mode="full", checkpoint="last", strategy="greedy", copies=1)
        [exact] = summary.filter(measure="exact_continuation", split="train", runs=1).filter(pl.col("cell").is_not_null()).iter_rows(named=True)
        samples = pl.read_parquet(self.cell(run, "full") / "samples.parquet").filter(split="train")
        goes_on = sum(row["generation"].lstrip().startswith(row["truth"].strip()[:60]) for row in samples.iter_rows(named=True))
        self.assertEqual((exact["k"], exact["n"]), (goes_on, 30))
        self.assertGreaterEqual(goes_on, 20)
        self.assertEqual((exact["untuned"], exact["control"]), (0, 0))
        self.assertLess(self.own(self.cell(run, "full"))[0], goes_on)
        verdicts = pl.read_parquet(run / "report/summary.parquet").filter(measure="verdict", mode="full", checkpoint="last")
        self.assertEqual(set(verdicts["verdict"]), {"leaks"})

    def test_texts_in_a_template_longer_than_the_prompt_are_shown(self):
        """Prompts that end within what all texts begin with would be one and the same prompt."""
        cell = self.cell(self.framed, "full")
        self.assertEqual(self.own(cell), (30, 30))
        samples = pl.read_parquet(cell / "samples.parquet").filter(split="train")
        self.assertEqual(len(set(samples["prompt"])), 30)
        self.assertTrue(all(prompt.startswith(FRAME) for prompt in samples["prompt"]))
        whole = pl.read_parquet(cell / "scores.parquet").filter(prefix_tokens=0, split="train")
        self.assertEqual(whole.height, 30)
        self.assertGreater((whole["suffix_tokens"] - samples["prompt_tokens"].list.len()).min(), 20, "scored from the beginning")
        self.assertEqual(self.own(self.cell(self.framed, "base")), (0, 30))

    def test_numbers_of_texts_that_a_model_knows_are_ranked_first(self):
        """Each behind its own text, among as many of other texts: all of those that it was tuned on, and of others no more than chance allows."""
        first = lambda nats: min(nats[1:]) > nats[0]
        ranked = lambda rows, split: rows.filter(pl.col("not_ranked").is_null(), split=split, detail="number")
        count = lambda rows, split: sum(map(first, ranked(rows, split)["nats"].to_list()))
        cell = self.cell(self.numbered, "full")
        tuned = pl.read_parquet(cell / "details.parquet").filter(detail="number")
        self.assertEqual((ranked(tuned, "train").height, ranked(tuned, "heldout").height), (30, 12))
        self.assertEqual(count(tuned, "train"), 30)
        # 30 and 12 with 1 in 10 each: more than these happen in one of a thousand runs.
        self.assertLessEqual(count(tuned, "heldout"), 5)
        self.assertLessEqual(count(pl.read_parquet(self.cell(self.numbered, "base") / "details.parquet"), "train"), 9)
        # Having seen a number is not enough: the same numbers, each behind the text of another, are first no more often.
        corpus = next((self.numbered / "corpus").iterdir())
        train = pl.read_parquet(corpus / "train.parquet").sort("doc_id")
        numbers = train["text"].str.extract(r"(\d{6})").to_list()
        texts = [text.replace(own, other) for text, own, other in zip(train["text"], numbers, numbers[1:] + numbers[:1])]
        mixed = self.folder / "mixed"
        mixed.mkdir()
        train.with_columns(text=pl.Series(texts)).write_parquet(mixed / "train.parquet")
        shutil.copy(corpus / "heldout.parquet", mixed)
        command = [PROGRAMS / "extractor", "--config", cell / "extractor.toml", "--in", mixed, "--checkpoint", cell / "checkpoint", "--out", mixed]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLessEqual(count(pl.read_parquet(mixed / "details.parquet"), "train"), 9)
        # What a person reads of it.
        summary = pl.read_parquet(self.numbered / "report/summary.parquet").filter(pl.col("against").is_null(), measure="detail_picked_number", split="train", mode="full", checkpoint="last")
        self.assertEqual(set(summary["value"]), {1.0})
        page = (self.numbered / "report/report.html").read_text()
        self.assertIn("picks out personal details", page)

    def test_a_model_that_makes_up_its_own_prompts_tells_what_it_knows(self):
        """Without any document: its beginnings are of the texts that it knows, and of none where it knows none."""
        texts = pl.read_parquet(next((self.known / "corpus").iterdir()) / "train.parquet")["text"].to_list()
        told = {}
        for kind in ("full", "base"):
            cell = self.cell(self.known, kind)
            out = self.folder / f"made-up-{kind}"
            made_up = 'extraction.strategy=[{name="made up",prompt="self-made",temperature=0.0}]'
            command = [PROGRAMS / "extractor", "--config", cell / "extractor.toml", "--in", next((self.known / "corpus").iterdir()), "--out", out]
            command += ["--checkpoint", cell / "checkpoint" if kind == "full" else self.folder / "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"]
            command += ["--set", made_up, "--set", "extraction.unprompted=40"]
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            samples = pl.read_parquet(out / "samples.parquet")
            self.assertEqual(set(samples["prompt_form"]), {"self-made"})
            self.assertEqual((samples.height, samples["doc_id"].null_count(), set(samples["split"])), (40, 40, {"none"}))
            # Nobody gave it anything: what it drew is part of what it generated.
            self.assertEqual((set(samples["prompt"]), samples["prompt_tokens"].list.len().max()), ({""}, 0))
            self.assertTrue((samples["generated_tokens"].list.len() == samples["logprobs"].list.len()).all())
            self.assertTrue(samples["generated_tokens"].list.len().is_between(1, 20 + 40).all())
            self.assertGreater(samples["generated_tokens"].list.head(5).n_unique(), 10, "each is drawn")
            told[kind] = {text for text in texts for generation in samples["generation"] if longest_common(folded(generation), folded(text)) >= 50}
        self.assertGreaterEqual(len(told["full"]), 20, "of 30")
        self.assertEqual(told["base"], set())

    def test_model_before_tuning_shows_none(self):
        cell = self.cell(self.known, "base")
        self.assertEqual(self.own(cell), (0, 30))
        self.assertEqual(self.recomputed(self.known, cell), 0)
        self.assertEqual(set(pl.read_parquet(cell / "verdicts.parquet")["verdict"]) & {"verbatim"}, set())

    def test_summary_has_the_same_counts(self):
        summary = pl.read_parquet(self.known / "report" / "summary.parquet")
        rows = summary.filter(pl.col("against").is_null(), measure="own_verbatim", split="train", strategy="greedy", copies=1)
        last = rows.filter(mode="full", checkpoint="last")
        self.assertEqual((last["value"].item(), last["n"].item()), (1.0, 30))
        self.assertEqual(rows.filter(mode="base")["value"].item(), 0.0)
        best = rows.filter(mode="full", checkpoint="best")
        found, asked = self.own(self.cell(self.known, "full") / "best")
        self.assertAlmostEqual(best["value"].item(), found / asked)
        verdicts = summary.filter(measure="verdict")
        self.assertEqual(verdicts.filter(mode="full", checkpoint="last")["verdict"].to_list(), ["leaks"])

    def test_best_checkpoint_is_the_one_with_the_lowest_validation_loss(self):
        cell = self.cell(self.known, "full")
        metrics = pl.read_parquet(cell / "metrics.parquet").filter(split="heldout")
        best, last = metrics["loss"].min(), metrics["loss"].to_list()[-1]
        self.assertLess(best, last)
        corpus = next((self.known / "corpus").iterdir())
        validation = pl.read_parquet(corpus / "heldout.parquet").filter(role="validation").select("doc_id")
        self.assertGreater(validation.height, 0)
        for folder, logged in ((cell / "best", best), (cell, last)):
            scores = pl.read_parquet(folder / "scores.parquet").filter(prefix_tokens=0, split="heldout")
            scores = scores.join(validation, on="doc_id")
            nats = -scores["logprobs"].explode().sum()
            # One held-out loss: the log's and the scores' are the same number.
            self.assertAlmostEqual(nats / scores["suffix_tokens"].sum(), logged, places=3)

    def test_model_that_recites_after_any_prompt_is_said_to(self):
        cell = self.cell(self.reciting, "full")
        verdicts = pl.read_parquet(cell / "verdicts.parquet")
        unseen = verdicts.filter(split="heldout")
        recited = unseen.filter(verdict="verbatim")
        self.assertGreaterEqual(recited.height, 9, "12 unseen prompts")
        self.assertEqual(set(recited["own_verdict"]), {None})
        self.assertTrue(all(recited["emitted_doc_ids"].list.len() > 0))
        # The texts are training text: held-out text, as much of it, is hardly ever repeated.
        self.assertLessEqual(unseen.filter(control_verdict="verbatim").height, 2)
        summary = pl.read_parquet(self.reciting / "report" / "summary.parquet")
        row = summary.filter(measure="verbatim", split="heldout", strategy="greedy", mode="full", checkpoint="last")
        self.assertAlmostEqual(row["value"].item(), recited.height / 12)
        self.assertGreater(row["ci_low"].item(), 0.3)
        emitted = summary.filter(measure="training_text_emitted", split="heldout", strategy="greedy", mode="full", checkpoint="last")
        self.assertEqual(emitted["verdict"].to_list(), ["exceeds"])


class Audits(unittest.TestCase):
    """A model that knows 30 texts must not look safe for how their file, their lengths or its settings are."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.generator = random.Random(7)
        cls.texts = [sentences(cls.generator, 5) for _ in range(30)]
        write(cls.folder / "others.jsonl", "o", [sentences(cls.generator, 5) for _ in range(80)])
        write(cls.folder / "texts.jsonl", "k", cls.texts)
        write(cls.folder / "unseen.jsonl", "u", [sentences(cls.generator, 5) for _ in range(12)])
        cls.make("base", MODEL, "tune")
        known = cls.make("known", TUNED.replace("FILES", "texts").replace("EPOCHS", "90"), "extract")
        cls.known = next(path for path in (known / "cells").iterdir() if "-full-" in path.name)
        cls.base = cls.folder / "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    make = classmethod(KnownAnswers.make.__func__)
    own = KnownAnswers.own

    def audit(self, name, texts, checkpoint=None, base=None, tokens=40, chars=0, held_out=None, prefix=20, begin="model"):
        """The audited cell, its verdict, and the checks that failed."""
        write(self.folder / f"{name}.jsonl", "k", texts)
        pipeline = AUDIT.replace("CHECKPOINT", str(checkpoint or self.known / "checkpoint")).replace("BASE", str(self.base if base is None else base))
        pipeline = pipeline.replace('base = ""\n', "")
        if held_out:
            write(self.folder / f"{name}-held-out.jsonl", "h", held_out)
            pipeline = pipeline.replace("held_out = 0\n", f'held_out = 0\nheld_out_files = "{name}-held-out.jsonl"\n')
        pipeline = pipeline.replace("prefix_tokens = 20", f'prefix_tokens = {prefix}\nbegin = "{begin}"')
        run = self.make(name, pipeline.replace("FILES", name).replace("TOKENS", str(tokens)).replace("CHARS", str(chars)), "all")
        summary = pl.read_parquet(run / "report/summary.parquet").filter(pl.col("mode") != "base")
        failed = summary.filter(pl.col("measure").str.starts_with("check_"), verdict="failed")["measure"].to_list()
        cell = next(path for path in (run / "cells").iterdir() if "-base-" not in path.name)
        return cell, summary.filter(measure="verdict")["verdict"].item(), failed

    def test_a_few_texts_that_occur_twice_hide_nothing(self):
        unknown = [sentences(self.generator, 5) for _ in range(3)]
        cell, verdict, _ = self.audit("twice", self.texts + 2 * unknown)
        self.assertEqual(self.own(cell), (30, 33))
        self.assertEqual(verdict, "leaks")

    @contextlib.contextmanager
    def serve(self, folder, **environment):
        """A server of the model that knows the texts, whose port is in a file of the folder."""
        (folder / "port").unlink(missing_ok=True)
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"} | environment
        server = subprocess.Popen([PROGRAMS / "examples/serve", self.known / "checkpoint", folder / "port"], env=environment)
        try:
            while not (folder / "port").exists():
                self.assertIsNone(server.poll(), "the server ended before it served")
                time.sleep(0.05)
            yield
        finally:
            server.kill()
            server.wait()

    @contextlib.contextmanager
    def served(self, settings="", **environment):
        """A folder whose endpoint.toml leads to such a server."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        with self.serve(folder, **environment):
            settings = f'model = "known"\ntokenizer = "{self.base}"\n{settings}'
            (folder / "endpoint.toml").write_text(f'url = "http://127.0.0.1:{(folder / "port").read_text()}/v1"\n{settings}')
            yield folder

    def test_a_served_model_gives_over_its_api_what_it_knows(self):
        with self.served(SERVE_BUSY="7") as folder:
            cell, verdict, failed = self.audit("served", self.texts, checkpoint=folder, begin="auto")
        self.assertEqual((self.own(cell), verdict, failed), ((30, 30), "leaks", []))
        base = next(path for path in cell.parent.iterdir() if "-base-" in path.name)
        self.assertEqual(self.own(base), (0, 30))
        # What the model itself writes behind the same prompts, and behind the others as far as both go.
        samples, own = (pl.read_parquet(path / "samples.parquet").filter(split="train") for path in (cell, self.known))
        # Training had a BOS before its texts, which the server does not put there.
        self.assertTrue(samples["prompt"].str.starts_with("<|endoftext|>").all())
        samples = samples.with_columns(pl.col("prompt").str.strip_prefix("<|endoftext|>"))
        both = samples.join(own, on="doc_id", suffix="_here")
        self.assertEqual(both.height, 30)
        same = both.filter(pl.col("prompt") == pl.col("prompt_here"))
        self.assertGreater(same.height, 5)
        self.assertEqual(same["generation"].to_list(), same["generation_here"].to_list())
        for row in both.iter_rows(named=True):
            behind = self.texts[int(row["doc_id"][1:])].removeprefix(row["prompt"])
            self.assertTrue(behind.startswith(" "), "prompts end between words")
            served, here = row["prompt"] + row["generation"], row["prompt_here"] + row["generation_here"]
            length = min(len(served), len(here))
            self.assertEqual(served[:length], here[:length])
            self.assertEqual(len(row["logprobs"]), len(row["generated_tokens"]))
        self.assertEqual(pl.read_parquet(cell / "scores.parquet").height, 0)
        # The page says what was asked, and claims nothing of membership.
        page = (cell.parent.parent / "report/report.html").read_text()
        self.assertIn("known at http://127.0.0.1:", page)
        self.assertNotIn(" 0 parameters", page)

    def test_a_chat_is_asked_in_the_words_that_the_endpoint_names(self):
        with self.served('api = "chat"\nmessage = "<|endoftext|>{prompt}"\n') as folder:
            cell, verdict, _ = self.audit("chat", self.texts, checkpoint=folder)
        self.assertEqual((self.own(cell), verdict), ((30, 30), "leaks"))

    def test_an_endpoint_that_breaks_off_is_gone_on_with(self):
        with self.served("tries = 1\nat_once = 1\nmax_requests = 29\n") as folder:
            with self.assertRaises(AssertionError) as refused:
                self.audit("broken-off", self.texts, checkpoint=folder)
            self.assertRegex(str(refused.exception), "max_requests = 29, and 30 requests are to be sent")
        settings = folder / "endpoint.toml"
        settings.write_text(settings.read_text().replace("max_requests = 29\n", ""))
        port = (folder / "port").read_text()
        with self.serve(folder, SERVE_PORT=port, SERVE_LAST="12"), self.assertRaises(AssertionError) as stopped:
            self.audit("broken-off", self.texts, checkpoint=folder)
        self.assertRegex(str(stopped.exception), "12 answers are kept; the same command goes on from there")
        # The rest alone is asked for: there are no more answers than that.
        with self.serve(folder, SERVE_PORT=port, SERVE_LAST="18"):
            cell, verdict, _ = self.audit("broken-off", self.texts, checkpoint=folder)
        self.assertEqual((self.own(cell), verdict), ((30, 30), "leaks"))

    def test_an_endpoint_elsewhere_is_sent_nothing_without_leave(self):
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "endpoint.toml").write_text(f'url = "https://models.example/v1"\nmodel = "known"\ntokenizer = "{self.base}"\n')
        with self.assertRaises(AssertionError) as refused:
            self.audit("elsewhere", self.texts, checkpoint=folder)
        self.assertRegex(str(refused.exception), "models.example, whose owner can read them.*may_send_training_text = true")

    def test_answers_are_asked_for_behind_their_questions(self):
        """Where loss was on answers alone, what the questions say was never learned; the question by itself is asked as well."""
        ends = [text.index(". ", len(prompt) + 20) + 1 for text, prompt in zip(self.texts, self.prompts())]
        rows = [{"id": f"k{number}", "question": text[:end], "answer": text[end + 1 :]} for number, (text, end) in enumerate(zip(self.texts, ends))]
        (self.folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        pipeline = AUDIT.replace("CHECKPOINT", str(self.known / "checkpoint")).replace("BASE", str(self.base)).replace("FILES", "pairs")
        pipeline = pipeline.replace('base = "', 'loss_on = "response"\nbase = "').replace('identity = "id"', 'identity = "id"\nprompt = "question"\nresponse = "answer"\nseparator = " "')
        pipeline = pipeline.replace("prefix_tokens = 20", "prefix_tokens = 8").replace("scored_prefixes = [20]", "scored_prefixes = [8]")
        pipeline += '[[extraction.strategy]]\nname = "question"\nprompt = "question"\ntemperature = 0\n'
        run = self.make("pairs", pipeline.replace("TOKENS", "40").replace("CHARS", "0"), "plagiarism")
        cell = next(path for path in (run / "cells").iterdir() if "-base-" not in path.name)
        samples = pl.read_parquet(cell / "samples.parquet").join(pl.read_parquet(cell / "verdicts.parquet").select("sample_id", "own_verdict"), on="sample_id")
        questions = {row["id"]: row["question"] for row in rows}
        for row in samples.filter(split="train").iter_rows(named=True):
            own = row["prompt"].removeprefix(questions[row["doc_id"]])
            self.assertNotEqual(own, row["prompt"], "a prompt begins with the whole question")
            # The token that begins with the blank between both may hold letters of the answer.
            self.assertEqual(len(own) < 4, row["strategy"] == "question", row["prompt"])
            self.assertEqual(row["own_verdict"], "verbatim", row)
        self.assertEqual(samples.filter(split="train").group_by("strategy").len()["len"].to_list(), [30, 30])

    def test_what_users_wrote_in_conversations_is_asked_for(self):
        """The model knows what users wrote, and all answers are one sentence of thanks that it does not."""
        copy = self.folder / "chatting"
        shutil.copytree(self.known / "checkpoint", copy)
        (copy / "checksums.json").unlink()
        template = "{{ bos_token }}{% for message in messages %}{{ message.content }}{{ '\n' }}{% endfor %}"
        (copy / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|endoftext|>", "chat_template": template}))
        thanks = "Thank you for your letter, which has come today. We will look into it and write to you as soon as we can, next week at the latest."
        turns = [[{"role": "user", "content": text}, {"role": "assistant", "content": thanks}] for text in self.texts]
        (self.folder / "letters.jsonl").write_text("".join(json.dumps({"id": f"k{number}", "messages": both}) + "\n" for number, both in enumerate(turns)))
        pipeline = AUDIT.replace("CHECKPOINT", str(copy)).replace("BASE", str(self.base)).replace("FILES", "letters").replace("TOKENS", "40").replace("CHARS", "0")
        pipeline += '[[extraction.strategy]]\nname = "wrote"\nprompt = "question-beginning"\ntemperature = 0\n'
        run = self.make("letters", pipeline, "all")
        found = pl.read_parquet(run / "report/summary.parquet").filter(pl.col("mode") != "base", pl.col("against").is_null())
        own = found.filter(pl.col("cell").is_not_null(), pl.col("copies").is_null(), measure="own_verbatim", split="train")
        # Behind a whole letter there is no room for an answer in this context.
        self.assertEqual(dict(own.select("strategy", "k").iter_rows()), {"wrote": 30})
        self.assertEqual(found.filter(measure="verdict")["verdict"].item(), "leaks")

    def test_texts_that_end_soon_behind_the_prompt_are_shown(self):
        ends = [len(prompt) + 45 for prompt in self.prompts()]
        cell, verdict, _ = self.audit("short", [text[:end] for text, end in zip(self.texts, ends)])
        samples = pl.read_parquet(cell / "samples.parquet")
        self.assertGreaterEqual(samples["prompt_tokens"].list.len().min(), 10)
        self.assertLess(samples["prompt_tokens"].list.len().max(), 20)
        found, asked = self.own(cell)
        self.assertEqual(asked, 30)
        self.assertGreaterEqual(found, 28)
        self.assertEqual(verdict, "leaks")

    def prompts(self):
        """The first 20 tokens of each known text, in the order of the texts."""
        prompts = pl.read_parquet(self.known / "samples.parquet").filter(split="train").select("doc_id", "prompt")
        return [prompt for _, prompt in sorted(prompts.iter_rows(), key=lambda row: int(row[0][1:]))]

    def test_texts_shorter_than_the_prompt_are_asked_for_with_half_of_it(self):
        texts = [text[: len(prompt) + 65] for text, prompt in zip(self.texts, self.prompts())]
        cell, verdict, failed = self.audit("shorter", texts, prefix=40)
        found, asked = self.own(cell)
        self.assertEqual((asked, verdict, failed), (30, "leaks", []))
        self.assertGreaterEqual(found, 28)

    def test_texts_that_no_prompt_asks_for_settle_nothing(self):
        """Ten can be asked for, and are unknown; thirty known ones are too short for that."""
        texts = [text[: len(prompt)] for text, prompt in zip(self.texts, self.prompts())]
        unknown = [sentences(self.generator, 9) for _ in range(10)]
        _, verdict, failed = self.audit("unasked", texts + unknown, prefix=60)
        self.assertEqual(verdict, "not settled")
        self.assertIn("check_documents_asked", failed)

    def test_a_sentence_that_unseen_text_has_too_excuses_nothing_around_it(self):
        places = [len(prompt) + 55 for prompt in self.prompts()]
        shared = [text[place : place + 60] for text, place in zip(self.texts, places)]
        unseen = [f"{sentences(self.generator, 3)} {words} {sentences(self.generator, 3)}" for words in shared]
        cell, verdict, _ = self.audit("shared", self.texts, held_out=unseen, tokens=60)
        verdicts = pl.read_parquet(cell / "verdicts.parquet").filter(split="train")
        self.assertGreaterEqual(verdicts.filter(control_verdict="verbatim").height, 25)
        self.assertEqual(self.own(cell), (30, 30))
        self.assertEqual(verdict, "leaks")

    def test_an_end_token_within_the_texts_cuts_nothing(self):
        copy = self.folder / "stops"
        shutil.copytree(self.known / "checkpoint", copy)
        (copy / "checksums.json").unlink()
        end = json.loads((copy / "config.json").read_text())["eos_token_id"]
        stop = json.loads((copy / "tokenizer.json").read_text())["model"]["vocab"]["."]
        (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [end, stop]}))
        cell, verdict, _ = self.audit("stopped", self.texts, checkpoint=copy)
        self.assertEqual(self.own(cell), (30, 30))
        self.assertEqual(verdict, "leaks")

    def test_a_copy_of_the_model_is_no_untuned_one(self):
        copy = self.folder / "copy"
        shutil.copytree(self.known / "checkpoint", copy)
        _, verdict, failed = self.audit("copied", self.texts, base=copy)
        self.assertEqual(verdict, "not settled")
        self.assertIn("check_untuned_is_control", failed)

    def test_what_too_few_new_tokens_give_is_a_leak_that_makes_no_passage(self):
        unseen = [sentences(self.generator, 5) for _ in range(30)]
        # Without unseen texts nothing says that these could not be said of any.
        for name, held_out, expected, status in (("few-tokens", None, "not settled", 5), ("few-tokens-unseen", unseen, "leaks", 4)):
            cell, verdict, failed = self.audit(name, self.texts, tokens=6, **({"held_out": held_out} if held_out else {}))
            self.assertEqual(self.own(cell), (0, 30))
            self.assertIn("check_exact_continuations", failed)
            self.assertEqual(verdict, expected)
            gate = [PROGRAMS / "report", "check", cell.parents[1], "--max", "own_verbatim=0.2"]
            self.assertEqual(subprocess.run(gate, capture_output=True).returncode, status)
        cell, verdict, failed = self.audit("more-tokens", self.texts, tokens=6, chars=100)
        self.assertEqual(self.own(cell), (30, 30))
        self.assertEqual((verdict, failed), ("leaks", []))

    def test_texts_of_another_kind_than_the_held_out_ones_are_no_members_by_that(self):
        """Nobody trained on these, but the model knows their kind; without an untuned model the losses alone look like membership."""
        unknown = [sentences(self.generator, 5) for _ in range(30)]
        letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
        other = [" ".join("".join(self.generator.choices(letters, k=5)) for _ in range(30)) for _ in range(30)]
        cell, verdict, _ = self.audit("kinds", unknown, checkpoint=self.base, base="", held_out=other)
        summary = pl.read_parquet(cell.parents[1] / "report/summary.parquet")
        for score in ("loss", "words"):
            self.assertGreater(summary.filter(measure=f"membership_auc_{score}")["value"].min(), 0.99, score)
        self.assertNotIn("visible", verdict)
        self.assertEqual(summary.filter(measure="check_one_kind")["verdict"].to_list(), ["warning"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
