"""Whether the programs use the GPU, and which one it is."""

import importlib.metadata
import platform

from harness import Row, query_driver


def check(machine):
    shape = machine.shapes["speed"]
    arguments = ["--width", shape["width"], "--vocabulary", shape["vocabulary"], "--precision", "bf16"]
    figures = machine.program("tuner", "speed", "--device", machine.device, *arguments).figures()
    gpu = figures.get("gpu")
    versions = ", ".join(f"{name} {version(name)}" for name in ["torch", "transformers", "peft"])
    if machine.is_dry:
        yield Row("the processor computes", kind="correctness", holds=gpu is None, note=f"{platform.machine()}; {versions}")
    else:
        driver = query_driver(machine.device, "driver_version") or "unknown (not reported by nvidia-smi)"
        if gpu:
            note = f"{gpu['name']}; driver {driver}; {versions}"
        else:
            note = f"the tuner computed without a GPU. nvidia-smi must show one, and PYTHON must have PyTorch for CUDA; driver {driver}; {versions}"
        yield Row("the programs use the GPU", kind="correctness", holds=gpu is not None, note=note)
        if gpu:
            yield Row("free memory", ours=gpu["free_bytes"] / 1e9, unit="GB")
    yield Row("training, two layers", ours=figures["training_gflops"] / 1e3, unit="TFLOP/s", note="tuner speed, bf16")
    yield Row("decoding, two layers", ours=figures["decoding_gflops"] / 1e3, unit="TFLOP/s", note="tuner speed, bf16")


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
