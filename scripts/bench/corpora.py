"""Corpora and generations of a given size, without a model: the same seed gives the same files.

    corpora.py TEXTS FOLDER --megabytes 50 --generations 1000

TEXTS is a folder or pattern of Parquet files with a column `text`, or `made-up` for text of random words with the frequencies of a
language. FOLDER gets train.parquet, heldout.parquet (a fiftieth of the documents) and samples.parquet, whose generations are, a
third each: a passage copied from a training document after some words of another text; a passage of one with the words of each
sentence shuffled; sentences of documents that stand nowhere in the corpus.
"""

import argparse
import glob
import os
import pathlib
import random
import re

import polars as pl

FOREIGN = 3000  # documents that stand nowhere in the corpus
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
    """Texts in a seeded order, without end if they are made up."""
    if texts == "made-up":
        yield from made_up(random.Random(seed))
        return
    pattern = os.path.join(texts, "*.parquet") if os.path.isdir(texts) else texts
    found = []
    for file in sorted(glob.glob(pattern)):
        found += pl.read_parquet(file, columns=["text"])["text"].drop_nulls().to_list()
    random.Random(seed).shuffle(found)
    yield from found


def made_up(chance):
    """Documents of random words: rank r has a share of about 1/r, and rarer words are longer."""
    letters = "etaoinshrdlucmfwypvbgk"
    vocabulary = ["".join(chance.choice(letters) for _ in range(2 + rank.bit_length() // 3 + chance.randrange(4))) for rank in range(60_000)]
    word = lambda: vocabulary[int(len(vocabulary) ** chance.random()) - 1]
    while True:
        sentences = (" ".join(word() for _ in range(chance.randint(8, 30))).capitalize() + "." for _ in range(chance.randint(4, 9)))
        yield " ".join(sentences)


def corpus(texts, megabytes):
    """Training, held-out and foreign documents. Foreign ones come first, so that there are some whatever the size."""
    train, held_out, foreign, size = [], [], [], 0
    for text in texts:
        if len(foreign) < FOREIGN:
            foreign.append(text)
            continue
        size += len(text.encode())
        (held_out if len(train) >= 49 * (len(held_out) + 1) else train).append(text)
        if size >= megabytes * 1e6:
            break
    if size < 0.9 * megabytes * 1e6:
        raise SystemExit(f"the texts hold {size / 1e6:.0f} MB only, {megabytes} were asked for")
    return train, held_out, foreign


def generations(train, foreign, count, seed):
    chance = random.Random(seed)
    long_enough = lambda texts: [number for number, text in enumerate(texts) if len(text.split()) >= WORDS + PROMPT_WORDS]
    known, unknown = long_enough(train), long_enough(foreign)
    for number in range(count):
        document = chance.choice(known)
        text = train[document]
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        prompt, after = text[: ends[PROMPT_WORDS - 1]], text[ends[PROMPT_WORDS - 1] :].lstrip()
        words, other = after.split(), foreign[chance.choice(unknown)].split()
        own = chance.randrange(10, 25)
        kind = ("copied", "shuffled", "unrelated")[number % 3]
        if kind == "copied":
            # Cut at white space, so that the copy stands letter for letter in the document.
            passage = re.match(rf"(?:\S+\s+){{0,{WORDS - own - 1}}}\S+", after).group()
            generation = " ".join(other[:own]) + ". " + passage
        elif kind == "shuffled":
            sentences = re.split(r"(?<=[.!?])\s+", " ".join(words[:WORDS]))
            generation = " ".join(shuffled(sentence, chance) for sentence in sentences)
        else:
            start = chance.randrange(max(1, len(other) - WORDS))
            generation = " ".join(other[start : start + WORDS])
        yield {
            "sample_id": number, "doc_id": f"d{document:07}", "split": "train", "copies": 1, "strategy": kind, "prompt": prompt,
            "generation": generation, "truth": after, "prompt_tokens": [], "generated_tokens": [], "logprobs": [],
            "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": seed, "finish": "length",
        }  # fmt: skip


def shuffled(sentence, chance):
    end = sentence[-1] if sentence[-1:] in ".!?" else "."
    words = sentence.rstrip(".!?").split()
    chance.shuffle(words)
    return " ".join(words) + end


def write(folder, texts, megabytes, count, seed=0):
    """Makes the three files, unless they are there."""
    folder = pathlib.Path(folder)
    files = [folder / name for name in ("train.parquet", "heldout.parquet", f"samples-{count}.parquet")]
    if all(file.exists() for file in files):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out, foreign = corpus(read(texts, seed), megabytes)
    rows = [(f"d{number:07}", text, 0, "document", 1, 0) for number, text in enumerate(train)]
    tables = [
        pl.DataFrame(rows, schema=TRAIN, orient="row"),
        pl.DataFrame([(f"h{n:07}", text, 0, "document") for n, text in enumerate(held_out)],
                     schema={name: TRAIN[name] for name in ("doc_id", "text", "prompt_chars", "kind")}, orient="row"),
        pl.DataFrame(list(generations(train, foreign, count, seed)), schema=SAMPLES, orient="row"),
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
