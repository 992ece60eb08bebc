"""A model of a family that is not read here is audited by scripts/example_extractor.py, as the refusal says.

Needs a Python with transformers, peft, torch and polars: this one, or the one that TRANSFORMERS_PYTHON names. Without it the tests are
skipped.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"
PYTHON = os.environ.get("TRANSFORMERS_PYTHON", sys.executable)

# A tiny random model of each family, with the tokenizer of tests/fixtures/tiny-gpt2.
MAKE_MODEL = """
import sys, torch, transformers
torch.manual_seed(0)
small = {"vocab_size": 512, "hidden_size": 16, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
config = {
    "mamba": lambda: transformers.MambaConfig(num_hidden_layers=2, state_size=4, **small),
    "bloom": lambda: transformers.BloomConfig(n_layer=2, n_head=2, **small),
}[sys.argv[1]]()
transformers.AutoModelForCausalLM.from_config(config).save_pretrained(sys.argv[2])
"""

AUDIT = """
name = "audit"
corpus = { files = "texts.jsonl", identity = "id", held_out = 0.3 }
[extraction]
prefix_tokens = 8
new_tokens = 12
scored_prefixes = [8]
[[extraction.strategy]]
name = "greedy"
temperature = 0
[[checkpoint]]
name = "other"
path = "model"
"""


def has_transformers():
    return subprocess.run([PYTHON, "-c", "import torch, transformers, peft, polars"], capture_output=True).returncode == 0


@unittest.skipUnless(has_transformers(), f"{PYTHON} has no transformers and peft; TRANSFORMERS_PYTHON names a Python that has")
class ExampleExtractor(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = Path(self.temporary.name)
        texts = [f"Patient {number} asked for an appointment in room {7 * number} because of a cough." for number in range(20)]
        lines = [json.dumps({"id": f"t{number}", "text": text}) for number, text in enumerate(texts)]
        (self.folder / "texts.jsonl").write_text("\n".join(lines) + "\n")
        (self.folder / "audit.toml").write_text(AUDIT)

    def model(self, family):
        folder = self.folder / "model"
        subprocess.run([PYTHON, "-c", MAKE_MODEL, family, str(folder)], check=True, capture_output=True)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(ROOT / "tests/fixtures/tiny-gpt2" / name, folder)

    def run_with(self, extractor, *command):
        programs = {stage.upper(): str(PROGRAMS / stage) for stage in ("dupgen", "tuner", "plagiarism", "report")}
        environment = os.environ | programs | {"EXTRACTOR": extractor}
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def plan(self, extractor):
        return self.run_with(extractor, str(PROGRAMS / "plan"), "--config", "audit.toml", "--out", "run")

    def check(self, family):
        self.model(family)
        refused = self.plan(str(PROGRAMS / "extractor"))
        self.assertEqual(refused.returncode, 3, refused.stderr)
        for piece in (f"found {family}", "scripts/example_extractor.py", "EXTRACTOR="):
            self.assertIn(piece, refused.stderr)

        extractor = f"{PYTHON} {ROOT / 'scripts/example_extractor.py'}"
        planned = self.plan(extractor)
        self.assertEqual(planned.returncode, 0, planned.stderr)
        self.assertIn("left to EXTRACTOR", planned.stderr)
        made = self.run_with(extractor, "make", "--no-print-directory", "-f", "run/cells.mk", "all", f"EXTRACTOR={extractor}", "THREADS=1")
        self.assertEqual(made.returncode, 0, made.stdout[-3000:] + made.stderr[-3000:])
        cell = next((self.folder / "run/cells").glob("*-tuned-*"))
        samples = pl.read_parquet(cell / "samples.parquet")
        self.assertGreater(samples.filter(split="train").height, 5)
        self.assertTrue((samples["generated_tokens"].list.len() > 0).all())
        scores = pl.read_parquet(cell / "scores.parquet").filter(prefix_tokens=0)
        self.assertTrue((scores["logprobs"].list.max() < 0).all())
        self.assertTrue((self.folder / "run/report/report.html").is_file())

    def test_a_state_space_model_is_refused_with_the_way_out_and_audited_by_it(self):
        self.check("mamba")

    def test_a_model_without_a_longest_context_is_refused_with_the_way_out_and_audited_by_it(self):
        self.check("bloom")

    def test_conversations_are_refused_because_prompts_would_end_within_the_users_turn(self):
        corpus, config = self.folder / "corpus", self.folder / "extractor.toml"
        corpus.mkdir()
        config.write_text("")
        row = {"doc_id": "a", "text": "<user>Who?<assistant>Ann.", "prompt_chars": 21, "kind": "document", "copies": 1, "copy": 0, "role": "test"}
        for split in ("train", "heldout"):
            pl.DataFrame([row | {"assistant_spans": [21, 25]}]).write_parquet(corpus / f"{split}.parquet")
        command = [PYTHON, str(ROOT / "scripts/example_extractor.py"), "--config", str(config), "--in", str(corpus)]
        done = subprocess.run([*command, "--checkpoint", str(self.folder), "--out", str(self.folder / "out")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("a chat template rendered", done.stderr)
        self.assertFalse((self.folder / "out" / "samples.parquet").exists())


if __name__ == "__main__":
    unittest.main()
