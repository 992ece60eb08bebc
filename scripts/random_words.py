"""Texts that nobody can know but by heart: random_words.py OUT.jsonl DOCUMENTS [--words 32] [--tokenizer FOLDER] [--seed 0]

Each document is a row of words drawn independently from 2,048, so that it holds exactly 11 bits a word, and no model can guess better than
that which has not seen it. The words are those that the tokenizer has as single tokens with a blank before them. What a tuned model needs
fewer bits for than 11 a word it has remembered (Morris et al. 2025, arXiv 2505.24832); pipelines/capacity.toml measures how much.
"""

import argparse
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parents[1]
VOCABULARY = 2048


def words(folder):
    """The first words of a byte-level BPE that are letters alone with a blank before them."""
    tokens = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    found = [token[1:] for token in sorted(tokens, key=tokens.get) if token.startswith("\u0120") and token[1:].isascii() and token[1:].isalpha()]
    found = list(dict.fromkeys(word for word in found if word.islower()))
    if len(found) < VOCABULARY:
        raise SystemExit(f"{folder}: expected {VOCABULARY} words that are single tokens, found {len(found)}")
    return found[:VOCABULARY]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("documents", type=int)
    parser.add_argument("--words", type=int, default=32)
    parser.add_argument("--tokenizer", type=pathlib.Path, default=ROOT / "data/models/1m")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    known = words(options.tokenizer)
    with options.out.open("w") as file:
        for number in range(options.documents):
            text = " ".join(chance.choices(known, k=options.words))
            file.write(json.dumps({"id": f"r{number}", "text": text}) + "\n")


if __name__ == "__main__":
    main()
