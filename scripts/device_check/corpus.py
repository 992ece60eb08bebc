"""Training sets from the demo's texts: train.parquet and heldout.parquet, as the stages read them."""

import json
import random
from pathlib import Path

import parquet_files

CLINIC = Path(__file__).resolve().parents[2] / "data/demo/clinic.jsonl"
HELD_OUT = {"doc_id": str, "text": str, "prompt_chars": int, "kind": str}
TRAIN = HELD_OUT | {"copies": int, "copy": int}

# Characters per token of the demo's texts, rounded up, so that texts truncated by it have enough tokens.
CHARACTERS_PER_TOKEN = 4.5


def clinic():
    """The demo's texts."""
    messages = (json.loads(line) for line in CLINIC.read_text(encoding="utf-8").splitlines())
    return [f"{message['patient']}\n{message['clinic']}" for message in messages]


def shuffled(count, tokens=None):
    """`count` different texts with the words of the demo's texts shuffled, as long as those or of about `tokens` tokens each."""
    rng, texts = random.Random(0), clinic()
    max_characters = int(tokens * CHARACTERS_PER_TOKEN) if tokens else None
    shuffled_texts = []
    for number in range(count):
        words = texts[number % len(texts)].split()
        if tokens:
            while sum(map(len, words)) + len(words) < max_characters:
                words += rng.choice(texts).split()
        rng.shuffle(words)
        shuffled_texts.append(" ".join(words)[:max_characters])
    return shuffled_texts


def write(folder, train, held_out=()):
    """Writes a training set with one copy of each text."""
    folder.mkdir(parents=True, exist_ok=True)

    def rows(name, texts):
        return [{"doc_id": f"{name}{n}", "text": text, "prompt_chars": 0, "kind": "document", "copies": 1, "copy": 0} for n, text in enumerate(texts)]

    parquet_files.write(folder / "train.parquet", rows("t", train), TRAIN)
    parquet_files.write(folder / "heldout.parquet", rows("h", held_out), HELD_OUT)
    return folder
