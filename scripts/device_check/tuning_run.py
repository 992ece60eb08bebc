"""One run of the tuner, and its speed after warm-up."""

import dataclasses

import parquet_files
from harness import Failed


@dataclasses.dataclass
class Run:
    """Figures of a run by metrics.parquet."""

    tokens_per_second: float  # after the warm steps
    tokens: int  # of the whole run
    peak_bytes: int  # of the GPU, or of the process on a processor


def tune(machine, config, folder, out, warm_steps):
    """Runs the tuner, which must log at least every `warm_steps` steps."""
    machine.program("tuner", "--config", config, "--in", folder, "--out", out)
    columns = ["step", "split", "tokens", "seconds", "peak_rss_bytes", "peak_device_bytes"]
    rows = [row for row in parquet_files.read(out / "metrics.parquet", columns) if row["split"] == "train"]
    warm = [row for row in rows if row["step"] >= warm_steps]
    if len(warm) < 2:
        raise Failed(f"{out.name}: {len(warm)} rows of metrics after {warm_steps} warm steps; the text was too short")
    first, last = warm[0], warm[-1]
    if not machine.is_dry and last["peak_device_bytes"] is None:
        raise Failed(f"{out.name}: the tuner used no memory of the GPU")
    speed = (last["tokens"] - first["tokens"]) / max(last["seconds"] - first["seconds"], 1e-9)
    return Run(speed, last["tokens"], last["peak_rss_bytes" if machine.is_dry else "peak_device_bytes"])
