"""What a run leaves for others: no path of this machine in it, and pages on which hostile text stays text, in a real browser too.

The test pipeline is run in a folder with a marked name, on a corpus, with names and with generations that are made to break a page. The part
in a browser needs Chromium (CHROMIUM=PROGRAM, or chromium in PATH) and is skipped without it.
"""

import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import polars as pl

import json_schema

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
BIN = Path(os.environ.get("BIN", PROGRAMS))
OWN = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
STAGES = {name.upper(): str(BIN / name) for name in "plan dupgen tuner extractor plagiarism report check".split()}
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

MARK = "folder-of-nobody-else"
RAN = "document.title='it ran';document.documentElement.setAttribute('data-ran','')"
MARKUP = (
    f"<script>{RAN}</script>",
    f"</script><script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"' onmouseover='{RAN}' autofocus onfocus='{RAN}' x='",
    f"<svg onload=\"{RAN}\"></svg>",
    f"</style><style>*{{display:none}}</style><script>{RAN}</script>",
    f"<!-- --><iframe srcdoc=\"<script>parent.{RAN}</script>\"></iframe>",
    f"<a href=\"javascript:{RAN}\">here</a><base href=\"https://example.org/\">",
    "</title></p></blockquote></table></main><h1>Nothing was found.</h1>",
    "<meta http-equiv=refresh content=\"0;url=https://example.org/\">",
)
TURNED = "\u202e.elif a fo eman eht si siht\u202c \u2067right\u2069 \u200f(1)"
PILE = "z" + "\u0301\u0489" * 300
HIDDEN = "zero\u200bwidth\ufeff \x00 \x1b[31m \x85"
HOSTILE = " ".join([*MARKUP, TURNED, PILE, HIDDEN])


