"""scripts/check_dependencies.py: expressions of licences, ranges of versions, and advisories read from a database."""

import importlib.util
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
place = importlib.util.spec_from_file_location("check_dependencies", ROOT / "scripts" / "check_dependencies.py")
check = importlib.util.module_from_spec(place)
place.loader.exec_module(check)


class Dependencies(unittest.TestCase):
    def test_licences_are_met_by_one_of_either_and_all_of_both(self):
        allowed = {"MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"}
        for expression, met in [
            ("MIT", True),
            ("GPL-3.0-only", False),
            ("GPL-3.0-only OR MIT", True),
            ("GPL-3.0-only/MIT", True),
            ("MIT AND Unicode-3.0", True),
            ("MIT AND OpenSSL", False),
            ("(GPL-3.0-only OR MIT) AND Unicode-3.0", True),
            ("GPL-3.0-only OR MIT AND OpenSSL", False),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("Apache-2.0", False),
        ]:
            self.assertEqual(check.is_allowed(expression, allowed), met, expression)
        for wrong in ["", "MIT OR", "(MIT", "MIT)", "MIT Zlib"]:
            with self.assertRaises(ValueError, msg=wrong):
                check.is_allowed(wrong, allowed)

    def test_versions_fit_as_cargo_has_it(self):
        for version, requirement, fits in [
            ("1.2.3", ">= 1.2.3", True),
            ("1.2.2", ">=1.2.3", False),
            ("1.10.0", ">= 1.9.0", True),
            ("1.4.0", ">=1.0, <1.4", False),
            ("1.3.9", ">=1.0, <1.4", True),
            ("0.9.4", "^0.9.2", True),
            ("0.10.0", "^0.9.2", False),
            ("1.9.0", "^1.2", True),
            ("2.0.0", "^1.2", False),
            ("1.2.9", "~1.2.3", True),
            ("1.3.0", "~1.2.3", False),
            ("0.3.1", "= 0.3.1", True),
            ("0.3.2", "=0.3.1", False),
            ("1.0.0-rc.1", ">= 1.0.0", False),
            ("1.0.0-rc.10", "> 1.0.0-rc.9", True),
            ("1.0.0+build", ">= 1.0.0", True),
        ]:
            self.assertEqual(check.fits(version, requirement), fits, f"{version} {requirement}")

    def test_advisories_are_those_of_versions_that_are_not_patched(self):
        with tempfile.TemporaryDirectory() as folder:
            crate = Path(folder) / "crates" / "shaky"
            crate.mkdir(parents=True)
            for number, more in [(1, ""), (2, 'informational = "unmaintained"\n'), (3, 'withdrawn = "2026-01-01"\n')]:
                (crate / f"RUSTSEC-2026-000{number}.md").write_text(
                    f'```toml\n[advisory]\nid = "RUSTSEC-2026-000{number}"\npackage = "shaky"\n{more}\n'
                    '[versions]\npatched = [">= 1.4.0", "^1.2.5"]\nunaffected = ["< 1.0.0"]\n```\n\n# It shakes\n\nA lot.\n'
                )
            self.assertEqual(check.find_database(folder), Path(folder))
            told = lambda version: list(check.advisories(Path(folder), {"name": "shaky", "version": version}))
            self.assertEqual(
                told("1.1.0"), [("RUSTSEC-2026-0001", None, "It shakes"), ("RUSTSEC-2026-0002", "unmaintained", "It shakes")]
            )
            for safe in ["0.9.0", "1.2.6", "1.3.0", "1.4.0", "2.0.0"]:
                self.assertEqual(told(safe), [], safe)
            self.assertEqual(list(check.advisories(Path(folder), {"name": "steady", "version": "1.0.0"})), [])


if __name__ == "__main__":
    unittest.main()
