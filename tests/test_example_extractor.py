"""A model of a family, or an adapter of a kind, that is not read here is audited by scripts/example_extractor.py, as the refusal says.

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

# An adapter of each kind on tests/fixtures/tiny-gpt2, whose weights are not those that it begins with.
MAKE_ADAPTER = """
import sys, torch, transformers, peft
torch.manual_seed(0)
config = {
    "BOFT": lambda: peft.BOFTConfig(task_type="CAUSAL_LM", target_modules=["lm_head"], boft_block_size=4),
    "ADAPTION_PROMPT": lambda: peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=1),
    "ADALORA": lambda: peft.AdaLoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], init_r=4, total_step=9),
    "IA3": lambda: peft.IA3Config(task_type="CAUSAL_LM", target_modules=["c_attn", "c_fc"], feedforward_modules=[]),
    "PROMPT_TUNING": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "PREFIX_TUNING": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
}[sys.argv[1]]()
model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(sys.argv[2]), config)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter) * parameter.requires_grad)
model.save_pretrained(sys.argv[3])
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

    def check(self, found, *pieces):
        refused = self.plan(str(PROGRAMS / "extractor"))
        self.assertEqual(refused.returncode, 3, refused.stderr)
        for piece in (f"found {found}", "scripts/example_extractor.py", "EXTRACTOR=", *pieces):
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
        return (self.folder / "run/report/report.html").read_text()

    def adapter(self, kind):
        base = ROOT / "tests/fixtures/tiny-gpt2"
        shutil.rmtree(self.folder / "model", ignore_errors=True)
        subprocess.run([PYTHON, "-c", MAKE_ADAPTER, kind, str(base), str(self.folder / "model")], check=True, capture_output=True)

    def check_adapter(self, kind, *pieces):
        self.adapter(kind)
        page = self.check(kind, *pieces)
        self.assertIn(kind, page)
        modes = pl.read_parquet(self.folder / "run/report/summary.parquet")["mode"].unique().to_list()
        self.assertEqual(sorted(modes), [f"adapter {kind}", "base"])

    def test_a_state_space_model_is_refused_with_the_way_out_and_audited_by_it(self):
        self.model("mamba")
        self.check("mamba")

    def test_a_model_without_a_longest_context_is_refused_with_the_way_out_and_audited_by_it(self):
        self.model("bloom")
        self.check("bloom")

    def test_an_adapter_that_can_be_merged_is_refused_with_both_ways_out_and_audited_by_one(self):
        self.check_adapter("BOFT", "merge_and_unload")

    def test_an_adapter_that_is_no_change_of_weights_is_refused_with_the_way_out_and_audited_by_it(self):
        self.check_adapter("ADAPTION_PROMPT", "cannot be merged")

    def test_both_extractors_draw_and_score_alike_with_adapters_of_other_kinds(self):
        for kind in ("ADALORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING"):
            with self.subTest(kind):
                self.adapter(kind)
                ours = str(PROGRAMS / "extractor")
                planned = self.plan(ours)
                self.assertEqual(planned.returncode, 0, planned.stderr)
                if not list(self.folder.glob("run/corpus/*/train.parquet")):
                    made = self.run_with(ours, "make", "--no-print-directory", "-f", "run/cells.mk", "dupgen")
                    self.assertEqual(made.returncode, 0, made.stderr[-3000:])
                corpus = next(self.folder.glob("run/corpus/*/train.parquet")).parent
                cell = next((self.folder / "run/cells").glob("*-tuned-*"))
                drawn, scored = {}, {}
                for name, program in (("ours", [ours]), ("theirs", [PYTHON, str(ROOT / "scripts/example_extractor.py")])):
                    out = self.folder / kind / name
                    command = [*program, "--config", str(cell / "extractor.toml"), "--in", str(corpus), "--out", str(out)]
                    done = subprocess.run([*command, "--checkpoint", str(self.folder / "model")], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr[-3000:])
                    samples = pl.read_parquet(out / "samples.parquet").filter(pl.col("doc_id").is_not_null())
                    drawn[name] = dict(samples.select("doc_id", "generated_tokens").iter_rows())
                    scores = pl.read_parquet(out / "scores.parquet").filter(prefix_tokens=0)
                    scored[name] = dict(scores.select("doc_id", "logprobs").iter_rows())
                self.assertGreater(len(drawn["ours"]), 5)
                self.assertEqual(drawn["ours"], drawn["theirs"])
                self.assertEqual(scored["ours"].keys(), scored["theirs"].keys())
                for doc_id, ours_of in scored["ours"].items():
                    theirs_of = scored["theirs"][doc_id]
                    self.assertEqual(len(ours_of), len(theirs_of))
                    self.assertLess(max(abs(a - b) for a, b in zip(ours_of, theirs_of)), 1e-3)

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
        self.assertIn("rendered by a chat template", done.stderr)
        self.assertFalse((self.folder / "out" / "samples.parquet").exists())


if __name__ == "__main__":
    unittest.main()
