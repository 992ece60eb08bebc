"""The model of the speed checks, written once: GPT-2's shape with random weights."""

from harness import ROOT

TOKENIZER = ROOT / "data/models/4m/tokenizer.json"


def folder(machine):
    path = machine.work / "gpt2"
    if not (path / "tokenizer.json").exists():
        model = {"folder": str(path), "config": machine.shapes["gpt2"], "dtype": "float32", "tokenizer": str(TOKENIZER)}
        machine.peer("make_models", {"device": machine.device, "models": [model]})
    return path
