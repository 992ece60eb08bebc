"""Known answers for chat models: what a model knows of its conversations is found with its chat template, and not without.

A tiny model is tuned here on 30 conversations, in ChatML and with loss on the assistant's turns alone. Asked in its template it must give
back all 30 answers; before tuning it must give back none. The same checkpoint is then audited as somebody else's: its template is found in
its folder and applied; without the template it gives back fewer.
"""

import json
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import polars as pl
import test_known_answers as known

BASE = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
CONTEXT = 224

TUNED = f"""
name = "chat"
[corpus]
files = "conversations.jsonl"
identity = "id"
template = "chatml"
held_out = 0
held_out_files = "unseen.jsonl"
[duplication]
layout = "uniform"
copies = [1]
[[model]]
name = "tiny"
path = "{BASE}"
[[mode]]
kind = "full"
learning_rate = 5e-3
[tuning]
epochs = 90
batch_size = 8
context = {CONTEXT}
loss_on = "assistant"
[extraction]
prefix_tokens = 20
new_tokens = 40
unprompted = 2
[[extraction.strategy]]
name = "greedy"
temperature = 0
[[extraction.strategy]]
name = "user turn only"
prompt = "user-turn"
temperature = 0
[[extraction.strategy]]
name = "template only"
prompt = "template-only"
samples = 1
[report]
resamples = 200
"""


def conversations(generator, prefix, count):
    rows = []
    for number in range(count):
        name = "".join(generator.choice("bdfgklmnprst") + generator.choice("aeiou") for _ in range(3))
        turns = [("user", f"What of {name}?"), ("assistant", known.sentences(generator, 3)), ("user", "More?"), ("assistant", "No.")]
        messages = [{"role": role, "content": content} for role, content in turns]
        rows.append(json.dumps({"id": f"{prefix}{number:02}", "messages": messages}))
    return "\n".join(rows) + "\n"


class KnownConversations(unittest.TestCase):
    make = classmethod(known.KnownAnswers.make.__func__)
    cell = known.KnownAnswers.cell

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        generator = random.Random(7)
        known.write(cls.folder / "others.jsonl", "o", [known.sentences(generator, 5) for _ in range(80)])
        (cls.folder / "conversations.jsonl").write_text(conversations(generator, "k", 30))
        (cls.folder / "unseen.jsonl").write_text(conversations(generator, "u", 12))
        cls.make("base", known.MODEL.replace("context = 160", f"context = {CONTEXT}"), "tune")
        cls.tuned = cls.make("chat", TUNED, "plagiarism")
        # As somebody else's model, which has its template.
        checkpoint = next((cls.tuned / "cells").glob("*-full-*")) / "checkpoint"
        cls.checkpoint = cls.folder / "theirs"
        shutil.copytree(checkpoint, cls.checkpoint)
        shutil.copy(known.ROOT / "crates/chat-template/templates/chatml.jinja", cls.checkpoint / "chat_template.jinja")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def own(self, folder, strategy="greedy"):
        """How many training prompts of a strategy are continued with their own document, and how many there are."""
        samples = pl.read_parquet(folder / "samples.parquet").filter(split="train", strategy=strategy).select("sample_id")
        verdicts = pl.read_parquet(folder / "verdicts.parquet").join(samples, on="sample_id")
        return verdicts.filter(own_verdict="verbatim").height, verdicts.height

    def audit(self, name, *settings):
        pipeline = (known.ROOT / "pipelines" / "audit.toml").read_text()
        overrides = {
            "checkpoint.0.path": json.dumps(str(self.checkpoint)),
            "checkpoint.0.loss_on": '"assistant"',
            "corpus.files": json.dumps(str(self.folder / "conversations.jsonl")),
            "extraction.prefix_tokens": "20",
            "extraction.new_tokens": "40",
            # What a user asks: that is where the template matters most.
            "extraction.strategy.0.prompt": '"user-turn"',
        } | dict(settings)
        (self.folder / f"{name}.toml").write_text(pipeline)
        sets = [argument for key, value in overrides.items() for argument in ("--set", f"{key}={value}")]
        run = self.folder / name
        plan = [str(known.PROGRAMS / "plan"), "--config", str(self.folder / f"{name}.toml"), "--out", str(run), *sets]
        planned = subprocess.run(plan, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(planned.returncode, 0, planned.stderr)
        programs = [f"{stage.upper()}={known.PROGRAMS / stage}" for stage in ("dupgen", "tuner", "extractor", "plagiarism", "report")]
        make = ["make", "--no-print-directory", "-f", str(run / "cells.mk"), "plagiarism", "THREADS=2", *programs]
        made = subprocess.run(make, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stdout[-2000:] + made.stderr[-2000:])
        return next((run / "cells").glob("audited-*")), made.stderr

    def test_model_that_knows_thirty_conversations_shows_thirty(self):
        cell = self.cell(self.tuned, "full")
        self.assertEqual(self.own(cell), (30, 30))
        self.assertEqual(self.own(cell, "user turn only"), (30, 30))
        samples = pl.read_parquet(cell / "samples.parquet").filter(split="train")
        for row in samples.iter_rows(named=True):
            self.assertTrue(row["prompt"].startswith("<|im_start|>user\nWhat of "), row["prompt"])
            self.assertIn("<|im_start|>assistant\n", row["prompt"])
        alone = pl.read_parquet(cell / "samples.parquet").filter(strategy="template only")
        self.assertEqual(set(alone["prompt"]), {"<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"})

    def test_model_before_tuning_shows_none(self):
        self.assertEqual(self.own(self.cell(self.tuned, "base")), (0, 30))

    def test_losses_that_are_logged_are_those_of_the_scores(self):
        cell = self.cell(self.tuned, "full")
        metrics = pl.read_parquet(cell / "metrics.parquet").filter(split="heldout")
        corpus = next((self.tuned / "corpus").iterdir())
        validation = pl.read_parquet(corpus / "heldout.parquet").filter(role="validation").select("doc_id")
        scores = pl.read_parquet(cell / "scores.parquet").filter(prefix_tokens=0, split="heldout").join(validation, on="doc_id")
        nats = -scores["logprobs"].explode().sum()
        self.assertAlmostEqual(nats / scores["suffix_tokens"].sum(), metrics["loss"].to_list()[-1], places=3)

    def test_audit_finds_the_template_of_the_model_and_says_so(self):
        cell, said = self.audit("audited")
        self.assertEqual(self.own(cell), (30, 30))
        self.assertIn("recognised      30 documents as messages", said)
        self.assertIn("rendered by the chat template of", said)
        without, _ = self.audit("plain", ("corpus.template", '"none"'), ("extraction.begin", '"model"'), ("checkpoint.0.loss_on", '"response"'))
        found, asked = self.own(without)
        self.assertLess(found, 15, f"{found} of {asked} without the template")


if __name__ == "__main__":
    unittest.main(verbosity=2)
