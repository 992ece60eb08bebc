"""What make says before it does anything, and what reaches its caller."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
OWN = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
GIVEN = ("CHECKPOINT", "CORPUS", "BASE", "HELD_OUT", "OTHER", "SET", "RUN", "PIPELINE", "THREADS")


def make(*arguments):
    environment = {name: value for name, value in OWN.items() if name not in GIVEN}
    done = subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def run(stage="all", **variables):
    """scripts/run.sh as the Makefile calls it."""
    stages = "dupgen tuner extractor plagiarism report plan".split()
    environment = {name: value for name, value in OWN.items() if name not in GIVEN}
    environment |= {name.upper(): str(PROGRAMS / name) for name in stages}
    environment |= {"PYTHON": str(ROOT / "data/toolchain/venv/bin/python")} | {name: str(value) for name, value in variables.items()}
    done = subprocess.run([ROOT / "scripts/run.sh", stage], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class Make(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_variable_that_nobody_reads_is_named(self):
        for arguments in [("audit", "HELDOUT=x"), ("run", "pipeline=x"), ("run", "CORPUS=x"), ("demo", "THREAD=2"), ("test", "corpus=x")]:
            status, _, message = make("-n", *arguments)
            name = arguments[1].split("=")[0]
            self.assertEqual(status, 2, message)
            self.assertIn(f"unknown variable {name}=", message)
        for arguments in [("help", "SET=a=1"), ("help", "THREADS=2"), ("help", "LIBTORCH=/x")]:
            self.assertEqual(make(*arguments)[0], 0, arguments)

    def test_an_audit_says_what_it_needs_before_anything_is_fetched_or_built(self):
        (self.folder / "text.jsonl").write_text('{"text": "a"}\n')
        text = f"CORPUS={self.folder / 'text.jsonl'}"
        cases = [
            ((), "make audit needs", 2),
            ((text,), "make audit needs", 2),
            ((text, "CHECKPOINT=./nowhere"), "CHECKPOINT=./nowhere: there is no such folder", 3),
            ((text, "CHECKPOINT=.", "BASE=/nowhere"), "BASE=/nowhere: there is no such folder", 3),
            (("CORPUS=/nowhere.jsonl", "CHECKPOINT=."), "CORPUS=/nowhere.jsonl: there is no /nowhere.jsonl", 3),
            ((text, "CHECKPOINT=.", "HELD_OUT=no where"), "HELD_OUT=no where: there is no no here", 3),
            ((text, "CHECKPOINT=.", "OTHER=nowhere.txt"), "OTHER=nowhere.txt: there is no nowhere.txt here", 3),
        ]
        for arguments, expected, error in cases:
            status, output, message = make("audit", *arguments)
            self.assertEqual(status, 2, "make's own, whatever happened")
            self.assertIn(expected, message)
            self.assertIn(f"Error {error}", message)
            self.assertNotIn("setup:", output + message)

    def test_the_status_of_the_stage_that_failed_reaches_the_caller(self):
        text = "one two three four five six seven eight nine ten eleven twelve"
        (self.folder / "text.jsonl").write_text(f'{{"body": "{text}"}}\n')
        short = "extraction.prefix_tokens=8 extraction.new_tokens=8"
        audit = {"AUDIT": 1, "PIPELINE": "pipelines/audit.toml", "RUN": self.folder / "run"}
        audit |= {"CORPUS": self.folder / "text.jsonl", "CHECKPOINT": "tests/fixtures/tiny-gpt2"}
        for changes, expected in [
            ({"SET": "extraction.new_tokens=0"}, 2),
            ({"SET": short}, 3),
            ({"SET": f"{short} corpus.text=body", "DUPGEN": "false"}, 1),
        ]:
            status, output, message = run(**(audit | changes))
            self.assertEqual(status, expected, output + message)

    def test_names_with_blanks_and_brackets_are_audited(self):
        model = self.folder / "my models" / "tiny [1]"
        shutil.copytree(ROOT / "tests/fixtures/tiny-gpt2", model)
        lines = (ROOT / "tests/fixtures/corpus.jsonl").read_text().splitlines()
        (self.folder / "train (1).jsonl").write_text("\n".join(lines[:8]) + "\n")
        (self.folder / "train 'b'.jsonl").write_text("\n".join(lines[8:16]) + "\n")
        settings = "extraction.prefix_tokens=8 extraction.new_tokens=8 report.title=A title of words"
        for corpus in [self.folder / "train (1).jsonl", self.folder / "train*.jsonl"]:
            audit = {"AUDIT": 1, "PIPELINE": "pipelines/audit.toml", "RUN": self.folder / "run", "SET": settings}
            status, output, message = run(**audit, CORPUS=corpus, CHECKPOINT=model)
            self.assertEqual(status, 0, output + message)
            self.assertIn("A title of words", (self.folder / "run/report/report.html").read_text())
        self.assertIn("16 documents in 2 files", output + message)

    def test_a_model_replaced_by_an_older_one_is_audited_again_and_until_then_no_report_is_passed(self):
        model, run_folder = self.folder / "model", self.folder / "run"
        shutil.copytree(ROOT / "tests/fixtures/tiny-gpt2", model)
        # The same but for the last bit of one weight, and none of its files newer.
        other = self.folder / "other"
        shutil.copytree(model, other)
        weights = other / "model.safetensors"
        times = weights.stat()
        changed = bytearray(weights.read_bytes())
        changed[-4] ^= 1
        weights.write_bytes(changed)
        os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
        lines = (ROOT / "tests/fixtures/corpus.jsonl").read_text().splitlines()
        (self.folder / "train.jsonl").write_text("\n".join(lines[:8]) + "\n")
        audit = {"AUDIT": 1, "PIPELINE": "pipelines/audit.toml", "RUN": run_folder, "CORPUS": self.folder / "train.jsonl", "CHECKPOINT": model}
        audit["SET"] = "extraction.prefix_tokens=8 extraction.new_tokens=8"

        def report(*arguments):
            done = subprocess.run([PROGRAMS / "report", *arguments], cwd=ROOT, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        junit = self.folder / "leak.xml"
        check = ("check", run_folder, "--max", "own_verbatim=1", "--junit", junit)
        status, output, message = run(**audit)
        self.assertEqual(status, 0, output + message)
        # Without an untuned model and held-out text nobody knows whether this is the text of training.
        told = report(*check)
        self.assertEqual(told[0], 5, told)
        status, output, message = run(**audit)
        self.assertEqual((status, "Nothing to be done" in output), (0, True), output + message)

        model.rename(self.folder / "before")
        other.rename(model)
        for arguments in [check, ("model-card", run_folder), ("compare", run_folder, run_folder)]:
            status, said = report(*arguments)
            self.assertEqual(status, 3, said)
            self.assertIn("samples.parquet was made from another", said)
        self.assertIn('errors="1"', junit.read_text())
        # The second audit fails; the report of the first is still there.
        status, output, message = run(**audit, PLAGIARISM="false")
        self.assertEqual(status, 1, output + message)
        self.assertTrue((run_folder / "report/report.html").exists())
        status, said = report(*check)
        self.assertEqual(status, 3, said)
        self.assertIn("plagiarism failed in cells/audited-tuned-found-s0", said)
        self.assertEqual(run(**audit)[0], 0)
        self.assertEqual(report(*check)[0], 5)
        self.assertEqual(report("verify", run_folder)[0], 0)
        # Where a plan is refused nothing is made, and what was asked for was not audited.
        self.assertEqual(run(**(audit | {"CHECKPOINT": self.folder / "nowhere"}))[0], 3)
        status, said = report(*check)
        self.assertEqual(status, 3, said)
        status, output, message = run(**audit)
        self.assertEqual((status, "Nothing to be done" in output), (0, True), output + message)
        self.assertEqual(report(*check)[0], 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
