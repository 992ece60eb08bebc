"""scripts/device_check.sh: what it makes of the figures that programs give it, with stand-ins for the programs and for a PyTorch with CUDA;
and the real programs in a dry run on the processor."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts/device_check"))
import settings  # noqa: E402
from checks import decoding, models, scoring, tuning  # noqa: E402
from checks.models import judged, parse_estimate  # noqa: E402
from checks.tuning import speed_row  # noqa: E402
from harness import Failed, Finished, Machine  # noqa: E402
from main import is_bad, verdict  # noqa: E402
from tuning_run import Run  # noqa: E402

PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"
FAMILIES = sorted(file.parent.name for file in (ROOT / "crates/causal-lm/tests/fixtures/families").glob("*/config.json"))
FIGURES = ["logits", "packed documents", "cached steps", "gradients"]

# What a stand-in does is said by the JSON file `behaviour` beside it.
STAND_IN = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path
import polars as pl
here = Path(__file__).resolve().parent
behaviour = json.loads((here / "behaviour").read_text())
option = lambda name: sys.argv[sys.argv.index(name) + 1]
"""
TUNER = (
    STAND_IN
    + """
if sys.argv[1] == "speed":
    figures = {"training_gflops": 2e5, "decoding_gflops": 1e4}
    if option("--device") != "cpu" and behaviour.get("gpu", True):
        # A GPU that only programs with the right variables see.
        library = Path(os.environ["LIBTORCH_CUDA"]) / "lib/libtorch_cuda.so"
        assert library.exists() and os.environ["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(library.parent)
        figures["gpu"] = {"name": "Stand-in 100", "free_bytes": 140_000_000_000}
    print(json.dumps(figures))
    sys.exit()
out = Path(option("--out"))
out.mkdir(parents=True)
off = behaviour.get("loss_off", 0.0) if "device" in out.name else 0.0
rows = [{"step": step, "split": "train", "loss": 5.0 - 0.1 * step + off} for step in range(1, 5)]
pl.DataFrame(rows).write_parquet(out / "metrics.parquet")
"""
)
EXTRACTOR = (
    STAND_IN
    + """
if behaviour.get("extractor_crashes"):
    sys.exit("error: out of memory on the GPU")
time.sleep(behaviour.get("extractor_seconds", 0))
out = Path(option("--out"))
out.mkdir(parents=True)
rows = pl.read_parquet(option("--in") + "/train.parquet").select("doc_id").with_row_index().to_dicts()
made = [{"doc_id": row["doc_id"], "generated_tokens": [row["index"], 2, 3]} for row in rows]
if behaviour.get("text_differs") and "device" in out.name:
    made[3]["generated_tokens"][1] += 1
pl.DataFrame(made).write_parquet(out / "samples.parquet")
"""
)
PARITY = (
    STAND_IN
    + f"""
for family in {FAMILIES!r}:
    for precision in ["float32", "bf16"]:
        for what in {FIGURES!r}:
            error, reference = {{"float32": ("1e-6", "0e0"), "bf16": ("3e-2", "3e-2")}}[precision]
            for said in behaviour.get("parity", []):
                if [family, precision, what] == said[:3]:
                    error, reference = said[3:]
            if error != "missing":
                figures = f'"error": {{error}}, "reference": {{reference}}'
                print(f'{{{{"family": "{{family}}", "precision": "{{precision}}", "what": "{{what}}", {{figures}}}}}}')
"""
)


