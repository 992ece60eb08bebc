"""What --help shows: examples that the program's own command line accepts, and no markup of the documentation in the source."""

import os
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"

COMMANDS = [["plan"], ["dupgen"], ["tuner"], ["tuner", "merge"], ["tuner", "speed"], ["extractor"], ["plagiarism"], ["plagiarism", "align"], ["report"], ["check"]]


def run(command, folder):
    program, *arguments = command
    return subprocess.run([PROGRAMS / program, *arguments], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


class Help(unittest.TestCase):
    def test_every_command_has_examples_that_its_command_line_accepts(self):
        for command in COMMANDS:
            with self.subTest(" ".join(command)), tempfile.TemporaryDirectory() as folder:
                shown = run([*command, "--help"], folder)
                self.assertEqual(shown.returncode, 0, shown.stderr)
                examples = shown.stdout.split("Examples:\n")[-1].replace("\\\n", " ").splitlines()
                examples = [line.strip() for line in examples]
                examples = [shlex.split(line) for line in examples if line and not line.startswith("#")]
                self.assertTrue(examples)
                for example in examples:
                    self.assertEqual(example[0], command[0])
                    # The folder is empty. What needs files fails in the program's words, not in those of the command line.
                    done = run(example, folder)
                    self.assertNotIn("Usage:", done.stderr, example)
                    self.assertTrue(done.returncode == 0 or done.stderr.startswith("error: "), done.stderr)

    def test_no_markup_of_source_documentation_is_shown(self):
        for command in COMMANDS:
            for option in ["-h", "--help"]:
                with self.subTest(" ".join([*command, option])):
                    shown = run([*command, option], ROOT).stdout
                    for markup in ["[`", "`]", "::"]:
                        self.assertNotIn(markup, shown)

    def test_a_wrong_option_is_told_with_the_usage(self):
        for command in COMMANDS:
            with self.subTest(" ".join(command)):
                failed = run([*command, "--no-such-option"], ROOT)
                self.assertEqual(failed.returncode, 2)
                self.assertIn("Usage:", failed.stderr)


if __name__ == "__main__":
    unittest.main()
