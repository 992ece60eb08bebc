"""Greedy text in float32 and the losses of a few steps are equal on the device and on the processor."""

import corpus
import parquet_files
from harness import ROOT, Failed, Row, pipeline
from settings import TOLERANCES

MODEL = ROOT / "data/models/4m"
MODES = {"full": {"kind": "full", "learning_rate": 1e-3}, "LoRA": {"kind": "lora", "learning_rate": 1e-3, "rank": 16}}


def check(machine):
    shape = machine.shapes["greedy"]
    texts = corpus.clinic()[: shape["documents"]]
    folder = corpus.write(machine.work / "greedy/corpus", texts)
    yield compare_texts(*(generate(machine, folder, is_device) for is_device in (False, True)))
    steps = corpus.write(machine.work / "greedy/steps", texts[: shape["steps"] * shape["rows"]])
    for name, mode in MODES.items():
        yield compare_losses(name, *(tune(machine, steps, name, mode, is_device) for is_device in (False, True)))


def side(machine, is_device):
    """(name, device) of a side. In a dry run the device is the processor, with the device's compute path."""
    return ("device", machine.device) if is_device else ("processor", "cpu")


def generate(machine, folder, is_device):
    """Generated tokens by document."""
    shape = machine.shapes["greedy"]
    name, device = side(machine, is_device)
    extraction = {
        "prompts": ["train"], "prefix_tokens": shape["prefix_tokens"], "new_tokens": shape["new_tokens"], "score": False,
        "precision": "float32", "device": device, "compute_path": "device" if is_device else "host",
    }  # fmt: skip
    file = pipeline(folder / f"{name}.toml", name="greedy", model=MODEL, extraction=extraction, strategies=[{"name": "greedy", "temperature": 0}])
    out = folder.parent / f"generated-{name}"
    machine.program("extractor", "--config", file, "--in", folder, "--checkpoint", MODEL, "--out", out)
    rows = parquet_files.read(out / "samples.parquet", ["doc_id", "generated_tokens"])
    if not rows:
        raise Failed(f"the extractor generated nothing on {device}")
    return {row["doc_id"]: row["generated_tokens"] for row in rows}


def compare_texts(processor, device):
    different = sorted(doc for doc in processor.keys() | device.keys() if processor.get(doc) != device.get(doc))
    note = f"{len(processor)} documents, {sum(map(len, processor.values()))} tokens"
    if different:
        first = different[0]
        pairs = zip(processor.get(first) or [], device.get(first) or [])
        index = next((index for index, (one, other) in enumerate(pairs) if one != other), None)
        where = "in length or one is missing" if index is None else f"at token {index}"
        note = f"{len(different)} documents of {len(processor)} differ, {first} first {where}"
    return Row("greedy text, float32: rows that differ", kind="correctness", ours=len(different), unit="rows", goal=0, holds=not different, note=note)


def tune(machine, folder, name, mode, is_device):
    """Training loss by step."""
    shape = machine.shapes["greedy"]
    side_name, device = side(machine, is_device)
    tuning = {
        "epochs": 1, "batch_size": shape["rows"], "context": 256, "precision": "float32", "log_every": 1, "save_seconds": 1e6,
        "device": device, "compute_path": "device" if is_device else "host",
    }  # fmt: skip
    file = pipeline(folder / f"{name}-{side_name}.toml", name="steps", model=MODEL, modes=[mode], tuning=tuning)
    out = folder.parent / f"tuned-{name}-{side_name}"
    machine.program("tuner", "--config", file, "--in", folder, "--out", out)
    rows = parquet_files.read(out / "metrics.parquet", ["step", "split", "loss"])
    return {row["step"]: row["loss"] for row in rows if row["split"] == "train"}


def compare_losses(name, processor, device):
    tolerance = TOLERANCES["loss"]
    if not processor or processor.keys() != device.keys():
        raise Failed(f"{name}: the processor logged steps {sorted(processor)}, the device {sorted(device)}")
    # Not max(), which may drop NaN.
    differences = [abs(processor[step] - device[step]) for step in processor]
    holds = all(difference <= tolerance for difference in differences)
    last = max(processor)
    note = f"{len(processor)} steps; at the end {device[last]:.4f} against {processor[last]:.4f}"
    return Row(
        f"{name}, float32: losses differ by", kind="correctness", ours=max(differences), unit="nats/token", goal=tolerance, holds=holds, note=note
    )
