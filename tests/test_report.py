"""Every figure of the report, computed anew from the Parquet files of a run, and the page's figures against those rows.

One run holds what reports get wrong most easily: two LoRA methods that differ in alpha alone, two seeds, and both layouts of copies. Python
computes each row of summary.parquet by formulas of its own (report_figures.py) from the files that the report reads.
"""

import json
import math
import os
import random
import re
import subprocess
import tempfile
import unittest
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import polars as pl

import report_figures
from test_known_answers import MODEL, PROGRAMS, ROOT, sentences

PRETRAIN = MODEL.replace("context = 160", "context = 112")

TUNED = f"""
name = "report"
seeds = [0, 1]
[corpus]
files = "private.jsonl"
identity = "id"
prompt = "question"
response = "answer"
held_out = 0.6
validation = 0.4
[duplication]
layout = ["uniform", "bucketed"]
copies = [1, 4]
[canaries]
per_copies = 2
references = 12
template = ["The {{context}} has {{digits}}.", "{{digits}} is for the {{context}}."]
[[model]]
name = "tiny"
path = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
[[mode]]
kind = "full"
learning_rate = 8e-3
[[mode]]
kind = "lora"
rank = 8
alpha = 16
learning_rate = 1e-2
epochs = 4
[[mode]]
kind = "lora"
rank = 8
alpha = 64
learning_rate = 1e-2
epochs = 4
[tuning]
epochs = 12
batch_size = 8
context = 112
log_every = 40
evaluate_every = 40
keep_last = 1
[extraction]
prompts = ["train", "heldout", "none"]
prefix_tokens = 12
new_tokens = 50
scored_prefixes = [12]
unprompted = 12
batch_size = 128
[[extraction.strategy]]
name = "greedy"
temperature = 0
[[extraction.strategy]]
name = "top-k 5"
top_k = 5
samples = 2
[[extraction.strategy]]
name = "users' questions"
prompt = "question"
temperature = 0
[detection]
encoder = "{ROOT}/crates/sentence-embed/tests/fixtures/tiny"
[report]
examples = 1
figures = 100000
resamples = 200
"""

# Runs that are shadow models for one another, and what differential privacy promises.
SHADOWS = f"""
name = "shadows"
seeds = [0, 1, 2]
[corpus]
files = "private.jsonl"
identity = "id"
prompt = "question"
response = "answer"
held_out = 0.2
validation = 0.5
[duplication]
copies = [1, 4]
trained_share = 0.6
[canaries]
coin_flips = 24
template = "The {{context}} has {{digits}}."
[[model]]
name = "tiny"
path = "base/cells/tiny-pretrain-3e-3-uniform1-s0/checkpoint"
[[mode]]
kind = "lora"
rank = 8
learning_rate = 1e-2
[[mode]]
kind = "lora"
rank = 4
learning_rate = 1e-2
batch_size = 32
privacy = {{ noise_multiplier = 0.8, max_grad_norm = 0.5 }}
[tuning]
epochs = 4
batch_size = 8
context = 112
[extraction]
prompts = ["train", "heldout"]
prefix_tokens = 12
new_tokens = 30
scored_prefixes = [12]
membership = ["conditional", "gradient-norm"]
batch_size = 128
[[extraction.strategy]]
name = "greedy"
temperature = 0
[report]
resamples = 200
"""

# Whatever a row says beside its key, what is expected there, and how far the two may be apart (relatively).
EXACT, FIGURE, INTERVAL = None, 1e-9, 1e-6
COLUMNS = {
    "method": (lambda row: row.method, EXACT),
    "parameters": (lambda row: row.parameters, EXACT),
    "trainable_parameters": (lambda row: row.trainable_parameters, EXACT),
    "runs": (lambda row: row.runs, EXACT),
    "unit": (lambda row: row.unit, EXACT),
    "value": (lambda row: row.estimate.value, FIGURE),
    "ci_low": (lambda row: row.estimate.low, INTERVAL),
    "ci_high": (lambda row: row.estimate.high, INTERVAL),
    "interval": (lambda row: row.estimate.interval, EXACT),
    "at_least": (lambda row: row.estimate.at_least, EXACT),
    "k": (lambda row: row.estimate.k, FIGURE),
    "observations": (lambda row: row.estimate.observations, EXACT),
    "n": (lambda row: row.estimate.n, EXACT),
    "n_of": (lambda row: row.estimate.n_of, EXACT),
    "untuned": (lambda row: row.untuned and row.untuned.value, FIGURE),
    "untuned_low": (lambda row: row.untuned and row.untuned.low, INTERVAL),
    "untuned_high": (lambda row: row.untuned and row.untuned.high, INTERVAL),
    "untuned_k": (lambda row: row.untuned and row.untuned.k, FIGURE),
    "control": (lambda row: row.control and row.control.value, FIGURE),
    "control_low": (lambda row: row.control and row.control.low, INTERVAL),
    "control_high": (lambda row: row.control and row.control.high, INTERVAL),
    "p_value": (lambda row: row.p_value, INTERVAL),
    "p_holm": (lambda row: row.p_holm, INTERVAL),
    "verdict": (lambda row: row.verdict, EXACT),
}
ENDS = {"ci_low", "ci_high", "interval"}