class Check:
    """One run of the script with stand-ins, and what came of it."""

    def __init__(self, test, checks, *, device="cuda", torch="2.11.0+cu130", behaviour=None, programs=None, **environment):
        temporary = tempfile.TemporaryDirectory()
        test.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        if programs is None:
            programs = folder / "bin"
            (programs / "examples").mkdir(parents=True)
            for place, text in [("tuner", TUNER), ("extractor", EXTRACTOR), ("examples/device_parity", PARITY)]:
                (programs / place).write_text(text)
                (programs / place).chmod(0o755)
                (programs / place).with_name("behaviour").write_text(json.dumps(behaviour or {}))
        variables = {"BIN": str(programs), "OUT": str(folder / "out"), "PYTHON": sys.executable, "DEVICE": device, "CHECKS": checks}
        if torch is not None:
            (folder / "python/torch/lib").mkdir(parents=True)
            (folder / "python/torch/__init__.py").write_text("raise ImportError('a stand-in that nobody should import')")
            (folder / "python/torch/version.py").write_text(f"__version__ = '{torch}'\n")
            (folder / "python/torch/lib/libtorch_cuda.so").write_text("")
            variables["PYTHONPATH"] = str(folder / "python")
        done = subprocess.run([ROOT / "scripts/device_check.sh"], env=os.environ | variables | environment, capture_output=True, text=True)
        self.status, self.table, self.said = done.returncode, done.stdout, done.stderr
        file = folder / "out/device_check.parquet"
        self.rows = pl.read_parquet(file).to_dicts() if file.exists() else []

    def row(self, check, what):
        (row,) = [row for row in self.rows if row["check"] == check and row["what"] == what]
        return row


class Goals:
    """A machine as far as goals go."""

    def __init__(self, are_judged):
        self.are_judged = are_judged

    def goal(self, value):
        return value if self.are_judged else None


class Gpu(Machine):
    """A machine with a GPU whose programs and peers say known figures."""

    def __init__(self, folder):
        super().__init__(device="cuda", programs=folder, out=folder, work=folder, budget=1000, shapes=settings.TINY, torch_folder=folder)

    def peer(self, name, given):
        if name == "make_models":
            for model in given["models"]:
                Path(model["folder"]).mkdir(parents=True)
        speeds = {case["name"]: {"tokens_per_second": 150_000.0, "peak_bytes": 9e9} for case in given.get("cases", [])}
        return speeds or {str(batch): 1000.0 * batch for batch in given.get("batches", [])}

    def program(self, name, *arguments):
        option = lambda key: Path(arguments[arguments.index(key) + 1])
        seconds, output = 5.0, ""
        if name == "tuner":
            out = option("--out")
            out.mkdir(parents=True)
            memory = {"peak_rss_bytes": 10**9, "peak_device_bytes": 4 * 10**9}
            speed = 300_000 if "documents" in out.name else 400_000
            # Slow while it warms up, which does not count.
            rows = [{"step": n, "split": "train", "tokens": n * speed, "seconds": n + 7.0} | memory for n in (1, 2, 6)]
            pl.DataFrame(rows).write_parquet(out / "metrics.parquet")
        elif name == "extractor":
            option("--out").mkdir(parents=True)
            few = option("--config").name == "4.toml"
            seconds = 2.0 if few else 6.0
            pl.DataFrame({"prefix_tokens": [0, 50], "suffix_tokens": [1_000 if few else 4_001_000, 50]}).write_parquet(option("--out") / "scores.parquet")
            output = "extractor: 4 generations of 120 tokens in 0 s (1200 a second), 8 rows of scores"
        elif name == "plan":
            row = "model-lora4-1e-4-uniform1-s0       6.9 M         4 k      61 s        1 s         2 s    5.5 GB    6.1 MB"
            output = row + "\nEstimates, measured here: 1 GFLOP/s in training"
        else:
            output = json.dumps({"tokens_per_second": 15_000.0, "seconds": 1.0, "ids": [[1]] * 8})
        return Finished(output, "", seconds, 10**9, 6 * 10**9)


