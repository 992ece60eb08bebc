"""What --help shows: examples that the program's own command line accepts, and no markup of the documentation in the source."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target" / "debug" if "CARGO_TARGET_DIR" not in os.environ else Path(os.environ["CARGO_TARGET_DIR"]) / "debug"

COMMANDS = [["plan"], ["dupgen"], ["tuner"], ["tuner", "merge"], ["tuner", "difference"], ["tuner", "speed"], ["extractor"], ["plagiarism"], ["plagiarism", "align"], ["report"], ["check"]]


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


class CommonOptions(unittest.TestCase):
    """What every program has."""

    def programs(self):
        return sorted({command[0] for command in COMMANDS})

    @unittest.skipUnless(shutil.which("bash"), "no bash here")
    def test_completions_are_for_the_program_and_its_options(self):
        for program in self.programs():
            with self.subTest(program):
                script = run([program, "--completions", "bash"], ROOT)
                self.assertEqual(script.returncode, 0, script.stderr)
                complete = f'{script.stdout}\nCOMP_WORDS=({program} --lo); COMP_CWORD=1; _{program} {program} --lo {program}; echo "${{COMPREPLY[@]}}"'
                done = subprocess.run(["bash", "-c", complete], capture_output=True, text=True)
                self.assertEqual(done.stdout.split(), ["--log-format"], done.stderr)
        for shell in ("zsh", "fish"):
            self.assertIn("--rank", run(["extractor", "--completions", shell], ROOT).stdout.replace("-l rank", "--rank"))

    def test_the_log_is_json_where_that_is_asked_for(self):
        for program in self.programs():
            for arguments, more in ((["--log-format", "json"], {}), ([], {"LOG_FORMAT": "json"})):
                with self.subTest(program), tempfile.TemporaryDirectory() as folder:
                    needs = {
                        "plan": ["--config", "none.toml"],
                        "extractor": ["--config", "none.toml", "--in", "none", "--out", "out", "--checkpoint", "none"],
                        "dupgen": ["--config", "none.toml", "--out", "out"],
                        "plagiarism": ["--config", "none.toml", "--in", "none", "--samples", "none", "--out", "out"],
                    }.get(program, ["--config", "none.toml", "--in", "none", "--out", "out"])
                    command = [PROGRAMS / program, *needs, *arguments]
                    failed = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **more})
                    self.assertIn(failed.returncode, (2, 3), failed.stderr)
                    lines = [json.loads(line) for line in failed.stderr.splitlines()]
                    self.assertEqual({line["level"] for line in lines}, {"ERROR"})
                    self.assertIn("none", lines[-1]["message"])
                    for line in lines:
                        self.assertEqual(set(line), {"timestamp", "level", "message", "target"})

    def test_an_unknown_format_of_the_log_is_told(self):
        command = [PROGRAMS / "plan", "--status", "--out", "none"]
        failed = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LOG_FORMAT": "xml"})
        self.assertEqual(failed.returncode, 2)
        self.assertIn("LOG_FORMAT: expected one of plain, json", failed.stderr)


if __name__ == "__main__":
    unittest.main()