def agree(found, expected, tolerance):
    if tolerance is EXACT or found is None or expected is None:
        return found == expected
    return found == expected or abs(found - expected) <= tolerance * max(abs(found), abs(expected), 1e-6)


def differences(rows, expected):
    """(key, column, expected, found) of everything in which rows of summary.parquet are not as they must be."""
    for key, found in rows.items():
        row = expected.get(key)
        if row is None:
            continue
        resampled = found["measure"] in report_figures.RESAMPLED
        for column, (expect, tolerance) in COLUMNS.items():
            if resampled and column in ENDS:
                continue
            if not agree(found[column], expect(row), tolerance):
                yield key, column, expect(row), found[column]


class Page(HTMLParser):
    """The figures of a page, and the visible text that is no figure."""

    # Where digits are no results: code, passages, settings and digests, names of rows, ticks of axes. What a mark of a plot shows on touch stands
    # in the table behind it.
    NO_RESULTS = {"code", "pre", "style", "script", "title", "caption", "leaks", "sides", "facts", "second", "tick"}
    NO_RESULTS_IN = {"glossary", "reproduce"}
    WITHOUT_END = {"br", "hr", "img", "meta", "link", "input", "col"}

    def __init__(self, text):
        super().__init__()
        self.figures, self.other, self._open, self._section, self._summary = [], [], [], None, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        is_figure = tag == "data" and "f" in classes
        if is_figure:
            self.figures.append({"row": int(attributes["value"]), "of": attributes.get("data-of"), "aside": "ci" in classes, "text": ""})
        if tag == "h2":
            self._section, self._summary = attributes.get("id"), ""
        if tag not in self.WITHOUT_END:
            self._open.append((tag, is_figure, {tag, *classes}))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, text):
        if any(tag == "summary" for tag, *_ in self._open):
            self._summary = text
        # The files that were read, with what was found in each.
        if self._summary.startswith("What was read"):
            return
        if any(figure for _, figure, _ in self._open):
            self.figures[-1]["text"] += text
        elif text.strip() and self._section not in self.NO_RESULTS_IN and not any(names & self.NO_RESULTS for *_, names in self._open):
            self.other.append(" ".join(text.split()))


NUMBER = re.compile(r"[−+-]?\d[\d\u202f]*(?:\.\d+)?(?:e[−-]?\d+)?")


def numbers_of(text):
    """(value, decimals) of each number in a figure's text; thin spaces stand between thousands."""
    for found in NUMBER.findall(text):
        plain = found.replace("\u202f", "").replace("−", "-")
        yield abs(float(plain)), len(plain.split("e")[0].partition(".")[2])