class FiguresTest(unittest.TestCase):
    def figures(self, check):
        with tempfile.TemporaryDirectory() as folder:
            return {row.what: (row.ours, row.peer, row.ratio, row.goal, row.holds) for row in check.check(Gpu(Path(folder)))}

    def test_speeds_on_a_gpu_are_those_after_warm_steps_and_are_held_to_goals(self):
        found = self.figures(tuning)
        self.assertEqual(found["packed, full"], (400_000, 150_000, 400 / 150, 400_000, True))
        self.assertEqual(found["packed, LoRA"][3:], (550_000, False))
        self.assertEqual(found["documents, full"], (300_000, 400_000, 0.75, 0.8, False))
        self.assertEqual(list(self.figures(decoding).values()), [(15_000, 8000, 15 / 8, 2.0, False)])
        self.assertEqual(list(self.figures(scoring).values()), [(1_000_000, None, None, 1_000_000, True)])

    def test_memory_of_a_gpu_is_the_device_s_and_held_to_the_estimate(self):
        found = self.figures(models)
        for name in ["Llama-3.2-1B", "Qwen3-1.7B"]:
            self.assertEqual(found[f"{name}: LoRA, peak memory"][0], 4.0)
            self.assertEqual(found[f"{name}: extraction, peak memory"][0], 6.0)
            self.assertEqual(found[f"{name}: plan's memory"], (5.5, 4.0, 1.375, 0.25, False))
            # 2.4 M tokens at 400,000 a second, ten times: 60 s, and plan says 61 with one for the process.
            ours, peer, ratio, goal, holds = found[f"{name}: plan's time"]
            self.assertAlmostEqual(ratio, 1)
            self.assertAlmostEqual(peer, 2.5)
            self.assertEqual((goal, holds), (0.25, True))

    def test_goal_of_speed_is_met_or_not_and_fails_nothing(self):
        for speed, holds in [(400_001, True), (399_999, False)]:
            row = speed_row(Goals(True), "packed, full", Run(speed, 1, 2e9), {"tokens_per_second": 1e5, "peak_bytes": 3e9})
            self.assertEqual((row.goal, row.holds, row.ratio), (400_000, holds, speed / 1e5))
            self.assertEqual((verdict(row), is_bad(row)), ("met" if holds else "not met", False))
        row = speed_row(Goals(False), "packed, full", Run(5, 1, 2e9), {"tokens_per_second": 1.0, "peak_bytes": None})
        self.assertEqual((row.goal, row.holds, verdict(row)), (None, None, ""))

    def test_estimate_may_be_a_quarter_off_on_either_side(self):
        for estimate, holds in [(74, False), (76, True), (124, True), (126, False)]:
            self.assertIs(judged(Goals(True), "memory", estimate, 100, "GB", "").holds, holds)

    def test_estimate_is_read_from_the_table_that_plan_prints(self):
        table = (
            "cell                 train tokens   generated     tuner  extractor  plagiarism    memory      disk\n"
            "model-base-uniform1-s0          0         2 k       0 s        1 s         2 s    699 MB    432 kB\n"
            "model-lora16-1e-4-uniform1-s0       6.9 M         4 k      {}        1 s         2 s    {}    6.1 MB\n"
            "2 cells                     6.9 M         6 k      55 s        1 s         2 s    755 MB    142 MB\n"
        )
        cases = [("55 s", "4.1 GB", 4.1e9, 55), ("2 min", "706 MB", 7.06e8, 120), ("1.5 h", "16 GB", 1.6e10, 5400)]
        for tuner, memory, in_bytes, in_seconds in cases:
            for found, said in zip(parse_estimate(table.format(tuner, memory)), (in_bytes, in_seconds), strict=True):
                self.assertAlmostEqual(found / said, 1)
        with self.assertRaises(Failed):
            parse_estimate("no table")


