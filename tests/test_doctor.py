"""`make doctor` passes here, and does not where a stage finds nothing."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from test_known_answers import PROGRAMS, ROOT

# Does all the work, and then says of every generation that nothing was found.
BLIND = f"""
import subprocess, sys
import polars as pl
subprocess.run([{str(PROGRAMS / "plagiarism")!r}, *sys.argv[1:]], check=True)
file = sys.argv[sys.argv.index("--out") + 1] + "/verdicts.parquet"
none = pl.when(pl.col("own_verdict").is_not_null()).then(pl.lit("none")).alias("own_verdict")
pl.read_parquet(file).with_columns(none, pl.lit("none").alias("verdict")).write_parquet(file)
"""


def doctor(folder, **programs):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "doctor.py")],
        capture_output=True,
        text=True,
        env=os.environ | {"RUN": str(Path(folder) / "run")} | programs,
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith(("PASS", "FAIL", "LACKS", "doctor"))], done.stderr


class DoctorTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def test_every_control_passes_here(self):
        status, lines, said = doctor(self.folder)
        self.assertEqual((status, said), (0, ""))
        self.assertEqual([line.split()[0] for line in lines], ["PASS"] * 4 + ["doctor:"])
        self.assertIn("30 of 30 found", lines[0])

    def test_detection_that_finds_nothing_fails_the_positive_control(self):
        blind = Path(self.folder) / "blind.py"
        blind.write_text(BLIND)
        status, lines, said = doctor(self.folder, PLAGIARISM=f"{sys.executable} {blind}")
        self.assertEqual((status, said), (1, ""), lines)
        self.assertTrue(lines[0].startswith("FAIL   positive control"), lines)
        self.assertIn("0 of 30 found", lines[0])
        self.assertIn("NOT well", lines[-1])

    def test_missing_program_is_named(self):
        status, lines, _ = doctor(self.folder, EXTRACTOR="/nowhere/extractor")
        self.assertEqual(status, 2)
        self.assertTrue(any(line.startswith("LACKS") and "extractor" in line for line in lines), lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
