"""The whole pipeline on pipelines/test.toml: every stage, `make` around them, Python reading what they wrote, and kills.

Run by `make test` with the toolchain's Python, which has polars. KILLS=20 kills each stage that often (default 2).
"""

import os
import random
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("KILLS", "2"))
PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"

COLUMNS = {
    "train": "doc_id text prompt_chars kind copies copy",
    "heldout": "doc_id text prompt_chars kind",
    "metrics": "step epoch split loss tokens learning_rate grad_norm tokens_per_second seconds peak_rss_bytes peak_device_bytes",
    "samples": "sample_id doc_id split copies strategy prompt generation truth prompt_tokens generated_tokens logprobs "
    "temperature top_p top_k seed finish",
    "scores": "doc_id split copies kind prefix_tokens suffix_tokens logprobs scheme_logprobs argmax_hits vocab_mean vocab_std "
    "zlib_bytes",
    "matches": "sample_id doc_id doc_split kind gen_start gen_end doc_start doc_end similarity detector",
    "verdicts": "sample_id doc_id split copies verdict best_doc_id longest_match_chars longest_match_tokens max_similarity "
    "own_similarity heldout_similarity rouge_l bleu edit_similarity",
    "summary": "cell model parameters trainable_parameters mode rank targets learning_rate copies seed split strategy measure "
    "value ci_low ci_high n",
}
# What a rerun on the same machine may change.
TIMINGS = ["tokens_per_second", "seconds", "peak_rss_bytes"]


def make(*arguments):
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"make {' '.join(arguments)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout + done.stderr


def parquet_files(run):
    return sorted(run.rglob("*.parquet"))


def content(path):
    frame = pl.read_parquet(path)
    return frame.drop([name for name in TIMINGS if name in frame.columns])


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.run_folder = Path(cls.folder.name) / "run"
        cls.arguments = ["run", "PIPELINE=pipelines/test.toml", f"RUN={cls.run_folder}", "THREADS=1"]
        make(*cls.arguments)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def times(self):
        return {path: path.stat().st_mtime_ns for path in parquet_files(self.run_folder)}

    def test_every_file_keeps_the_contract(self):
        kinds = set()
        for path in parquet_files(self.run_folder):
            frame = pl.read_parquet(path)
            self.assertEqual(frame.columns, COLUMNS[path.stem].split(), path)
            self.assertTrue(frame.height > 0 or path.stem == "matches", path)
            kinds.add(path.stem)
        self.assertEqual(kinds, set(COLUMNS))
        cells = {path.name for path in (self.run_folder / "cells").iterdir()}
        self.assertEqual(len(cells), 4, cells)

    def test_offsets_cut_the_very_passage(self):
        cut = 0
        for path in self.run_folder.glob("cells/*/matches.parquet"):
            matches = pl.read_parquet(path).filter(pl.col("kind") == "verbatim")
            samples = pl.read_parquet(path.with_name("samples.parquet")).select("sample_id", "generation")
            documents = pl.read_parquet(*self.run_folder.glob("corpus/*/train.parquet")).unique("doc_id").select("doc_id", "text")
            joined = matches.join(samples, on="sample_id").join(documents, on="doc_id").with_columns(
                generated=pl.col("generation").str.slice(pl.col("gen_start"), pl.col("gen_end") - pl.col("gen_start")),
                document=pl.col("text").str.slice(pl.col("doc_start"), pl.col("doc_end") - pl.col("doc_start")),
            )
            for row in joined.iter_rows(named=True):
                self.assertEqual(row["generated"].lower().split(), row["document"].lower().split())
                cut += 1
        print(f"{cut} verbatim passages cut", flush=True)

    def test_the_report_stands_alone(self):
        page = (self.run_folder / "report" / "report.html").read_text()
        self.assertNotRegex(page, r'(src|href)\s*=\s*"?https?:')
        summary = pl.read_parquet(self.run_folder / "report" / "summary.parquet")
        self.assertEqual(set(summary["mode"]), {"base", "full", "head", "lora"})
        self.assertTrue(summary["value"].is_finite().all())

    def test_finished_work_is_left_alone_and_a_preset_reruns_what_it_touches(self):
        before = self.times()
        self.assertIn("Nothing to be done", make(*self.arguments))
        self.assertEqual(before, self.times())
        make(*self.arguments, "SET=detection.preset=pan2015")
        changed = {path.stem for path, when in self.times().items() if before[path] != when}
        self.assertEqual(changed, {"matches", "verdicts", "summary"})
        make(*self.arguments)
        self.assertIn("Nothing to be done", make(*self.arguments))

    def test_the_snippets_of_the_readme_run(self):
        snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        self.assertGreaterEqual(len(snippets), 3)
        for snippet in snippets:
            exec(snippet.replace("data/runs/demo", str(self.run_folder)), {})  # noqa: S102

    def test_killed_stages_end_with_the_same_results(self):
        generator = random.Random(0)
        whole = {path: content(path) for path in parquet_files(self.run_folder)}
        cell = next(path for path in (self.run_folder / "cells").iterdir() if "full" in path.name)
        corpus = next((self.run_folder / "corpus").iterdir())
        report = self.run_folder / "report"
        common = ["--threads", "1"]
        stages = {
            "dupgen": (["--config", corpus / "dupgen.toml", "--out", corpus], corpus, ["train", "heldout"]),
            "tuner": (["--config", cell / "tuner.toml", "--in", corpus, "--out", cell], cell, ["metrics"]),
            "extractor": (
                ["--config", cell / "extractor.toml", "--in", corpus, "--checkpoint", cell / "checkpoint", "--out", cell],
                cell,
                ["samples", "scores"],
            ),
            "plagiarism": (
                ["--config", cell / "plagiarism.toml", "--in", corpus, "--samples", cell / "samples.parquet", "--out", cell],
                cell,
                ["matches", "verdicts"],
            ),
            "report": (["--config", report / "report.toml", "--in", self.run_folder, "--out", report], report, ["summary"]),
        }
        weights = (cell / "checkpoint" / "model.safetensors").read_bytes()
        for stage, (arguments, folder, outputs) in stages.items():
            command = [str(PROGRAMS / stage), *map(str, arguments), *common]
            outputs = [folder / f"{name}.parquet" for name in outputs]
            for path in outputs:
                path.unlink()
            started = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            duration = time.monotonic() - started
            for _ in range(KILLS):
                for path in outputs:
                    path.unlink()
                child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(generator.uniform(0, duration))
                child.send_signal(signal.SIGKILL)
                child.wait()
                # What stands there is whole.
                for path in outputs:
                    if path.exists():
                        self.assertTrue(content(path).equals(whole[path]), f"{stage}: {path.name} after a kill")
                subprocess.run(command, check=True, capture_output=True)
                for path in outputs:
                    self.assertTrue(content(path).equals(whole[path]), f"{stage}: {path.name} after a rerun")
            leftovers = [path.name for path in folder.rglob("*.partial")]
            self.assertEqual(leftovers, [], stage)
        self.assertEqual(weights, (cell / "checkpoint" / "model.safetensors").read_bytes())


if __name__ == "__main__":
    unittest.main(verbosity=2)
