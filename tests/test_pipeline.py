"""The whole pipeline on pipelines/test.toml: every stage, `make` around them, Python reading what they wrote, and kills.

Run by `make test` with the toolchain's Python, which has polars. KILLS=20 kills each stage that often (default 2).
"""

import os
import random
import re
import resource
import shutil
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
    "corpus": "fact reason file split documents detail",
    "decoded": "doc_id text origins",
    "details": "doc_id split copies detail start end in_loss context_tokens candidates nats not_ranked",
    "train": "doc_id text prompt_chars kind copies copy canary_format assistant_spans secret_span",
    "heldout": "doc_id text prompt_chars kind role near_duplicate_of shared_8grams canary_format assistant_spans secret_span",
    "metrics": "step epoch split loss tokens learning_rate grad_norm tokens_per_second seconds peak_rss_bytes peak_device_bytes",
    "samples": "sample_id doc_id split copies strategy prompt generation truth prompt_tokens generated_tokens logprobs "
    "temperature top_p top_k seed finish prompt_form tokens_read lower_case_loss reference_loss zlib_bytes",
    "scores": "doc_id split copies kind prefix_tokens suffix_tokens logprobs scheme_logprobs argmax_hits vocab_mean vocab_std "
    "zlib_bytes near_verbatim_logprob document_tokens canary_format secret_tokens_given conditional_loss gradient_norm",
    "matches": "sample_id doc_id doc_split kind gen_start gen_end doc_start doc_end similarity detector "
    "document_frequency personal_details personal_details_by",
    "verdicts": "sample_id doc_id split copies verdict best_doc_id longest_match_chars longest_match_tokens max_similarity "
    "own_similarity heldout_similarity rouge_l bleu edit_similarity boilerplate best_copies own_verdict emitted_doc_ids "
    "emitted_copies control_verdict control_longest_match_chars comparable_similarity similarity_at_least echoed_chars "
    "final_answer_right",
    "summary": "cell corpus model parameters trainable_parameters method mode rank alpha dropout targets dora rslora learning_rate "
    "epochs checkpoint layout copies seed runs split strategy epoch measure against unit value ci_low ci_high "
    "interval at_least k observations n n_of untuned untuned_low untuned_high untuned_k control control_low "
    "control_high p_value p_holm verdict",
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
            self.assertTrue(frame.height > 0 or path.stem in ("matches", "decoded", "details"), path)
            kinds.add(path.stem)
        self.assertEqual(kinds, set(COLUMNS))
        cells = {path.name for path in (self.run_folder / "cells").iterdir()}
        self.assertEqual(len(cells), 4, cells)
        # The best checkpoint of each tuned cell is asked as the last is.
        asked = sorted(path.parent.name for path in self.run_folder.glob("cells/*/best/verdicts.parquet"))
        self.assertEqual(asked, ["best"] * 3)

    def test_offsets_cut_the_very_passage(self):
        """Samples that Python wrote, each with a passage of a training document in text of its own."""
        corpus = next((self.run_folder / "corpus").iterdir())
        documents = pl.read_parquet(corpus / "train.parquet").filter(kind="document").unique("doc_id").sort("doc_id")
        cell = next(path for path in (self.run_folder / "cells").iterdir() if "full" in path.name)
        own_words = "\U0001f642 e\u0301te\u0301 \u05e9\u05dc\u05d5\u05dd, quite another beginning. "
        planted = {}
        for number, row in enumerate(documents.head(6).iter_rows(named=True)):
            passage = row["text"][row["text"].index(" ", len(row["text"]) // 4) + 1 :]
            planted[number] = (row["doc_id"], own_words + passage + " And an ending of its own.", passage)
        samples = pl.read_parquet(cell / "samples.parquet").head(len(planted))
        samples = samples.with_columns(
            sample_id=pl.Series(list(planted), dtype=pl.Int64),
            doc_id=pl.Series([doc_id for doc_id, _, _ in planted.values()]),
            split=pl.lit("train", samples.schema["split"]),
            generation=pl.Series([generation for _, generation, _ in planted.values()]),
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "samples.parquet"
            samples.write_parquet(file)
            stage = [PROGRAMS / "plagiarism", "--config", cell / "plagiarism.toml", "--in", corpus, "--samples", file]
            subprocess.run([*map(str, stage), "--out", folder], check=True, capture_output=True)
            matches = pl.read_parquet(file.with_name("matches.parquet")).filter(kind="verbatim")
            verdicts = pl.read_parquet(file.with_name("verdicts.parquet"))
        self.assertEqual(set(verdicts["verdict"]), {"verbatim"})
        texts = dict(documents.select("doc_id", "text").iter_rows())
        longest = dict.fromkeys(planted, 0)
        for row in matches.iter_rows(named=True):
            generated = planted[row["sample_id"]][1][row["gen_start"] : row["gen_end"]]
            source = texts[row["doc_id"]][row["doc_start"] : row["doc_end"]]
            self.assertEqual(generated.lower().split(), source.lower().split())
            longest[row["sample_id"]] = max(longest[row["sample_id"]], len(generated))
        for number, (_, _, passage) in planted.items():
            self.assertGreaterEqual(longest[number], len(passage.strip()), passage)

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

    def test_several_processes_give_the_files_of_one(self):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            shutil.copytree(self.run_folder, run)
            stages = ("decoded", "samples", "scores", "details", "matches", "verdicts")
            for path in parquet_files(run):
                if path.stem in stages:
                    path.unlink()
            arguments = ["run", "PIPELINE=pipelines/test.toml", f"RUN={run}", "THREADS=1"]
            make("-j2", *arguments, "SET=extraction.parts=2 detection.parts=3")
            parts = {path.parent.name for path in run.rglob("parts/*/*.parquet")}
            self.assertEqual(parts, {"0-of-2", "1-of-2", "0-of-3", "1-of-3", "2-of-3"})
            for path in parquet_files(self.run_folder):
                self.assertTrue(content(run / path.relative_to(self.run_folder)).equals(content(path)), path)
            # What is whole needs no parts, and is not made again without them.
            before = {path: path.stat().st_mtime_ns for path in run.glob("cells/**/verdicts.parquet") if "parts" not in path.parts}
            for path in list(run.rglob("parts")):
                shutil.rmtree(path)
            make(*arguments)
            self.assertEqual({path: path.stat().st_mtime_ns for path in before}, before)
            self.assertEqual(list(run.rglob("parts")), [])

    def test_the_snippets_of_the_readme_run(self):
        snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        of_runs = [snippet for snippet in snippets if "data/runs/demo" in snippet]
        self.assertGreaterEqual(len(of_runs), 5)
        for snippet in of_runs:
            exec(snippet.replace("data/runs/demo", str(self.run_folder)), {})  # noqa: S102
        # What trains a model is run by test_canaries.py, in its own words; here its names must be there.
        source = (ROOT / "scripts/canaries.py").read_text()
        for snippet in set(snippets) - set(of_runs):
            compile(snippet, "README.md", "exec")
            for name in re.findall(r"canaries\.(\w+)\(", snippet):
                self.assertRegex(source, rf"(?m)^(def|class) {name}\(")

    def commands(self):
        """Each stage's command line but for --out, the folder it writes to, and its Parquet files."""
        cell = next(path for path in (self.run_folder / "cells").iterdir() if "full" in path.name)
        corpus = next((self.run_folder / "corpus").iterdir())
        report = self.run_folder / "report"
        stages = {
            "dupgen": (["--config", corpus / "dupgen.toml"], corpus, ["train", "heldout"]),
            "tuner": (["--config", cell / "tuner.toml", "--in", corpus], cell, ["metrics"]),
            "extractor": (
                [
                    *("--config", cell / "extractor.toml", "--in", corpus, "--checkpoint", cell / "checkpoint"),
                    *("--best", cell / "best" / "checkpoint"),
                ],
                cell,
                ["samples", "scores", "best/samples", "best/scores"],
            ),
            "plagiarism": (
                ["--config", cell / "plagiarism.toml", "--in", corpus, "--samples", cell / "samples.parquet"],
                cell,
                ["matches", "verdicts"],
            ),
            "report": (["--config", report / "report.toml", "--in", self.run_folder], report, ["summary"]),
        }
        for stage, (arguments, folder, outputs) in stages.items():
            yield stage, [str(PROGRAMS / stage), *map(str, arguments), "--threads", "1"], folder, outputs

    def test_a_full_disk_ends_a_stage_with_a_message_and_without_a_file(self):
        """No file may grow past 2 kB, which is how a disk that fills up looks to a program."""

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

        for stage, command, _, _ in self.commands():
            with tempfile.TemporaryDirectory() as out:
                done = subprocess.run(
                    [*command, "--out", out],
                    capture_output=True,
                    text=True,
                    preexec_fn=limit,
                    restore_signals=False,
                )
                self.assertEqual(done.returncode, 1, f"{stage}: {done.stderr}")
                self.assertIn("cannot write", done.stderr, stage)
                self.assertIn(out, done.stderr, stage)
                left = [path.name for path in Path(out).rglob("*.partial")]
                self.assertEqual(left, [], stage)

    def test_killed_stages_end_with_the_same_results(self):
        generator = random.Random(0)
        whole = {path: content(path) for path in parquet_files(self.run_folder)}
        cell = next(path for path in (self.run_folder / "cells").iterdir() if "full" in path.name)
        models = [cell / "checkpoint" / "model.safetensors", cell / "best" / "checkpoint" / "model.safetensors"]
        weights = [path.read_bytes() for path in models]
        for stage, command, folder, outputs in self.commands():
            command = [*command, "--out", str(folder)]
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
        self.assertEqual(weights, [path.read_bytes() for path in models])


if __name__ == "__main__":
    unittest.main(verbosity=2)
