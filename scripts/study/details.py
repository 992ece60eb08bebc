"""Whether models know which personal detail belongs where: what `extractor details` says of some cells of a run, and the block of RESULTS.md."""

import os
import pathlib
import subprocess
import tempfile
import tomllib

import polars as pl

from study import inference, results

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTRACTOR = os.environ.get("EXTRACTOR") or ROOT / "target/debug/extractor"


def measure(run, cells):
    """A row for each detail and cell: its rank by probability, by how much more probable tuning made it, and under the untuned model; 1 is first."""
    methods = dict(pl.read_parquet(run / "report/summary.parquet").drop_nulls("cell").select("cell", "method").unique("cell").iter_rows())
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "details.parquet"
        for name in cells:
            path = run / "cells" / name
            cell = tomllib.loads((path / "cell.toml").read_text())
            tuned = tomllib.loads((path / "tuner.toml").read_text())
            [model] = tuned["model"]
            command = [EXTRACTOR, "details", path / "checkpoint", "--untuned", path / model["path"], "--in", run / "corpus" / cell["corpus"], "--context", tuned["tuning"]["context"], "--out", file]
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
            asked = pl.read_parquet(file)
            gains = [[tuned - before for tuned, before in zip(*row)] for row in asked.select("nats", "untuned_nats").iter_rows()]
            frames.append(asked.select(
                "doc_id", pl.col("split").cast(pl.String), "copies", "detail", rank=ranks(asked["nats"]), rank_by_gain=ranks(gains),
                untuned_rank=ranks(asked["untuned_nats"]), candidates=pl.col("candidates").list.len(), cell=pl.lit(name), method=pl.lit(methods[name]),
            ))  # fmt: skip
    return pl.concat(frames)


def ranks(lists):
    """The rank of the first number of each list among all, 1 for the smallest; equal ones come before it."""
    return pl.Series([1 + sum(other <= own for other in others) for own, *others in lists])


def block(file):
    data = pl.read_parquet(file)
    count = lambda rows, column: results.interval((rows.filter(pl.col(column) == 1).height, rows.height, *inference.wilson(rows.filter(pl.col(column) == 1).height, rows.height)) if rows.height else None)
    rows = []
    for (method,), of_method in data.group_by("method", maintain_order=True):
        for (kind,), of_kind in of_method.group_by("detail", maintain_order=True):
            training, held_out = of_kind.filter(split="train"), of_kind.filter(split="heldout")
            rows.append([method, kind, count(training, "rank"), count(training, "rank_by_gain"), count(held_out, "rank"), count(training, "untuned_rank")])
    head = ["method", "detail", "first, training documents", "first by gain, training documents", "first, held-out documents", "first, untuned model"]
    return results.table(head, rows)