class DeviceCheckTest(unittest.TestCase):
    def test_all_holds_with_programs_that_agree(self):
        done = Check(self, "device parity greedy")
        self.assertEqual(done.status, 0, done.table + done.said)
        self.assertIn("Stand-in 100", done.row("device", "the programs use the GPU")["note"])
        self.assertEqual([row["check"] for row in done.rows if row["holds"] is not True and row["kind"] == "correctness"], [])
        self.assertEqual(done.row("greedy", "greedy text, float32: rows that differ")["ours"], 0)
        self.assertIn("12 of 12 checks of correctness hold", done.table)
        self.assertIn("Not requested: tuning, decoding, scoring, models.", done.table)

    def test_family_too_far_in_float32_fails_by_name(self):
        done = Check(self, "parity", behaviour={"parity": [["qwen3", "float32", "gradients", "2e-4", "3e-4"]]})
        self.assertEqual(done.status, 1)
        row = done.row("parity", "float32: gradients")
        self.assertEqual((row["ours"], row["goal"], row["holds"], row["note"]), (2e-4, 1e-4, False, "qwen3"))
        self.assertEqual(sum(row["holds"] for row in done.rows), 7)

    def test_number_that_is_none_and_missing_family_fail(self):
        for error in ["NaN", "inf", "missing"]:
            with self.subTest(error):
                # The processor's own figure excuses nothing where it is no number either.
                done = Check(self, "parity", behaviour={"parity": [["phi3", "bf16", "logits", error, error]]})
                self.assertEqual(done.status, 1)
                bad = [row for row in done.rows if not row["holds"]]
                self.assertEqual([(row["what"], "phi3" in row["note"]) for row in bad], [("bf16: logits", True)])

    def test_bf16_is_held_to_twice_what_the_processor_is_off_by(self):
        for error, holds in [("0.5", True), ("0.7", False)]:
            with self.subTest(error):
                done = Check(self, "parity", behaviour={"parity": [["granite", "bf16", "gradients", error, "0.3"]]})
                self.assertEqual(done.status, 0 if holds else 1)
                row = done.row("parity", "bf16: gradients")
                self.assertEqual((row["ours"], row["peer"], row["goal"], row["holds"]), (float(error), 0.3, 0.6, holds))

    def test_text_and_losses_that_differ_fail(self):
        done = Check(self, "greedy", behaviour={"text_differs": True, "loss_off": 0.0011})
        self.assertEqual(done.status, 1)
        text = done.row("greedy", "greedy text, float32: rows that differ")
        self.assertEqual((text["ours"], text["holds"]), (1, False))
        self.assertIn("t3 first at token 1", text["note"])
        losses = done.row("greedy", "LoRA, float32: losses differ by")
        self.assertAlmostEqual(losses["ours"], 0.0011)
        self.assertIs(losses["holds"], False)
        self.assertEqual(Check(self, "greedy", behaviour={"loss_off": 0.0009}).status, 0)
        self.assertEqual(Check(self, "greedy", behaviour={"loss_off": float("nan")}).status, 1)

    def test_crash_gives_a_row_and_the_others_run(self):
        done = Check(self, "device greedy parity", behaviour={"extractor_crashes": True})
        self.assertEqual(done.status, 1)
        row = done.row("greedy", "failed")
        self.assertIs(row["holds"], False)
        self.assertIn("extractor: exit status 1: error: out of memory on the GPU", row["note"])
        self.assertEqual({row["check"] for row in done.rows if row["holds"]}, {"device", "parity"})

    def test_missing_program_gives_a_row_that_names_it(self):
        done = Check(self, "device tuning", programs=ROOT / "tests")
        self.assertEqual(done.status, 1)
        self.assertIn("tests/tuner is missing", done.row("device", "failed")["note"])
        self.assertIs(done.row("tuning", "failed")["holds"], False)

    def test_without_transformers_a_bench_fails_and_says_so(self):
        done = Check(self, "decoding device")
        self.assertEqual(done.status, 1)
        self.assertIn("make_models.py: exit status 1", done.row("decoding", "failed")["note"])
        self.assertIs(done.row("device", "the programs use the GPU")["holds"], True)

    def test_what_does_not_fit_the_budget_is_left_out_and_named(self):
        done = Check(self, "device parity tuning", BUDGET_S="25")
        self.assertEqual(done.status, 1, "parity is not known to hold")
        self.assertIs(done.row("device", "the programs use the GPU")["holds"], True)
        for name in ["parity", "tuning"]:
            row = done.row(name, "left out")
            self.assertIsNone(row["holds"])
            self.assertIn("of the budget of 25 s were left", row["note"])
        self.assertIn("Left out for lack of time: parity, tuning.", done.table)
        speed_alone = Check(self, "device tuning", BUDGET_S="25")
        self.assertEqual(speed_alone.status, 0, "a speed that is not known fails nothing")
        self.assertIn("Left out for lack of time: tuning.", speed_alone.table)

    def test_program_that_outlasts_the_budget_is_ended(self):
        done = Check(self, "greedy device", device="cpu", behaviour={"extractor_seconds": 60}, BUDGET_S="4")
        self.assertEqual(done.status, 1)
        self.assertIn("extractor ran when the budget of 4 s was used up", done.row("greedy", "left out")["note"])
        self.assertIn("left out", done.row("device", "left out")["note"])

    def test_table_and_parquet_agree(self):
        done = Check(self, "device parity greedy", behaviour={"text_differs": True, "parity": [["llama", "bf16", "logits", "0.3", "0.1"]]})
        head, *lines = done.table.splitlines()
        places = [head.index(name) for name in ["check", "what", "ours", "peer", "unit", "ratio", "goal", "holds"]]
        cells = [[line[start:end].strip() for start, end in zip(places, places[1:] + [head.index("  s ")])] for line in lines[: len(done.rows)]]
        self.assertEqual(len(done.rows), 15)
        for row, (check, what, ours, _, unit, _, goal, holds) in zip(done.rows, cells):
            self.assertEqual((row["check"], row["what"], row["unit"]), (check, what, unit))
            for name, cell in [("ours", ours), ("goal", goal)]:
                if row[name] is None:
                    self.assertEqual(cell, "")
                else:
                    self.assertAlmostEqual(float(cell.replace(",", "")), row[name], delta=0.01 * abs(row[name]))
            self.assertEqual(holds, {None: "", True: "yes", False: "NO"}[row["holds"]])
        columns = ["check", "what", "kind", "ours", "peer", "unit", "ratio", "goal", "holds", "seconds", "device", "note"]
        self.assertEqual(list(done.rows[0]), columns)
        self.assertEqual({row["device"] for row in done.rows}, {"cuda"})

    def test_gpu_that_is_not_used_fails(self):
        done = Check(self, "device", behaviour={"gpu": False})
        self.assertEqual(done.status, 1)
        row = done.row("device", "the programs use the GPU")
        self.assertIs(row["holds"], False)
        self.assertIn("PYTHON must have PyTorch for CUDA", row["note"])

    def test_wrong_usage_says_what_to_do(self):
        cases = [
            ({"torch": "2.12.0+cu130"}, "is PyTorch 2.12.0+cu130: the programs need 2.11.0 for CUDA"),
            ({"checks": "parity speed"}, "there is no check speed; there are device parity"),
            ({"device": "gpu"}, "DEVICE=gpu: expected cuda, cuda:N, or cpu for a dry run"),
            ({"BUDGET_S": "soon"}, "BUDGET_S=soon: expected a number of seconds"),
            ({"BIN": "/nowhere"}, "BIN=/nowhere is no folder"),
            ({"PYTHON": "/nowhere/python"}, "PYTHON=/nowhere/python is no program"),
        ]
        for arguments, message in cases:
            with self.subTest(message):
                done = Check(self, arguments.pop("checks", "device"), **arguments)
                self.assertEqual((done.status, done.table, done.rows), (2, "", []))
                self.assertIn(message, done.said)

    def test_real_programs_pass_the_dry_run(self):
        done = Check(self, "device parity greedy", device="cpu", torch=None, programs=PROGRAMS)
        self.assertEqual(done.status, 0, done.table + done.said)
        self.assertIn("12 of 12 checks of correctness hold", done.table)
        self.assertIn("8 documents, 64 tokens", done.row("greedy", "greedy text, float32: rows that differ")["note"])
        self.assertIn("A dry run on the processor", done.table)


if __name__ == "__main__":
    unittest.main(verbosity=2)