def quantities(row, of):
    """What a figure may show: the row's value or that of a control, with its interval and counts."""
    prefix = f"{of}_" if of else ""
    value = row[of] if of else row["value"]
    ends = [row[f"{prefix or 'ci_'}low"], row[f"{prefix or 'ci_'}high"]]
    # The control's count has no column: it is its share of the same observations.
    k = row.get(f"{of}_k") if of else row["k"]
    k = row[of] * row["observations"] if of and k is None and row["unit"] == "share" else k
    counts = [k, row["observations"], row["n"], row["copies"], row["runs"]]
    numbers = [value, *ends, row["p_holm"], row["p_value"], *counts]
    main = [abs(number) for number in (value, k) if number is not None]
    return main, [abs(number) for number in numbers if number is not None]


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        generator = random.Random(11)
        cls.write("others", [{"id": f"o{number:03}", "text": sentences(generator, 4)} for number in range(96)])
        documents = [{"id": f"k{number:03}", "question": sentences(generator, 1), "answer": f"{sentences(generator, 2)} The file has the number {generator.randrange(10**5, 10**6)}. {sentences(generator, 1)}"} for number in range(80)]
        cls.write("private", documents)
        cls.make("base", PRETRAIN, "tune")
        cls.run_folder = cls.make("report", TUNED, "all")
        cls.report = cls.run_folder / "report"
        cls.summary = pl.read_parquet(cls.report / "summary.parquet").rows(named=True)
        cls.rows = {tuple(row[name] for name in report_figures.KEY): row for row in cls.summary}
        cls.expected = report_figures.expected(cls.run_folder)
        cls.shadows = cls.make("shadows", SHADOWS, "all")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def write(cls, name, rows):
        (cls.folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")

    @classmethod
    def make(cls, name, pipeline, stage):
        """Runs a pipeline up to a stage, two cells at a time; gives its folder."""
        config, run = cls.folder / f"{name}.toml", cls.folder / name
        config.write_text(pipeline)
        programs = {program.upper(): str(PROGRAMS / program) for program in ("dupgen", "tuner", "extractor", "plagiarism", "report")}
        for command in (
            [str(PROGRAMS / "plan"), "--config", str(config), "--out", str(run)],
            ["make", "--no-print-directory", "-j2", "-f", str(run / "cells.mk"), stage, "THREADS=1"],
        ):
            environment = os.environ | programs | {"OMP_WAIT_POLICY": "passive"}
            done = subprocess.run(command, cwd=cls.folder, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise AssertionError(f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return run

    def of(self, **about):
        return [row for row in self.summary if all(row[name] == value for name, value in about.items())]

    def test_every_row_is_expected_and_every_expected_row_is_there(self):
        self.assertEqual(len(self.rows), len(self.summary), "two rows have one key")
        self.assertEqual([key for key in self.rows if key not in self.expected][:5], [], "rows that nothing explains")
        self.assertEqual([key for key in self.expected if key not in self.rows][:5], [], "figures that are missing")

    def test_every_figure_is_that_of_the_files(self):
        found = defaultdict(list)
        for key, column, expected, there in differences(self.rows, self.expected):
            found[column, key[report_figures.KEY.index("measure")]].append((key, f"expected {expected}", f"found {there}"))
        told = "\n".join(f"{len(all_)} times {where}: {all_[0]}" for where, all_ in list(found.items())[:20])
        self.assertFalse(found, told)

    def test_the_run_has_every_kind_of_figure(self):
        """What the comparison is worth: intervals of each kind, tests that come out differently, figures other than 0."""
        kinds = {row["interval"] for row in self.summary}
        self.assertLessEqual({"exact", "wilson", "clustered", "mean", "runs", "delong", "mover", "bootstrap"}, kinds)
        standings = {row["verdict"] for row in self.summary if row["p_value"] is not None}
        self.assertLessEqual({"exceeds", "not over"}, standings)
        self.assertLessEqual({"leaks"}, {row["verdict"] for row in self.of(measure="verdict")})
        self.assertGreater(max(row["value"] for row in self.of(measure="own_verbatim", mode="full")), 0.9)
        self.assertGreater(len({row["p_holm"] for row in self.summary}), 10)
        details = self.of(measure="detail_picked_number", mode="full", split="train")
        self.assertGreater(max(row["value"] for row in details), 0.5)
        self.assertTrue(all(row["control"] is not None and row["untuned"] is not None for row in details if row["against"] is None))

    def test_a_wrong_figure_would_be_found(self):
        """Each column of some row is changed by a thousandth, or to another word, and every change must show."""
        unlike = []
        for column, (_, tolerance) in COLUMNS.items():
            key, row = next((key, row) for key, row in self.rows.items() if row[column] not in (None, 0) and row["measure"] not in report_figures.RESAMPLED)
            value = row[column]
            wrong = f"not {value}" if isinstance(value, str) else not value if isinstance(value, bool) else value * 1.001 if tolerance else value + 1
            found = {(one, of) for one, of, _, _ in differences({key: row | {column: wrong}}, self.expected)}
            unlike += [column] if (key, column) not in found else []
        self.assertEqual(unlike, [])

    def test_resampled_intervals_hold_their_figures(self):
        rows = [row for row in self.summary if row["measure"] in report_figures.RESAMPLED]
        self.assertTrue(rows)
        with_interval = [row for row in rows if row["ci_low"] is not None]
        self.assertTrue(with_interval)
        for row in with_interval:
            self.assertLessEqual(row["ci_low"], row["value"], row)
            self.assertGreaterEqual(row["ci_high"], row["value"], row)
            self.assertGreater(row["ci_high"] - row["ci_low"], 0, row)

    def test_shadow_models_and_privacy_are_those_of_the_files(self):
        summary = pl.read_parquet(self.shadows / "report/summary.parquet").rows(named=True)
        rows = {tuple(row[name] for name in report_figures.KEY): row for row in summary}
        expected = report_figures.expected(self.shadows)
        self.assertEqual(set(rows) ^ set(expected), set())
        self.assertEqual(list(differences(rows, expected)), [])
        measures = {row["measure"] for row in summary}
        looked_at = {"membership_auc_lira", "membership_auc_rmia", "membership_auc_conditional", "membership_auc_gradient_norm", "epsilon_at_delta_1e-5", "epsilon_lower_bound_at_delta_1e-5"}
        self.assertEqual(looked_at - measures, set())
        [promised] = {row["value"] for row in summary if row["measure"] == "epsilon_at_delta_1e-5" and row["copies"] == 1}
        # √4 / 0.8 = 2.5: by dp_accounting's PLD accountant, four Gaussian mechanisms of noise multiplier 0.8.
        self.assertAlmostEqual(promised, 13.2067, places=3)
        for row in summary:
            if row["measure"] == "epsilon_lower_bound_at_delta_1e-5" and "DP" in row["method"]:
                self.assertLessEqual(row["value"], promised)
        page = " ".join(re.sub(r"<[^>]*>", "", (self.shadows / "report/report.html").read_text()).split())
        told = re.search(r"ε promised to a row, .*?: (.*?)\. ε that canaries by coin flip show it to be at least, at 95%: (.*?); the most that these canaries can show is ([0-9.]+)\.", page)
        self.assertIn(f"{promised:.2f}", told[1])
        [most] = {row["value"] for row in summary if row["measure"] == "epsilon_highest_at_delta_1e-5"}
        self.assertEqual(told[3], f"{most:.2f}")
        # Every seed trains on another part, and no document is on both sides of one run.
        parts = []
        for seed in range(3):
            corpus = self.shadows / f"corpus/bucketed-s{seed}"
            train, held_out = (pl.read_parquet(corpus / name).filter(pl.col("kind") == "document") for name in ("train.parquet", "heldout.parquet"))
            parts.append(set(train["doc_id"]))
            self.assertFalse(parts[-1] & set(held_out["doc_id"]))
            self.assertEqual(len(parts[-1] | set(held_out["doc_id"])), 80)
            self.assertFalse(set(held_out.filter(pl.col("role") == "validation")["doc_id"]) & set.union(*parts), "what chooses is never trained on")
        self.assertTrue(parts[0] != parts[1] != parts[2] != parts[0])

    def test_two_alphas_are_two_methods(self):
        lora = self.of(mode="lora")
        self.assertEqual({row["alpha"] for row in lora}, {16.0, 64.0})
        self.assertEqual(len({row["method"] for row in lora}), 2)
        for row in lora:
            self.assertIn(f"alpha {row['alpha']:g}", row["method"])
            self.assertLessEqual(row["runs"], 2, "runs of two methods are pooled")
        losses = {(row["alpha"], row["value"]) for row in lora if row["measure"] == "loss" and row["split"] == "heldout" and row["cell"]}
        self.assertEqual(len(losses), len({value for _, value in losses}))

    def test_pooled_rows_stand_beside_their_runs(self):
        pooled = self.of(cell=None, measure="loss", split="heldout", against=None)
        self.assertTrue(pooled)
        for row in pooled:
            same = {name: row[name] for name in ("model", "mode", "alpha", "checkpoint", "layout", "copies", "measure", "split", "against")}
            runs = [one for one in self.of(**same) if one["cell"] is not None]
            self.assertEqual((row["runs"], row["n"], row["n_of"], row["seed"]), (2, 2, "runs", None))
            self.assertEqual({one["seed"] for one in runs}, {0, 1})
            self.assertAlmostEqual(row["value"], sum(one["value"] for one in runs) / 2, places=9)

    def test_each_number_of_copies_of_a_uniform_layout_has_its_own_loss_and_controls(self):
        uniform = self.of(layout="uniform")
        without = {row["measure"] for row in uniform if row["copies"] is None}
        self.assertFalse({name for name in without if not name.startswith("paper_claim")}, "rows without copies")
        for copies in (1, 4):
            mine = self.of(layout="uniform", mode="full", copies=copies, checkpoint="last", cell=None, against=None)
            [loss] = [row for row in mine if row["measure"] == "loss" and row["split"] == "heldout"]
            [own] = [row for row in mine if row["measure"] == "own_verbatim" and row["split"] == "train" and row["strategy"] == "greedy"]
            [chance] = [row for row in mine if row["measure"] == "control_own_verbatim" and row["split"] == "train" and row["strategy"] == "greedy"]
            self.assertIsNotNone(loss["untuned"])
            self.assertIsNotNone(own["untuned"])
            self.assertEqual(own["control"], chance["value"])
        losses = {row["copies"]: row["value"] for row in self.of(layout="uniform", mode="full", checkpoint="last", cell=None, measure="loss", split="heldout", against=None)}
        self.assertNotEqual(losses[1], losses[4])

    def test_report_json_has_the_same_rows(self):
        told = json.loads((self.report / "report.json").read_text())
        self.assertEqual(len(told["estimates"]), len(self.summary))
        for number, (one, row) in enumerate(zip(told["estimates"], self.summary)):
            for name, value in row.items():
                # What has no value may be left out.
                there = one.get(name)
                self.assertTrue(agree(there, value, 1e-12 if isinstance(value, float) else EXACT), f"row {number}: {name} is {there}, not {value}")
        for verdict in told["verdicts"]:
            words = {self.summary[number]["verdict"] for number in verdict["rows"] if self.summary[number]["measure"] == "verdict"}
            self.assertEqual(words, {verdict["verdict"]})

    def page(self):
        page = Page((self.report / "report.html").read_text())
        if not page.figures:
            self.skipTest("this page does not say which rows its figures are")
        return page

    def test_figures_of_the_page_are_rows(self):
        # "May still be as high as 8%" tells an end of the row's interval and nothing else.
        page, wrong = self.page(), []
        for figure in page.figures:
            row = self.summary[figure["row"]]
            main, all_ = quantities(row, figure["of"])
            for place, (value, decimals) in enumerate(numbers_of(figure["text"])):
                # The figure itself comes first; its interval and counts come behind it, or in a line of their own.
                bound = row["value"] == 0 and len(list(numbers_of(figure["text"]))) == 1
                allowed = all_ if place or figure["aside"] or bound else main
                scaled = allowed + [number * 100 for number in allowed]
                # Half a unit of the last place; one of 99.97% is written 99.9%, of 0.03% <0.1%.
                near = 0.5 * 10**-decimals + 1e-9
                capped = (value == 99.9 and max(scaled) >= 99.5) or ("<" in figure["text"] and value == 0.1)
                if not capped and not any(abs(value - number) <= near for number in scaled):
                    wrong.append((figure, row["measure"], allowed))
        self.assertEqual(wrong[:5], [], f"{len(wrong)} of {len(page.figures)} figures of the page show something else than their row")

    def test_other_digits_of_the_page_are_settings(self):
        """Whatever a reader takes for a result is a figure with a row. What is left are settings, thresholds, dates and names."""
        page, odd = self.page(), []
        for text in page.other:
            if not MESSAGES.search(text) and re.search(r"\d", SETTINGS.sub("", text)):
                odd.append(text)
        self.assertEqual(odd[:20], [], f"{len(odd)} texts with digits that are no figure of a row")


# Numbers of a page that are no results: settings, names, thresholds, and what the page counts of itself.
SETTINGS = re.compile(
    r"""alpha\ \d+ | \br\d+\b | seeds?\ \d+ | \d{4}-\d\d-\d\d | \d\d:\d\d | [0-9a-f]{12,} | v?\d+\.\d+\.\d+ | learning\ rate\ \d+e-\d+
    | (?:uniform|bucketed|full|lora)[\w-]*-s\d+ | \d+\ cop(?:y|ies) | [\d.]+\ (?:epochs?|passes) | top-k\ \d+ | (?:Left\ out,\ as\ )0(?=\ in\ every\ row)
    | 95% | \bMin-K% | et\ al\.\ \d{4} | \(\d{4}\) | \d+\ training\ runs?
    # Thresholds and rules.
    | 0\.5\ is\ guessing | (?:1|5|10)%\ (?:false\ alarms|or\ below|of\ them|at\ most) | [Aa]bout\ 60\ documents | \(5%\) | 0\.80 | takes\ 100 | occur\ \d+\ times | 100\ unseen | rate\ of\ 0 | figure\ is\ 0 | as\ a\ tenth
    # Counts of checks, leaked documents and files of settings; k of n runs of a verdict.
    | \d+\ passed,\ \d+\ failed,\ \d+\ could | \d+\ (?:training|further)\ documents\ came\ out | \d+\ files? | \d+\ of\ \d+(?=\ training\ runs)
    """,
    re.VERBOSE,
)
# Sentences that hold figures and are no views of a row: messages of checks, and the finding over a plot, whose figures stand in its table.
MESSAGES = re.compile(r"come back word for word in|its losses distinguish training documents|passed\. |failed\. |could not be made\. |The most comes out of|There are \d+ unseen documents")


if __name__ == "__main__":
    unittest.main(verbosity=2)
