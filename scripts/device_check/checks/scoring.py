"""Tokens per second of the scoring pass with the shape of GPT-2 124 M in bf16.

The extractor runs twice, with few and with all documents to score, and otherwise does the same: it reads the text, loads the model and
generates a few texts. The difference is the scoring pass, including the writing of its rows.
"""

import corpus
import gpt2
import parquet_files
from harness import Failed, Row, pipeline
from settings import GOALS


def check(machine):
    shape, model = machine.shapes["scoring"], gpt2.folder(machine)
    folder = corpus.write(machine.work / "scoring/corpus", corpus.shuffled(shape["documents"], tokens=shape["tokens"]))
    seconds, tokens = [], []
    for count in [shape["fewer"], shape["documents"]]:
        extraction = {
            "prompts": ["train"], "documents": 4, "prefix_tokens": 10, "new_tokens": 2, "scored_documents": count, "scored_prefixes": [],
            "context": shape["context"], "precision": "bf16", "device": machine.device,
        }  # fmt: skip
        config = pipeline(folder / f"{count}.toml", name="scoring", model=model, extraction=extraction, strategies=[{"name": "greedy", "temperature": 0}])
        out = machine.work / "scoring" / str(count)
        done = machine.program("extractor", "--config", config, "--in", folder, "--checkpoint", model, "--out", out)
        rows = parquet_files.read(out / "scores.parquet", ["prefix_tokens", "suffix_tokens"])
        seconds.append(done.seconds)
        tokens.append(sum(row["suffix_tokens"] for row in rows if row["prefix_tokens"] == 0))
    if seconds[1] <= seconds[0] or tokens[1] <= tokens[0]:
        raise Failed(f"{tokens[0]} tokens took {seconds[0]:.1f} s and {tokens[1]} {seconds[1]:.1f} s: the text is too short to measure a speed")
    speed, goal = (tokens[1] - tokens[0]) / (seconds[1] - seconds[0]), machine.goal(GOALS["scoring"])
    yield Row(
        "scoring", ours=speed, unit="tokens/s", goal=goal, holds=None if goal is None else speed >= goal,
        note=f"bf16; {tokens[1]:,} tokens in a run of {seconds[1]:.1f} s, {tokens[0]:,} in one of {seconds[0]:.1f} s",
    )  # fmt: skip
