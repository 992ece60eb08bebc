"""Whether models know which personal detail belongs where: the details.parquet of some cells of a run, and the block of RESULTS.md."""

import tomllib

import polars as pl

from study import inference, results


def measure(run, cells):
    """A row for each detail and cell: its rank by probability, by how much more probable tuning made it, and under the untuned model; 1 is first."""
    methods = dict(pl.read_parquet(run / "report/summary.parquet").drop_nulls("cell").select("cell", "method").unique("cell").iter_rows())
    read = lambda name: pl.read_parquet(run / "cells" / name / "details.parquet").filter(pl.col("not_ranked").is_null(), "in_loss")
    facts = {path.parent.name: tomllib.loads(path.read_text()) for path in (run / "cells").glob("*/cell.toml")}
    frames = []
    for name in cells:
        alike = lambda other: all(other[key] == facts[name][key] for key in ("model", "corpus"))
        [base] = [other for other, cell in facts.items() if cell["mode"] == "base" and alike(cell)]
        before = read(base).select("doc_id", "start", "detail", "candidates", untuned_nats="nats")
        asked = read(name).join(before, on=["doc_id", "start", "detail"], validate="1:1", suffix="_before")
        assert asked.height == read(name).height and (asked["candidates"] == asked["candidates_before"]).all(), f"{base} was asked for other details than {name}"
        gains = [[tuned - before for tuned, before in zip(*row)] for row in asked.select("nats", "untuned_nats").iter_rows()]
        frames.append(asked.select(
            "doc_id", pl.col("split").cast(pl.String), "copies", "detail", rank=ranks(asked["nats"]), rank_by_gain=ranks(gains),
            untuned_rank=ranks(asked["untuned_nats"]), candidates=pl.col("candidates").list.len() - 1, cell=pl.lit(name), method=pl.lit(methods[name]),
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
