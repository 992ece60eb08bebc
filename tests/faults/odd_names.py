"""Files and folders with names that shells, make and terminals would read as something else."""

import os
import shutil
from pathlib import Path

from faults import corpora
from faults.bench import Failure, Place, expect_refusal

NAME = "odd names"
STAGES = {"make": 20}
NAMES = [
    b"two words",
    b"quo'te\"s`",
    b"new\nline",
    b"tab\tand\rreturn",
    b"$(touch touched)",
    b"; touch touched #",
    b"`touch touched`",
    b"%colon:=#hash",
    b"-rf",
    b"back\\slash",
    b"*?[a-z]{b,c}",
    b"~",
    b"&& touch touched",
    b"latin-\xe9\xff",
    "עברית\u202etxt".encode(),
    "👩‍👧 e\u0301".encode(),
    b"a" * 249,
    b"long " * 49 + b"name",
    b" leading and trailing ",
    b"<b>bold<b>",
    b"percent%20$$HOME",
    b"x.partial",
]


def attempt(bench, stage, chooser):
    kind = chooser.choice([corpus, corpus, model, run_folder, folder_of_pipeline])
    name = chooser.choice(NAMES)
    with bench.copy() as place:
        try:
            what = kind(bench, place, name, chooser)
        except Failure as failure:
            raise Failure(f"{kind.__name__} called {name!r}: {failure}") from None
        touched = [str(path) for path in (bench.root / "touched", place.folder / "touched", Path.cwd() / "touched") if path.exists()]
        if touched:
            raise Failure(f"{kind.__name__} called {name!r} was run as a command: {touched}")
    return what


def named(folder, name):
    return Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))


def corpus(bench, place, name, chooser):
    """A folder of texts with such a name, in which a file has one."""
    folder = place.folder / "texts"
    folder.mkdir()
    texts = [f"Text {number} of a corpus with odd names." for number in range(24)]
    with open(named(folder, name + b".jsonl"), "wb") as file:
        file.write(corpora.as_jsonl(texts[:12]))
    (folder / "plain.jsonl").write_bytes(corpora.as_jsonl(texts[12:]))
    return expect_texts(bench, place, corpora.settings(place.folder, "texts"), texts)


def model(bench, place, name, chooser):
    copy = named(place.folder, name)
    shutil.copytree(bench.inputs / "tiny-gpt2", copy)
    try:
        name.decode()
    except UnicodeDecodeError:
        return "no text"
    texts = [f"Text {number} of a corpus with odd names." for number in range(24)]
    (place.folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(texts))
    path = "'''" + name.decode() + "'''" if b"\n" not in name and b"\r" not in name and b"\t" not in name else None
    if path is None:
        path = '"' + name.decode().replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
    settings = corpora.settings(place.folder, "corpus.jsonl", models=corpora.MODELS.replace('"../inputs/tiny-gpt2"', path))
    return expect_texts(bench, place, settings, texts, target="tune")


def run_folder(bench, place, name, chooser):
    """Make cannot carry such a name, and it is said before anything is done; or it can, and the run is whole."""
    texts = [f"Text {number} of a corpus with odd names." for number in range(24)]
    (place.folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(texts))
    settings = corpora.settings(place.folder, "corpus.jsonl")
    elsewhere = Place(place.folder)
    elsewhere.run = named(place.folder, name)
    return expect_texts(bench, elsewhere, settings, texts, may_be_refused=True)


def folder_of_pipeline(bench, place, name, chooser):
    texts = [f"Text {number} of a corpus with odd names." for number in range(24)]
    folder = named(place.folder, name)
    folder.mkdir()
    (folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(texts))
    (place.folder / "inputs").symlink_to(bench.inputs)
    settings = corpora.settings(folder, "corpus.jsonl")
    return expect_texts(bench, place, settings, texts)


def expect_texts(bench, place, settings, texts, target="dupgen", may_be_refused=False):
    if not may_be_refused:
        place.run = place.folder / "other"
    done = bench.run(bench.make(place, target=target, pipeline=settings))
    if done.status != 0 and may_be_refused:
        expect_refusal(done, "cannot be in a Make rule", statuses=(2,))
        return "refused"
    bench.expect_success(done, "an odd name")
    found = corpora.texts(next((place.run / "corpus").iterdir()))
    if found != set(texts):
        raise Failure(f"{len(found)} of {len(texts)} texts; {done.told()}")
    again = bench.run(bench.make(place, target=target, pipeline=settings))
    bench.expect_success(again, "an odd name, once more")
    return "read"
