"""A corpus with exact copies, near copies and shared halves in known numbers, to see what a risk ranks: planted_copies.py TEXTS.parquet COLUMN OUT.jsonl

100 texts occur once, 30 eight times, 30 in eight versions of which a word in forty is another, and 30 begin eight documents with their first
half. The first 190 of 400 texts of 500 to 1,100 characters, drawn with a fixed seed, are used; the rest lend words and endings.
"""

import json
import random
import sys

import polars as pl

ALONE, REPEATED, COPIES = 100, 30, 8


def main(source, column, destination):
    generator = random.Random(5)
    texts = pl.read_parquet(source).filter(pl.col(column).str.len_chars().is_between(500, 1100)).sample(400, seed=3)[column]
    texts = [" ".join(text.split()) for text in texts]
    lenders = texts[300:]
    pool = [word for text in lenders for word in text.split() if word.isalpha() and len(word) > 3]
    left = iter(texts)
    rows = [(f"single{number}", next(left)) for number in range(ALONE)]
    for number in range(REPEATED):
        text = next(left)
        rows += [(f"exact{number}-{copy}", text) for copy in range(COPIES)]
    for number in range(REPEATED):
        words = next(left).split()
        for copy in range(COPIES):
            version = list(words)
            for place in generator.sample(range(len(version)), max(1, len(version) // 40)):
                version[place] = generator.choice(pool)
            rows.append((f"near{number}-{copy}", " ".join(version)))
    for number in range(REPEATED):
        words = next(left).split()
        for copy in range(COPIES):
            ending = generator.choice(lenders).split()[:30]
            own = [generator.choice(pool) for _ in range(20)]
            rows.append((f"half{number}-{copy}", " ".join(words[: len(words) // 2] + own + ending)))
    generator.shuffle(rows)
    with open(destination, "w") as file:
        file.writelines(json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
