"""Corpora and generations of a given size, without a model. The same seed gives the same files.

    corpora.py TEXTS FOLDER --megabytes 50 --generations 1000

TEXTS is a folder or pattern of Parquet files with a column `text`, or `made-up` for random words with the frequencies of a
language. FOLDER gets train.parquet, heldout.parquet (a fiftieth of the documents) and samples.parquet, whose generations are, one
third each: a passage copied from a training document after some words of another text; a passage with the words of each sentence
shuffled; sentences of documents outside the corpus.
"""

import argparse
import glob
import os
import pathlib
import random
import re

import polars as pl

UNRELATED = 3000  # documents outside the corpus
WORDS = 60  # of a generation
PROMPT_WORDS = 30
TRAIN = {"doc_id": pl.String, "text": pl.String, "prompt_chars": pl.Int32, "kind": pl.String, "copies": pl.Int32, "copy": pl.Int32}
SAMPLES = {
    "sample_id": pl.Int64, "doc_id": pl.String, "split": pl.String, "copies": pl.Int32, "strategy": pl.String,
    "prompt": pl.String, "generation": pl.String, "truth": pl.String, "prompt_tokens": pl.List(pl.Int32),
    "generated_tokens": pl.List(pl.Int32), "logprobs": pl.List(pl.Float32), "temperature": pl.Float32, "top_p": pl.Float32,
    "top_k": pl.Int32, "seed": pl.Int64, "finish": pl.String,
}  # fmt: skip


def read(texts, seed):
    """Texts in a seeded order; made-up ones never end."""
    if texts == "made-up":
        yield from made_up(random.Random(seed))
        return
    pattern = os.path.join(texts, "*.parquet") if os.path.isdir(texts) else texts
    found = []
    for file in sorted(glob.glob(pattern)):
        found += pl.read_parquet(file, columns=["text"])["text"].drop_nulls().to_list()
    random.Random(seed).shuffle(found)
    yield from found


def made_up(rng):
    """Documents of random words: rank r has a share of about 1/r, and rarer words are longer."""
    letters = "etaoinshrdlucmfwypvbgk"
    vocabulary = ["".join(rng.choice(letters) for _ in range(2 + rank.bit_length() // 3 + rng.randrange(4))) for rank in range(60_000)]
    word = lambda: vocabulary[int(len(vocabulary) ** rng.random()) - 1]
    while True:
        sentences = (" ".join(word() for _ in range(rng.randint(8, 30))).capitalize() + "." for _ in range(rng.randint(4, 9)))
        yield " ".join(sentences)


def corpus(texts, megabytes):
    """Training, held-out and unrelated documents; unrelated ones first, so that there are some at any size."""
    train, held_out, unrelated, size = [], [], [], 0
    for text in texts:
        if len(unrelated) < UNRELATED:
            unrelated.append(text)
            continue
        size += len(text.encode())
        (held_out if len(train) >= 49 * (len(held_out) + 1) else train).append(text)
        if size >= megabytes * 1e6:
            break
    if size < 0.9 * megabytes * 1e6:
        raise SystemExit(f"expected {megabytes} MB of texts, found {size / 1e6:.0f} MB")
    return train, held_out, unrelated


def generations(train, unrelated, count, seed):
    rng = random.Random(seed)
    long_enough = lambda texts: [number for number, text in enumerate(texts) if len(text.split()) >= WORDS + PROMPT_WORDS]
    documents, others = long_enough(train), long_enough(unrelated)
    for number in range(count):
        document = rng.choice(documents)
        text = train[document]
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        prompt, after = text[: ends[PROMPT_WORDS - 1]], text[ends[PROMPT_WORDS - 1] :].lstrip()
        words, other = after.split(), unrelated[rng.choice(others)].split()
        lead = rng.randrange(10, 25)
        kind = ("copied", "shuffled", "unrelated")[number % 3]
        if kind == "copied":
            # Cut at white space, so that the document contains the copy letter for letter.
            passage = re.match(rf"(?:\S+\s+){{0,{WORDS - lead - 1}}}\S+", after).group()
            generation = " ".join(other[:lead]) + ". " + passage
        elif kind == "shuffled":
            sentences = re.split(r"(?<=[.!?])\s+", " ".join(words[:WORDS]))
            generation = " ".join(shuffled(sentence, rng) for sentence in sentences)
        else:
            start = rng.randrange(max(1, len(other) - WORDS))
            generation = " ".join(other[start : start + WORDS])
        yield {
            "sample_id": number, "doc_id": f"d{document:07}", "split": "train", "copies": 1, "strategy": kind, "prompt": prompt,
            "generation": generation, "truth": after, "prompt_tokens": [], "generated_tokens": [], "logprobs": [],
            "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": seed, "finish": "length",
        }  # fmt: skip


def shuffled(sentence, rng):
    end = sentence[-1] if sentence[-1:] in ".!?" else "."
    words = sentence.rstrip(".!?").split()
    rng.shuffle(words)
    return " ".join(words) + end


def write(folder, texts, megabytes, count, seed=0):
    """Writes the three files, unless they exist."""
    folder = pathlib.Path(folder)
    files = [folder / name for name in ("train.parquet", "heldout.parquet", f"samples-{count}.parquet")]
    if all(file.exists() for file in files):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out, unrelated = corpus(read(texts, seed), megabytes)
    rows = [(f"d{number:07}", text, 0, "document", 1, 0) for number, text in enumerate(train)]
    tables = [
        pl.DataFrame(rows, schema=TRAIN, orient="row"),
        pl.DataFrame([(f"h{n:07}", text, 0, "document") for n, text in enumerate(held_out)],
                     schema={name: TRAIN[name] for name in ("doc_id", "text", "prompt_chars", "kind")}, orient="row"),
        pl.DataFrame(list(generations(train, unrelated, count, seed)), schema=SAMPLES, orient="row"),
    ]  # fmt: skip
    for file, table in zip(files, tables):
        partial = file.with_suffix(".partial")
        table.write_parquet(partial, row_group_size=4096)
        partial.rename(file)
    return files


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("texts")
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--megabytes", type=float, default=10)
    arguments.add_argument("--generations", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    for file in write(options.folder, options.texts, options.megabytes, options.generations, options.seed):
        print(file)
