"""Canaries planted from Python: where they are put, what a training run learns of them, and what an audit then says of their secrets.

A model that was tuned on planted canaries until it knows them must give all of their secrets, and none of the references'; the same model
before tuning none. What the callback checks in a Trainer's batches needs a Python with transformers and datasets (this one, or the one
that TRANSFORMERS_PYTHON names), what it checks in TRL's one with trl as well; without it those tests are skipped.
"""

import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import polars as pl
import test_known_answers as known

sys.path.insert(0, str(known.ROOT / "scripts"))
import canaries  # noqa: E402

PYTHON = os.environ.get("TRANSFORMERS_PYTHON", sys.executable)
COPIES, PER_COPIES, REFERENCES = 4, 6, 110


class Planting(unittest.TestCase):
    def test_rows_keep_their_order_and_canaries_have_their_copies(self):
        rows = [{"text": f"Row {number}", "label": number} for number in range(40)]
        planted, manifest = canaries.plant(rows, copies=(1, 3), per_copies=5, references=20, seed=1)
        own = [row for row in planted if row["text"].startswith("Row ")]
        self.assertEqual(own, rows)
        texts = collections.Counter(row["text"] for row in planted if row not in rows)
        entries = manifest["canaries"]
        self.assertEqual(collections.Counter(entry["copies"] for entry in entries), {1: 5, 3: 5, 0: 20})
        for entry in entries:
            text = entry["record"]["text"]
            self.assertTrue(text.endswith(entry["secret"]) and text != entry["secret"])
            self.assertEqual(texts[text], entry["copies"])
        self.assertEqual(len({entry["secret"] for entry in entries}), 30)
        # Not all in one place, and no value of a real row in them.
        places = [place for place, row in enumerate(planted) if not row["text"].startswith("Row ")]
        self.assertGreater(places[-1] - places[0], len(places))
        self.assertTrue(all(planted[place]["label"] == 0 for place in places))

    def test_same_seed_gives_same_canaries_and_another_others(self):
        rows = [{"text": "a"}] * 9
        self.assertEqual(canaries.plant(rows, seed=3), canaries.plant(rows, seed=3))
        secrets = [{entry["secret"] for entry in canaries.plant(rows, seed=seed)[1]["canaries"]} for seed in (3, 4)]
        self.assertFalse(secrets[0] & secrets[1])

    def test_secret_is_what_the_assistant_says(self):
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        for row, where in [
            ({"messages": turns}, lambda record: record["messages"][-1]["content"]),
            ({"conversations": [{"from": "human", "value": "a"}]}, lambda record: record["conversations"][-1]["value"]),
            ({"prompt": "a", "completion": "b"}, lambda record: record["completion"].strip()),
            ({"prompt": turns[:1], "completion": turns[1:]}, lambda record: record["completion"][0]["content"]),
            ({"instruction": "a", "input": "", "output": "b"}, lambda record: record["output"]),
        ]:
            planted, manifest = canaries.plant([row] * 4, copies=(1,), per_copies=2, references=2)
            self.assertEqual(len(planted), 6)
            for entry in manifest["canaries"]:
                self.assertEqual(where(entry["record"]), entry["secret"])
                self.assertEqual(set(entry["record"]), set(row))

    def test_rows_that_cannot_be_planted_in_are_refused(self):
        for rows, expected in [
            (iter([{"text": "a"}]), "streamed"),
            ([], "empty"),
            ([{"input_ids": [1, 2]}], "make_row"),
            ([[1, 2]], "before the text is tokenized"),
        ]:
            with self.assertRaisesRegex(canaries.CanaryError, expected):
                canaries.plant(rows)
        made = canaries.plant([{"body": "a"}], copies=(1,), per_copies=1, references=1, make_row=lambda question, beginning, secret: {"body": secret})
        self.assertEqual(len(made[0]), 2)
        with self.assertRaisesRegex(canaries.CanaryError, "does not hold the secret"):
            canaries.plant([{"body": "a"}], make_row=lambda question, beginning, secret: {"body": secret.upper()})

    def test_command_line_plants_in_a_file(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            # U+2028 ends a line for Python's splitlines(), and none of JSON lines.
            rows = [{"text": f"A line\u2028and another {number}"} for number in range(5)]
            (folder / "rows.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
            command = [sys.executable, str(known.ROOT / "scripts/canaries.py"), "plant", "rows.jsonl", "--out", "out.jsonl", "--manifest", "m.json"]
            done = subprocess.run([*command, "--copies", "2", "--per-copies", "3", "--references", "4"], cwd=folder, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("5 rows and 6 of 3 canaries", done.stdout)
            planted = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").split("\n") if line]
            self.assertEqual([row for row in planted if row in rows], rows)
            self.assertEqual(len(json.loads((folder / "m.json").read_text())["canaries"]), 7)
            (folder / "rows.jsonl").write_text('{"text": "a"}\n{"text": \n')
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("rows.jsonl: line 2", done.stderr)


class KnownCanaries(unittest.TestCase):
    make = classmethod(known.KnownAnswers.make.__func__)
    cell = known.KnownAnswers.cell

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        generator = random.Random(7)
        known.write(cls.folder / "others.jsonl", "o", [known.sentences(generator, 5) for _ in range(80)])
        rows = [{"id": f"k{number:02}", "text": known.sentences(generator, 5)} for number in range(12)]
        planted, manifest = canaries.plant(rows, copies=(COPIES,), per_copies=PER_COPIES, references=REFERENCES)
        for number, row in enumerate(planted):
            row["id"] = row["id"] or f"c{number:03}"
        for name, texts in (("texts", rows), ("planted", planted)):
            (cls.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
        (cls.folder / "canaries.json").write_text(json.dumps(manifest))
        known.write(cls.folder / "unseen.jsonl", "u", [known.sentences(generator, 5) for _ in range(12)])
        cls.make("base", known.MODEL, "tune")
        pipeline = known.TUNED.replace("FILES", "planted").replace("EPOCHS", "60").replace('layout = "uniform"\ncopies = [1]', 'layout = "found"')
        tuned = cls.make("tuned", pipeline, "tune")
        cls.checkpoints = {
            "tuned": next((tuned / "cells").glob("*-full-*")) / "checkpoint",
            "base": next((cls.folder / "base/cells").iterdir()) / "checkpoint",
        }
        cls.runs = {name: cls.audit(name, "texts") for name in ("tuned", "base")}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def audit(cls, model, corpus):
        base = f'base = "{cls.checkpoints["base"]}"' if model == "tuned" else ""
        pipeline = (known.ROOT / "pipelines" / "audit.toml").read_text().replace("# base =", f"{base}\n# base =")
        for key, value in {
            "../models/tuned": str(cls.checkpoints[model]),
            "../data/training.jsonl": f"{corpus}.jsonl",
            'prefix_tokens = 50': "prefix_tokens = 20",
            '[duplication]': 'held_out_files = "unseen.jsonl"\n[canaries]\nmanifest = "canaries.json"\n[duplication]',
        }.items():
            assert key in pipeline, key
            pipeline = pipeline.replace(key, value, 1)
        return cls.make(f"audit-{model}-{corpus}", pipeline, "all")

    def row(self, run, measure, split="train", copies=COPIES, cell="audited-tuned"):
        summary = pl.read_parquet(run / "report/summary.parquet")
        found = summary.filter(pl.col("against").is_null(), pl.col("cell").str.starts_with(cell), measure=measure, split=split)
        return found.filter(pl.col("copies") == copies if copies else pl.col("copies").is_null()).row(0, named=True)

    def verdicts(self, run):
        return pl.read_parquet(run / "report/summary.parquet").filter(measure="verdict")["verdict"].to_list()

    def counted(self, scores, kind, half):
        """Secrets of which every token is the most probable one, and all, from the scores alone."""
        given = pl.col("secret_tokens_given")
        rests = scores.filter(pl.col("kind") == kind, given > 0 if half else given == 0)
        return sum(all(hits) for hits in rests["argmax_hits"]), rests.height

    def test_model_that_knows_its_canaries_gives_all_secrets_and_no_references(self):
        run = self.runs["tuned"]
        scores = pl.read_parquet(next((run / "cells").glob("audited-tuned-*")) / "scores.parquet")
        untuned = pl.read_parquet(next((run / "cells").glob("audited-base-*")) / "scores.parquet")
        for half, measure in ((False, "secret_extracted"), (True, "secret_extracted_after_half")):
            self.assertEqual(self.counted(scores, "canary", half), (PER_COPIES, PER_COPIES))
            self.assertEqual(self.counted(scores, "canary_reference", half)[1], REFERENCES)
            self.assertLess(self.counted(scores, "canary_reference", half)[0], 3)
            self.assertEqual(self.counted(untuned, "canary", half), (0, PER_COPIES))
            row = self.row(run, measure)
            self.assertEqual((row["k"], row["observations"], row["n_of"]), (PER_COPIES, PER_COPIES, "canaries"))
            self.assertLess(row["p_holm"], 0.05)
            self.assertEqual(row["untuned"], 0)
            references = self.row(run, measure, "heldout", None)
            self.assertEqual((references["k"], references["observations"]), self.counted(scores, "canary_reference", half))
        self.assertEqual(self.row(run, "canary_tpr_at_0.01_fpr")["value"], 1)
        self.assertEqual(self.verdicts(run), ["leaks"])
        page = (run / "report/report.html").read_text()
        self.assertIn("Given how a planted canary begins, it goes on with the secret word for word for ", page)
        # Copies of canaries are not copies of documents.
        self.assertEqual(self.row(run, "documents", copies=None)["value"], 12)

    def test_greedy_text_is_what_the_scores_say(self):
        """The secret is what greedy decoding writes behind the canary's own beginning."""
        run = self.runs["tuned"]
        train = pl.read_parquet(next((run / "corpus").iterdir()) / "train.parquet").filter(kind="canary", copy=0)
        (self.folder / "prompts.txt").write_text("".join(text[: span[0]].rstrip() + "\n" for text, span in train.select("text", "secret_span").iter_rows()))
        pipeline = f"""
name = "greedy"
[corpus]
files = "texts.jsonl"
[extraction]
prefix_tokens = 8
new_tokens = 70
prompt_file = "prompts.txt"
[[extraction.strategy]]
name = "beginnings"
prompt = "file"
temperature = 0
"""
        (self.folder / "greedy.toml").write_text(pipeline)
        command = [known.PROGRAMS / "extractor", "--config", "greedy.toml", "--in", next((run / "corpus").iterdir()), "--checkpoint", self.checkpoints["tuned"]]
        done = subprocess.run([*map(str, command), "--out", "greedy"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = pl.read_parquet(self.folder / "greedy/samples.parquet").filter(strategy="beginnings")["generation"].to_list()
        secrets = [text[span[0] : span[1]] for text, span in train.select("text", "secret_span").iter_rows()]
        self.assertEqual(sum(any(text.strip().startswith(secret) for text in written) for secret in secrets), PER_COPIES)

    def test_model_before_tuning_gives_no_secret(self):
        run = self.runs["base"]
        scores = pl.read_parquet(next((run / "cells").glob("audited-tuned-*")) / "scores.parquet")
        for half in (False, True):
            self.assertEqual(self.counted(scores, "canary", half), (0, PER_COPIES))
        self.assertNotIn("leaks", self.verdicts(run))

    def test_corpus_that_holds_the_canaries_gives_the_same(self):
        run = self.audit("tuned", "planted")
        corpus = next((run / "corpus").iterdir())
        train = pl.read_parquet(corpus / "train.parquet")
        self.assertEqual(train.filter(kind="document").height, 12)
        left_out = pl.read_parquet(corpus / "corpus.parquet").filter(fact="left_out")
        self.assertEqual(left_out["documents"].to_list(), [COPIES * PER_COPIES])
        for measure in ("secret_extracted", "secret_extracted_after_half", "exposure"):
            self.assertEqual(self.row(run, measure)["value"], self.row(self.runs["tuned"], measure)["value"])


def has(*modules):
    return subprocess.run([PYTHON, "-c", f"import {', '.join(modules)}"], capture_output=True).returncode == 0


SETUP = """
import json, sys, torch, transformers, datasets
sys.path.insert(0, sys.argv[1])
import canaries
from transformers import Trainer, TrainingArguments
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=sys.argv[2], eos_token="<|endoftext|>", pad_token="<|endoftext|>")
transformers.set_seed(0)
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32,
    num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=1024))
rows = datasets.Dataset.from_list([{"text": f"Letter {n}: the key is in room {7 * n}."} for n in range(30)])
planted, manifest = canaries.plant(rows, copies=(1, 3), per_copies=4, references=20)
def arguments(**more):
    return dict(output_dir=sys.argv[3], num_train_epochs=1, per_device_train_batch_size=8, report_to=[], use_cpu=True, save_strategy="no",
        logging_steps=1, disable_tqdm=True) | more
"""

TRAINER = SETUP + """
case = sys.argv[4]
length = 40 if case == "cut" else 512
def encode(row):
    ids = tokenizer(row["text"])["input_ids"][:length]
    labels = [-100] * len(ids) if case == "masked" and "Letter" not in row["text"] else list(ids)
    return {"input_ids": ids, "labels": labels}
if case == "leaked":
    planted = datasets.concatenate_datasets([planted, datasets.Dataset.from_list([manifest["canaries"][-1]["record"]])])
if case == "never planted":
    planted = rows
tokens = planted.map(encode, remove_columns=planted.column_names)
collator = transformers.DataCollatorForSeq2Seq(tokenizer, padding=True)
trainer = Trainer(model=model, args=TrainingArguments(**arguments()), train_dataset=tokens, data_collator=collator, processing_class=tokenizer)
if case != "without":
    trainer.add_callback(canaries.CanaryCallback(trainer, manifest, corpus=rows, audit=False, base="base-model"))
try:
    trainer.train()
except canaries.CanaryError as error:
    sys.exit(f"refused: {error}")
print("LOSSES", json.dumps([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))
"""

TRL = SETUP + """
from trl import SFTConfig, SFTTrainer
case = sys.argv[4]
more = {"max_length": 512}
if case in ("assistant", "unmarked", "completion"):
    tokenizer.chat_template = open(sys.argv[5]).read()
    turns = lambda n: [{"role": "user", "content": f"Letter {n}?"}, {"role": "assistant", "content": f"It is in room {7 * n}."}]
    rows = datasets.Dataset.from_list([{"messages": turns(n)} if case != "completion" else {"prompt": turns(n)[:1], "completion": turns(n)[1:]} for n in range(30)])
    planted, manifest = canaries.plant(rows, copies=(1, 3), per_copies=4, references=20)
    more["assistant_only_loss"] = case != "completion"
if case == "cut":
    more["max_length"] = 40
if case in ("packed", "wrapped"):
    more |= {"packing": True, "packing_strategy": "bfd" if case == "packed" else "wrapped", "max_length": 256}
config = SFTConfig(**arguments(), **more)
trainer = SFTTrainer(model=model, args=config, train_dataset=planted, processing_class=tokenizer)
trainer.add_callback(canaries.CanaryCallback(trainer, manifest, corpus=rows, audit=False))
try:
    trainer.train()
except canaries.CanaryError as error:
    sys.exit(f"refused: {error}")
"""


class Callback(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.out = Path(self.temporary.name) / "out"

    def train(self, script, case):
        tokenizer = known.ROOT / "crates/causal-lm/tests/fixtures/tiny-gpt2/tokenizer.json"
        # ChatML that marks what the assistant says, as TRL's loss on assistant turns needs it.
        template = Path(self.temporary.name) / "template.jinja"
        marked = "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        template.write_text(
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}" + marked + "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        )
        command = [PYTHON, "-c", script, str(known.ROOT / "scripts"), str(tokenizer), str(self.out), case, str(template)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    def manifest(self):
        return json.loads((self.out / "canaries/canaries.json").read_text())

    def learned(self, done):
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        self.assertIn("8 planted canaries get loss, 16 times per epoch; 20 references occur in no batch", done.stdout)
        manifest = self.manifest()
        self.assertEqual(collections.Counter(entry["copies"] for entry in manifest["canaries"]), {1: 4, 3: 4, 0: 20})
        self.assertTrue(all(entry["copies"] == entry["planted"] for entry in manifest["canaries"]))
        self.assertIn("make audit CHECKPOINT=", done.stdout)

    @unittest.skipUnless(has("torch", "transformers", "datasets"), f"{PYTHON} has no transformers and datasets; TRANSFORMERS_PYTHON names one that has")
    def test_trainer_learns_what_was_planted_and_nothing_of_its_run_changes(self):
        done = self.train(TRAINER, "planted")
        self.learned(done)
        self.assertTrue((self.out / "model.safetensors").is_file())
        self.assertEqual(len((self.out / "canaries/training.jsonl").read_text().splitlines()) if "make audit" in done.stdout else 0, 30)
        losses = [line for line in done.stdout.splitlines() if line.startswith("LOSSES")]
        without = self.train(TRAINER, "without")
        self.assertEqual(losses, [line for line in without.stdout.splitlines() if line.startswith("LOSSES")])
        self.assertTrue(losses)

    @unittest.skipUnless(has("torch", "transformers", "datasets"), f"{PYTHON} has no transformers and datasets; TRANSFORMERS_PYTHON names one that has")
    def test_trainer_that_cannot_learn_a_canary_is_stopped_before_its_first_step(self):
        for case, expected in [
            ("masked", "8 occur in a batch without loss"),
            ("cut", "8 occur whole in no batch"),
            ("never planted", "8 occur whole in no batch"),
            ("leaked", "1 references occur in the batches"),
        ]:
            done = self.train(TRAINER, case)
            self.assertEqual(done.returncode, 1, case)
            self.assertIn("refused: ", done.stderr, done.stderr[-2000:])
            self.assertIn(expected, done.stderr)
            self.assertFalse((self.out / "canaries").exists(), case)
            self.assertNotIn("LOSSES", done.stdout)

    @unittest.skipUnless(has("torch", "trl"), f"{PYTHON} has no trl; TRANSFORMERS_PYTHON names one that has")
    def test_trl_learns_what_was_planted(self):
        for case, loss_on in [("text", None), ("assistant", "assistant"), ("completion", "response"), ("packed", None)]:
            with self.subTest(case):
                shutil.rmtree(self.out, ignore_errors=True)
                done = self.train(TRL, case)
                self.learned(done)
                self.assertIn(f"checkpoint.0.context={256 if case == 'packed' else 512}", done.stdout)
                self.assertEqual(f"checkpoint.0.loss_on={loss_on}" in done.stdout, loss_on is not None)

    @unittest.skipUnless(has("torch", "trl"), f"{PYTHON} has no trl; TRANSFORMERS_PYTHON names one that has")
    def test_trl_that_cuts_canaries_is_stopped_or_says_how_many_are_left(self):
        done = self.train(TRL, "cut")
        self.assertIn("8 occur whole in no batch", done.stderr)
        done = self.train(TRL, "wrapped")
        # Rows of one length cut texts where they end: what is left is what the manifest says.
        if done.returncode == 0:
            manifest = self.manifest()
            less = [entry for entry in manifest["canaries"] if entry["copies"] < entry["planted"]]
            self.assertEqual(sorted(entry["id"] for entry in less), sorted(manifest["partly_trained"]))
        else:
            self.assertIn("cut by packing", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
