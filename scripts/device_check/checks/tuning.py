"""Tokens per second of tuning with the shape of GPT-2 124 M in bf16: packed rows, LoRA, one document per row; against transformers and peft."""

import corpus
import gpt2
from harness import Row, pipeline
from settings import GOALS
from tuning_run import tune

FULL = {"kind": "full", "learning_rate": 1e-4}
TARGETS = ["c_attn"]


def check(machine):
    shape, model = machine.shapes["tuning"], gpt2.folder(machine)
    lora = {"kind": "lora", "learning_rate": 1e-4, "rank": shape["rank"], "targets": TARGETS}
    cases = [("packed, full", FULL, "packed", 0), ("packed, LoRA", lora, "packed", shape["rank"]), ("documents, full", FULL, "documents", 0)]
    tokens_per_step = shape["rows"] * shape["context"]
    # A quarter more than the steps take, since the number of tokens of a text is not known exactly.
    texts = corpus.shuffled(1 + shape["steps"] * tokens_per_step * 5 // 4 // 150, tokens=150)
    packed = corpus.write(machine.work / "tuning/packed", texts)
    documents = corpus.write(machine.work / "tuning/documents", corpus.shuffled(shape["steps"] * shape["documents"]))
    ours = {}
    for name, mode, rows, _ in cases:
        batch = shape["rows"] if rows == "packed" else shape["documents"]
        tuning = {
            "epochs": 1, "rows": rows, "batch_size": batch, "context": shape["context"], "precision": "bf16", "save_seconds": 1e6,
            "log_every": shape["warm_steps"], "device": machine.device,
        }  # fmt: skip
        config = pipeline(machine.work / "tuning" / f"{rows}-{mode['kind']}.toml", name="speed", model=model, modes=[mode], tuning=tuning)
        ours[name] = tune(machine, config, packed if rows == "packed" else documents, machine.work / "tuning" / name, shape["warm_steps"])
    peer_cases = [
        {
            "name": name, "lora_rank": rank, "lora_targets": TARGETS, "rows": shape["rows"], "context": shape["context"],
            "warm_steps": shape["warm_steps"], "steps": shape["steps"],
        }  # fmt: skip
        for name, _, rows, rank in cases
        if rows == "packed"
    ]
    peers = machine.peer("tune", {"device": machine.device, "model": str(model), "cases": peer_cases})
    for name in ["packed, full", "packed, LoRA"]:
        yield speed_row(machine, name, ours[name], peers[name])
    yield from document_rows(machine, ours["documents, full"], ours["packed, full"])


def speed_row(machine, name, ours, peer):
    goal, speed = machine.goal(GOALS[name]), ours.tokens_per_second
    peak = f"; peer {peer['peak_bytes'] / 1e9:.2f} GB" if peer["peak_bytes"] else ""
    return Row(
        name, ours=speed, peer=peer["tokens_per_second"], unit="tokens/s", ratio=speed / peer["tokens_per_second"], goal=goal,
        holds=None if goal is None else speed >= goal, note=f"bf16; peak {ours.peak_bytes / 1e9:.2f} GB{peak}; peer eager, autocast, fused AdamW",
    )  # fmt: skip


def document_rows(machine, documents, packed):
    goal, ratio = machine.goal(GOALS["documents over packed"]), documents.tokens_per_second / packed.tokens_per_second
    yield Row(
        "documents, full", ours=documents.tokens_per_second, peer=packed.tokens_per_second, unit="tokens/s", ratio=ratio, goal=goal,
        holds=None if goal is None else ratio >= goal, note=f"peer: our packed rows; peak {documents.peak_bytes / 1e9:.2f} GB; the goal is for the ratio",
    )  # fmt: skip
