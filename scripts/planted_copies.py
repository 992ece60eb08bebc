"""Makes a corpus with known numbers of exact copies, near copies and shared halves: planted_copies.py TEXTS.parquet COLUMN OUT.jsonl

100 texts occur once, 30 eight times, 30 in eight versions with one word in forty replaced, and the first halves of 30 begin eight documents
each. Of 400 texts of 500 to 1,100 characters, sampled with a fixed seed, the first 190 are used; the last 100 supply words and endings.
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
    donors = texts[300:]
    words_of_donors = [word for text in donors for word in text.split() if word.isalpha() and len(word) > 3]
    unused = iter(texts)
    rows = [(f"single{number}", next(unused)) for number in range(ALONE)]
    for number in range(REPEATED):
        text = next(unused)
        rows += [(f"exact{number}-{copy}", text) for copy in range(COPIES)]
    for number in range(REPEATED):
        words = next(unused).split()
        for copy in range(COPIES):
            version = list(words)
            for index in generator.sample(range(len(version)), max(1, len(version) // 40)):
                version[index] = generator.choice(words_of_donors)
            rows.append((f"near{number}-{copy}", " ".join(version)))
    for number in range(REPEATED):
        words = next(unused).split()
        for copy in range(COPIES):
            ending = generator.choice(donors).split()[:30]
            own = [generator.choice(words_of_donors) for _ in range(20)]
            rows.append((f"half{number}-{copy}", " ".join(words[: len(words) // 2] + own + ending)))
    generator.shuffle(rows)
    with open(destination, "w") as file:
        file.writelines(json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
