"""Tokens per second of generation with the shape of GPT-2 124 M in bf16, against transformers' generate at its best batch size."""

import json
import os
import random

import gpt2
from harness import Failed, Row
from settings import GOALS


def check(machine):
    shape, model = machine.shapes["decoding"], gpt2.folder(machine)
    rng, vocabulary = random.Random(1), machine.shapes["gpt2"]["vocab_size"]
    prompts = machine.work / "prompts.json"
    prompts.write_text(json.dumps([[rng.randrange(1, vocabulary) for _ in range(shape["prompt_tokens"])] for _ in range(shape["prompts"])]))
    figures = machine.program(
        "examples/generate", model, prompts, shape["new_tokens"], "auto", "bf16", os.cpu_count(), shape["top_k"], machine.device
    ).figures()
    ours, generations = figures["tokens_per_second"], len(figures["ids"])
    if generations != shape["prompts"]:
        raise Failed(f"{generations} generations for {shape['prompts']} prompts")
    peers = machine.peer(
        "generate",
        {
            "device": machine.device, "model": str(model), "prompts": str(prompts), "batches": shape["peer_batches"],
            "new_tokens": shape["new_tokens"], "top_k": shape["top_k"],
        },  # fmt: skip
    )
    best = max(peers, key=peers.get)
    goal, ratio = machine.goal(GOALS["decoding over transformers"]), ours / peers[best]
    at_batches = ", ".join(f"{speed:,.0f} at batch {batch}" for batch, speed in peers.items())
    yield Row(
        f"{shape['prompts']} generations, {shape['prompt_tokens']} + {shape['new_tokens']} tokens", ours=ours, peer=peers[best], unit="tokens/s",
        ratio=ratio, goal=goal, holds=None if goal is None else ratio >= goal,
        note=f"bf16, top-k {shape['top_k']}; peer {at_batches}; the goal is for the ratio",
    )  # fmt: skip
