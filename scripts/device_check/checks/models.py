"""Shapes of well-known models with random weights in bf16: LoRA, a short extraction, their memory, and plan's estimates."""

import json
import re
import shutil

import corpus
import gpt2
from harness import Failed, OutOfTime, Row, pipeline
from settings import TOLERANCES
from tuning_run import tune

UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86_400.0}

# plan's table has whole seconds up to 100 and whole minutes above, so that it is asked for a run of about this length.
ESTIMATED_SECONDS = 60


def check(machine):
    for group in machine.shapes["groups"]:
        models = [
            {"folder": str(machine.work / name / "model"), "config": config, "dtype": "bfloat16", "tokenizer": str(gpt2.TOKENIZER)}
            for name, config in group.items()
        ]
        machine.peer("make_models", {"device": machine.device, "models": models})
        names = list(group)
        for number, name in enumerate(names, 1):
            try:
                yield from check_model(machine, name, machine.work / name)
            except OutOfTime as error:
                missing = "".join(f" (and nothing yet for {later})" for later in names[number:])
                raise OutOfTime(f"{error} for {name}{missing}") from error
            # The next one may need the disk space.
            shutil.rmtree(machine.work / name)


def check_model(machine, name, folder):
    shape, model = machine.shapes["models"], folder / "model"
    texts = corpus.shuffled(1 + shape["steps"] * shape["rows"] * shape["context"] * 5 // 4 // 150, tokens=150)
    training_set = corpus.write(folder / "run/corpus/uniform1-s0", texts)
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tuning = {
        "epochs": 1, "rows": "packed", "batch_size": shape["rows"], "context": shape["context"], "precision": "bf16", "save_seconds": 1e6,
        "log_every": shape["warm_steps"], "device": machine.device,
    }  # fmt: skip
    lora = {"kind": "lora", "learning_rate": 1e-4, "rank": shape["rank"], "targets": "all-linear"}
    # Extraction is so small that tuning has the peak of memory.
    extraction = {"prefix_tokens": 10, "new_tokens": 2, "batch_size": 1, "score": False, "precision": "bf16", "device": machine.device}
    greedy = {"name": "greedy", "temperature": 0}
    config = pipeline(folder / "tuning.toml", name="model", model=model, modes=[lora], tuning=tuning, extraction=extraction, strategies=[greedy])
    run = tune(machine, config, training_set, folder / "tuned", shape["warm_steps"])
    yield Row(f"{name}: LoRA", ours=run.tokens_per_second, unit="tokens/s", note=f"bf16, {shape['rows']} × {shape['context']}, every linear layer")
    yield Row(f"{name}: LoRA, peak memory", ours=run.peak_bytes / 1e9, unit="GB", note="of the tensors" if not machine.is_dry else "of the process")
    yield from check_extraction(machine, name, folder, model)
    yield from check_estimates(machine, name, config, folder, run)


def check_extraction(machine, name, folder, model):
    """A short extraction from the tuned adapter."""
    shape = machine.shapes["models"]
    extraction = {
        "prompts": ["train"], "documents": shape["documents"], "prefix_tokens": 30, "new_tokens": 30, "scored_documents": shape["documents"],
        "context": shape["context"], "precision": "bf16", "device": machine.device,
    }  # fmt: skip
    file = pipeline(folder / "extraction.toml", name="model", model=model, extraction=extraction, strategies=[{"name": "top-k 40", "samples": 1}])
    checkpoint, corpus_folder = folder / "tuned/checkpoint", folder / "run/corpus/uniform1-s0"
    done = machine.program("extractor", "--config", file, "--in", corpus_folder, "--checkpoint", checkpoint, "--out", folder / "asked")
    closing = re.search(r"(\d+) generations of \d+ tokens in \d+ s \((\d+) a second\), (\d+) rows of scores", done.output + done.errors)
    if not closing:
        raise Failed(f"{name}: the extractor's closing line has no speed")
    generations, speed, scores = map(int, closing.groups())
    yield Row(f"{name}: generation", ours=speed, unit="tokens/s", note=f"bf16, {generations} of 30 + 30 tokens by top-k 40; {scores} rows of scores")
    memory = done.peak_bytes if machine.is_dry else done.device_bytes
    if memory is None:
        yield Row(f"{name}: extraction, peak memory", note="unknown: nvidia-smi does not report the memory in use")
    else:
        yield Row(f"{name}: extraction, peak memory", ours=memory / 1e9, unit="GB", note="of the GPU, with cached free blocks" if not machine.is_dry else "of the process")


def check_estimates(machine, name, config, folder, run):
    """plan's estimates of the tuner's memory and time, over the measured ones."""
    epochs = max(1, round(ESTIMATED_SECONDS * run.tokens_per_second / run.tokens))
    memory, seconds = plan(machine, config, folder, epochs)
    # Compares speeds, since most of such a short run is loading, for which plan assumes one second.
    speed = run.tokens * epochs / max(seconds - 1, 0.5)
    yield judged(machine, f"{name}: plan's memory", memory / 1e9, run.peak_bytes / 1e9, "GB", "peer: measured")
    yield judged(machine, f"{name}: plan's time", 1e6 / speed, 1e6 / run.tokens_per_second, "s/M tokens", "of the tuner; peer: measured after warm-up")


def judged(machine, what, estimate, measured, unit, note):
    tolerance, ratio = machine.goal(TOLERANCES["estimate"]), estimate / measured
    return Row(
        what, kind="estimate", ours=estimate, peer=measured, unit=unit, ratio=ratio, goal=tolerance,
        holds=None if tolerance is None else abs(ratio - 1) <= tolerance, note=f"{note}; the goal is how far the ratio may be from 1",
    )  # fmt: skip


def plan(machine, config, folder, epochs):
    """(bytes, seconds of the tuner) that plan estimates for the tuned cell."""
    tuner = machine.programs / "tuner"
    output = machine.program(
        "plan", "--config", config, "--out", folder / "run", "--estimate", "--measure", tuner, "--set", f"tuning.epochs={epochs}"
    ).output
    if "assumed" in output:
        raise Failed("plan assumed a speed, since it could not measure one with the tuner")
    return parse_estimate(output)


def parse_estimate(table):
    """(bytes, seconds) of the columns memory and tuner in the tuned cell's row of plan's table."""
    quantity = r"(\d[\d.]*) ?(\w*)"
    row = re.search(rf"^model-lora\S*  +{quantity}  +{quantity}  +{quantity}  +{quantity}  +{quantity}  +{quantity}", table, re.MULTILINE)
    if not row:
        raise Failed(f"plan --estimate has no row of the cell model-lora…: {table[:300]}")
    values = row.groups()
    seconds, memory = values[4:6], values[10:12]
    return float(memory[0]) * UNITS[memory[1].removesuffix("B")], float(seconds[0]) * UNITS[seconds[1]]