def run(run_folder, pipeline, stage, **variables):
    environment = {name: value for name, value in OWN.items() if name not in ("CHECKPOINT", "CORPUS", "BASE", "MODEL", "SET", "AUDIT", "LOOK")}
    environment |= STAGES | {"PIPELINE": str(pipeline), "RUN": str(run_folder), "THREADS": "1"} | variables
    done = subprocess.run([ROOT / "scripts/run.sh", stage], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{stage}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def texts_of(value):
    """Every string in a value of a table, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


# Whether the style sheet holds.
STYLED = (
    "const width = frame.contentWindow.getComputedStyle(inside.querySelector('main')).maxWidth;"
    "if (width !== 'none') document.title = 'shown-by-its-style';"
)


class Elements(html.parser.HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


class Shared(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.place = Path(folder.name).resolve() / MARK
        cls.place.mkdir()
        model = cls.place / "models" / "tiny"
        shutil.copytree(ROOT / "tests/fixtures/tiny-gpt2", model)
        corpus = cls.place / f"letters {TURNED[:8]}<img src=x onerror=alert(1)>.jsonl"
        documents = [json.loads(line) for line in (ROOT / "tests/fixtures/corpus.jsonl").read_text().splitlines()]
        for number, document in enumerate(documents):
            if number % 3 == 0:
                document["text"] = f"{HOSTILE} {document['text']}"
                document["id"] = f"{MARKUP[number // 3 % len(MARKUP)]} {TURNED} {number}"
        corpus.write_text("".join(json.dumps(document) + "\n" for document in documents))
        # Paths as somebody gives them who gives whole ones.
        pipeline = (ROOT / "pipelines/test.toml").read_text()
        quoted = lambda text: json.dumps(text)
        for old, new in [
            ('"../tests/fixtures/corpus.jsonl"', quoted(str(corpus))),
            ('"../tests/fixtures/tiny-gpt2"', quoted(str(model))),
            ('"Do the stages fit together?"', quoted(HOSTILE)),
            ('name = "greedy"', f"name = {quoted(MARKUP[0] + TURNED)}"),
            ("examples = 1", "examples = 8"),
        ]:
            assert old in pipeline, old
            pipeline = pipeline.replace(old, new)
        cls.pipeline = cls.place / "test.toml"
        cls.pipeline.write_text(pipeline)
        cls.run_folder = cls.place / "run"
        run(cls.run_folder, cls.pipeline, "extract")
        # As if the models had learnt their hostile documents by heart.
        for cell in sorted((cls.run_folder / "cells").iterdir()):
            corpus_folder = next((cls.run_folder / "corpus").iterdir())
            texts = dict(pl.read_parquet(corpus_folder / "train.parquet").select("doc_id", "text").iter_rows())
            for file in (cell / "samples.parquet", cell / "best/samples.parquet"):
                if file.exists() and "full" in cell.name:
                    samples = pl.read_parquet(file)
                    learnt = [texts.get(doc_id) or generation for doc_id, generation in samples.select("doc_id", "generation").iter_rows()]
                    samples.with_columns(generation=pl.Series(learnt)).write_parquet(file)
        run(cls.run_folder, cls.pipeline, "all")
        cls.look = cls.place / "look"
        run(cls.look, "pipelines/check.toml", "all", LOOK="1", CORPUS=str(corpus), MODEL=str(model), SET="check.listed=40 check.excerpt_chars=4000")
        cls.pages = {
            path.name: path.read_text()
            for path in [*sorted((cls.run_folder / "report").glob("*.html")), cls.look / "check/check.html"]
        }

    def test_files_for_others_name_no_place_of_this_machine(self):
        shared = [path for path in (self.run_folder / "report").rglob("*") if path.is_file()]
        shared += [path for path in (self.look / "check").rglob("*") if path.is_file() and path.suffix != ".toml"]
        for checkpoint in self.run_folder.glob("cells/**/checkpoint"):
            shared += [path for path in checkpoint.rglob("*") if path.is_file()]
        names = {path.name for path in shared}
        self.assertLessEqual({"report.html", "report.json", "summary.parquet", "check.html", "adapter_config.json", "config.json"}, names)
        for path in shared:
            # The footer of Parquet and the header of safetensors are plain text.
            self.assertNotIn(MARK.encode(), path.read_bytes(), path)
            if path.suffix == ".parquet":
                for row in pl.read_parquet(path).iter_rows():
                    for text in texts_of(list(row)):
                        self.assertNotIn(MARK, text, path)

    def test_adapters_name_their_base_from_where_they_lie(self):
        model = self.place / "models" / "tiny"
        adapters = list(self.run_folder.glob("cells/**/adapter_config.json"))
        self.assertGreaterEqual(len(adapters), 2)
        for adapter in adapters:
            base = Path(json.loads(adapter.read_text())["base_model_name_or_path"])
            self.assertFalse(base.is_absolute(), base)
            self.assertEqual((adapter.parent / base).resolve(), model.resolve(), adapter)

    def test_hostile_text_is_on_the_pages_as_text_alone(self):
        self.assertEqual(set(self.pages), {"report.html", "report-redacted.html", "check.html"})
        for name, page in self.pages.items():
            elements = Elements(page).found
            tags = {tag for tag, _ in elements}
            self.assertFalse(tags & {"iframe", "img", "base", "object", "embed", "form", "link"}, name)
            self.assertEqual([[tag for tag, _ in elements].count(own) for own in ("style", "script")], [1, 1], name)
            for tag, attributes in elements:
                self.assertFalse([key for key in attributes if key.startswith("on") or key == "style"], f"{name}: {tag} {attributes}")
                self.assertNotIn("javascript:", (attributes.get("href") or "").lower(), name)
            self.assertNotRegex(page, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066\u2067]", name)
            self.assertNotRegex(page, "[\u0301\u0489]{9}", name)
            policies = [attributes["content"] for tag, attributes in elements if attributes.get("http-equiv") == "Content-Security-Policy"]
            self.assertEqual(len(policies), 1, name)
            self.assertTrue(policies[0].startswith("default-src 'none'; style-src 'sha256-"), name)
            if name != "report-redacted.html":
                self.assertIn("&lt;script&gt;", page, name)

    def test_evidence_is_of_the_files_that_are_there(self):
        told = self.place / "told"
        told.mkdir()
        report = lambda *arguments: subprocess.run([BIN / "report", *arguments], capture_output=True, text=True)
        done = report("evidence", self.run_folder, "--out", told / "evidence.json", "--annex", told / "annex.md")
        self.assertEqual(done.returncode, 0, done.stderr)
        evidence, schema = (json.loads((told / name).read_text()) for name in ("evidence.json", "evidence.schema.json"))
        self.assertEqual(list(json_schema.problems(evidence, schema)), [])
        self.assertTrue(list(json_schema.problems({**evidence, "files": [{}]}, schema)))
        # The files, each with its digest; stages' own records and caches aside.
        is_own = lambda path: path.name.startswith(".") or path.parent.name.endswith("-cache")
        files = {str(path.relative_to(self.run_folder)): path for path in self.run_folder.rglob("*") if path.is_file() and not is_own(path)}
        self.assertEqual({entry["path"] for entry in evidence["files"]}, set(files))
        for entry in evidence["files"]:
            content = files[entry["path"]].read_bytes()
            self.assertEqual((entry["bytes"], entry["sha256"]), (len(content), hashlib.sha256(content).hexdigest()), entry["path"])
        # The figures: those of the summary, each once.
        summary = pl.read_parquet(self.run_folder / "report/summary.parquet")
        summary = summary.filter(pl.col("cell").is_not_null() & pl.col("against").is_null() & pl.col("epoch").is_null() & (pl.col("mode") != "base"))
        risks = {risk["id"]: risk for risk in evidence["risks"]}
        for risk, measure, more in [
            ("extraction", "own_verbatim", pl.lit(True)),
            ("unprompted_disclosure", "training_text_emitted", pl.col("split") != "train"),
            ("personal_details", "personal_details", pl.lit(True)),
        ]:
            expected = [row for row in summary.filter((pl.col("measure") == measure) & more).iter_rows(named=True)]
            self.assertTrue(expected, measure)
            self.assertEqual([row for row in risks[risk]["figures"] if row["measure"] == measure], expected)
        for risk in evidence["risks"]:
            self.assertEqual({row["mode"] for row in risk["figures"]} - {"full", "head", "lora"}, set())
            for name in risk["not_measured"]:
                self.assertFalse([row for row in risk["figures"] if row["measure"] == name or (name.endswith("_") and row["measure"].startswith(name))], name)
        annex = (told / "annex.md").read_text()
        for text in (annex, json.dumps(evidence)):
            self.assertNotIn(MARK, text)
        for text in (*MARKUP[1:], "\u202e"):
            self.assertNotIn(text, annex)
        for verdict in evidence["verdicts"]:
            # But for the signs that mean something to Markdown.
            self.assertIn(re.sub(r"\W+", "", verdict["paragraph"]), re.sub(r"\W+", "", annex))
        # A run with a file that is not what was written is no evidence.
        damaged = self.place / "damaged"
        shutil.copytree(self.run_folder, damaged)
        file = damaged / "report/summary.parquet"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        done = report("evidence", damaged, "--out", told / "none.json")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("that is no evidence", done.stderr)
        self.assertFalse((told / "none.json").exists())

    def test_report_json_fits_its_schema(self):
        report = json.loads((self.run_folder / "report/report.json").read_text())
        schema = json.loads((self.run_folder / "report/report.schema.json").read_text())
        self.assertEqual(list(json_schema.problems(report, schema)), [])

    def test_a_model_card_has_the_figures_of_its_cell(self):
        summary = pl.read_parquet(self.run_folder / "report/summary.parquet")
        cell = next(name for name in summary["cell"].drop_nulls().unique().sort() if "full" in name)
        card = lambda *arguments: subprocess.run([BIN / "report", "model-card", self.run_folder, *arguments], capture_output=True, text=True)
        text = card("--cell", cell).stdout
        _, front, section = text.split("---\n", 2)
        expected = summary.filter(
            (pl.col("cell") == cell) & (pl.col("measure") == "own_verbatim") & pl.col("against").is_null() & pl.col("epoch").is_null() & pl.col("copies").is_null()
        )
        values = re.findall(r"- type: own_verbatim\n +name: (\".*\")\n +value: (\S+)", front)
        self.assertEqual([float(value) for _, value in values], expected["value"].to_list())
        self.assertTrue(all(json.loads(name) for name, _ in values))
        self.assertEqual(section.count("goes on with a document word for word"), expected.height)
        self.assertNotIn("<script>", section)
        # Which of several has to be said, and must be there.
        for arguments in ([], ["--cell", "none"]):
            done = card(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(cell, done.stderr)

    @unittest.skipUnless(CHROMIUM, "no chromium here: the pages were not looked at in a browser")
    def test_nothing_runs_in_a_browser(self):
        for name, page in self.pages.items():
            with self.subTest(page=name):
                dom, log = self.in_browser(page)
                title = re.search(r"<title>(.*?)</title>", page)[1]
                self.assertIn(f"<title>{title}</title>", dom)
                self.assertNotIn("data-ran", re.search(r"<html[^>]*>", dom)[0])
                # The browser has a place to say that it did not apply the style sheet.
                self.assertNotIn("Content Security Policy", log)
                self.assertIn("shown-by-its-style", self.in_browser(page, ask=STYLED)[0])
        # What a page would be that wrote the same texts as they are: they run, so that the test above can fail.
        page = self.pages["report.html"]
        open_page = re.sub(r"<body>", lambda _: f"<body>{MARKUP[0]}{MARKUP[2]}", page)
        dom, log = self.in_browser(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", open_page))
        self.assertIn("<title>it ran</title>", dom)
        # The policy stops them even then.
        dom, log = self.in_browser(open_page)
        self.assertNotIn("<title>it ran</title>", dom)
        self.assertIn("Content Security Policy", log)

    @unittest.skipUnless(CHROMIUM, "no chromium here: the pages were not looked at in a browser")
    def test_tables_sort_and_filter_in_a_browser(self):
        ask = (
            "const table = [...inside.querySelectorAll('table')].find((table) => table.tBodies[0].rows.length >= 3), rows = () => [...table.tBodies[0].rows];"
            "const before = rows().map((row) => row.textContent), button = table.querySelector('thead th .sort');"
            "button.click(); const up = rows().map((row) => row.cells[0].textContent);"
            "button.click(); const down = rows().map((row) => row.cells[0].textContent);"
            "button.click(); const after = rows().map((row) => row.textContent);"
            "const inputs = inside.querySelectorAll('.filter input').length;"
            "document.title = JSON.stringify({ up, down, same: before.join() === after.join(), inputs });"
        )
        dom, log = self.in_browser(self.pages["report.html"], ask=ask)
        self.assertNotIn("Content Security Policy", log)
        found = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom)[1]))
        self.assertTrue(found["same"])
        self.assertGreaterEqual(len(found["up"]), 3)
        self.assertEqual(found["up"], found["down"][::-1])
        self.assertEqual(found["up"], sorted(found["up"], key=str.casefold))

    def in_browser(self, page, ask=None):
        """The page as a browser has it after two seconds of its own time, and what the browser said. With `ask`, a page around it
        asks so, of the document `inside`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.html"
            file.write_text(page)
            if ask:
                file = Path(folder) / "around.html"
                around = "const frame = document.querySelector('iframe'); frame.onload = () => { const inside = frame.contentDocument; %s };" % ask
                file.write_text(f"<title>no</title><iframe src=page.html></iframe><script>{around}</script>")
            command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
            command += ["--disable-component-update", "--no-first-run", "--allow-file-access-from-files", "--enable-logging=stderr"]
            command += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=2000", "--dump-dom", file.as_uri()]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout, done.stderr


if __name__ == "__main__":
    unittest.main()
