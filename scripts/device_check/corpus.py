"""Training sets made of the demo's texts: train.parquet and heldout.parquet, as the stages read them."""

import json
import random
from pathlib import Path

import parquet_files

CLINIC = Path(__file__).resolve().parents[2] / "data/demo/clinic.jsonl"
HELD_OUT = {"doc_id": str, "text": str, "prompt_chars": int, "kind": str}
TRAIN = HELD_OUT | {"copies": int, "copy": int}

# Characters of the demo's texts in a token of the demo's tokenizer, a little more than there are: texts cut by it are long enough.
CHARACTERS_PER_TOKEN = 4.5


def clinic():
    """The demo's texts."""
    messages = (json.loads(line) for line in CLINIC.read_text(encoding="utf-8").splitlines())
    return [f"{message['patient']}\n{message['clinic']}" for message in messages]


def shuffled(count, tokens=None):
    """So many different texts, of words of the demo's texts in another order: of about so many tokens each, or as long as those."""
    draw, texts = random.Random(0), clinic()
    made = []
    for number in range(count):
        words = texts[number % len(texts)].split()
        if tokens:
            characters = int(tokens * CHARACTERS_PER_TOKEN)
            while sum(map(len, words)) + len(words) < characters:
                words += draw.choice(texts).split()
        draw.shuffle(words)
        text = " ".join(words)
        made.append(text[: int(tokens * CHARACTERS_PER_TOKEN)] if tokens else text)
    return made


def write(folder, train, held_out=()):
    """Writes a training set of these texts, each once."""
    folder.mkdir(parents=True, exist_ok=True)

    def rows(name, texts):
        return [{"doc_id": f"{name}{n}", "text": text, "prompt_chars": 0, "kind": "document", "copies": 1, "copy": 0} for n, text in enumerate(texts)]

    parquet_files.write(folder / "train.parquet", rows("t", train), TRAIN)
    parquet_files.write(folder / "heldout.parquet", rows("h", held_out), HELD_OUT)
    return folder
