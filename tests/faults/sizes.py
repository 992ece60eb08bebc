"""Corpora of unusual size: thousands of tiny documents, one huge document, and nothing but duplicates."""

import os

from faults import corpora, results
from faults.bench import Failure, expect_refusal

NAME = "unusual size"
STAGES = {"dupgen": 6, "make": 3}
# All of it where a thousand faults are made, a part in the suite.
IS_WHOLE = int(os.environ.get("FAULTS", "0")) >= 1000
TINY = 10_000 if IS_WHOLE else 1_000
HUGE = 100_000_000 if IS_WHOLE else 2_000_000


def attempt(bench, stage, chooser):
    kind = chooser.choice([tiny, huge, duplicates])
    with bench.copy() as place:
        kind(bench, place, stage, chooser)
    return kind.__name__


def tiny(bench, place, stage, chooser):
    texts = [f"{number:x} {chooser.choice('abcdef')}" for number in range(TINY if stage == "dupgen" else TINY // 5)]
    ending = chooser.choice(list(corpora.FORMATS))
    (place.folder / f"corpus.{ending}").write_bytes(corpora.FORMATS[ending](texts))
    settings = corpora.settings(place.folder, f"corpus.{ending}")
    found = made(bench, place, stage, settings)
    if found != set(texts):
        raise Failure(f"{len(found)} of {len(texts)} tiny texts")


def huge(bench, place, stage, chooser):
    size = HUGE if stage == "dupgen" else HUGE // 50
    words = [f"{chooser.getrandbits(40):x}" for _ in range(1000)]
    length = size // 10
    text = " ".join(chooser.choices(words, k=length))
    texts = [text] + [f"A short text, number {number}." for number in range(12)]
    (place.folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(texts))
    settings = corpora.settings(place.folder, "corpus.jsonl")
    try:
        found = made(bench, place, stage, settings)
    except Failure as failure:
        # The tokens of a large text may need more memory than there is, which is said.
        if "of memory that it may have" not in str(failure):
            raise
        return
    if found != set(texts):
        raise Failure(f"one text of {len(text)} characters came out otherwise")


def duplicates(bench, place, stage, chooser):
    distinct = chooser.choice([1, 2, 12])
    texts = [f"One and the same text, number {number}." for number in range(distinct)]
    (place.folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(chooser.choices(texts, k=1000) + texts))
    layout = chooser.choice(["uniform", "found"])
    settings = corpora.settings(place.folder, "corpus.jsonl", layout=layout)
    # With one or two texts either side may have none, which is said.
    try:
        found = made(bench, place, stage, settings)
    except Failure as failure:
        if distinct == 12 or "refused: " not in str(failure):
            raise
        return
    if found != set(texts):
        raise Failure(f"of {distinct} texts, {layout}: {len(found)}")


def made(bench, place, stage, settings):
    """The texts that a stage, or all of them, made a run of."""
    if stage == "dupgen":
        out = place.folder / "out"
        done = bench.run(corpora.dupgen(settings, out), limit=600)
    else:
        place.run = place.folder / "other"
        out = place.run / "corpus" / "uniform1-s0"
        done = bench.run(bench.make(place, pipeline=settings), limit=600)
        if done.status == 0:
            out = next((place.run / "corpus").iterdir())
    if done.status != 0:
        expect_refusal(done, settings, place.folder)
        raise Failure(f"refused: {done.told()}")
    left = results.leftovers(place.folder)
    if left:
        raise Failure(f"{', '.join(left)} left")
    return corpora.texts(out)
