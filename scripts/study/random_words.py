"""Writes texts of random words, which a model can only memorize: random_words.py MODEL FOLDER.

Each word but the first of a text is one token of the model's tokenizer, drawn from WORDS of them with equal chances, so that a text has WORDS_OF_A_TEXT · log2(WORDS) bits
whatever a model knows of language. FOLDER gets a file of JSON Lines for each size, in words of all its texts, and one of texts to hold out.
"""

import json
import pathlib
import random
import sys

WORDS = 2048
WORDS_OF_A_TEXT = 64
SIZES = {"1k": 1024, "4k": 4096, "16k": 16384}
HELD_OUT = 32


def vocabulary(tokenizer):
    """The first WORDS tokens that are whole words of three letters or more behind a blank."""
    known = json.loads(tokenizer.read_text())["model"]["vocab"]
    words = [token[1:] for token in sorted(known, key=known.get) if token.startswith("Ġ") and len(token) > 3 and token[1:].isalpha() and token[1:].islower()]
    if len(words) < WORDS:
        sys.exit(f"random_words: {tokenizer} has {len(words)} words of three letters or more behind \"Ġ\"; {WORDS} are needed")
    return words[:WORDS]


def write(file, name, texts, words):
    """Every file is drawn from its own seed."""
    draw = random.Random(name)
    lines = [json.dumps({"id": f"{name}-{number}", "text": " ".join(draw.choices(words, k=WORDS_OF_A_TEXT))}) for number in range(texts)]
    file.write_text("\n".join(lines) + "\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    words = vocabulary(pathlib.Path(sys.argv[1]) / "tokenizer.json")
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        write(folder / f"{name}.jsonl", name, size // WORDS_OF_A_TEXT, words)
    write(folder / "held-out.jsonl", "held-out", HELD_OUT, words)


if __name__ == "__main__":
    main()
