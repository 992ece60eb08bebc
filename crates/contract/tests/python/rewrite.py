"""Writes each Parquet file of one folder anew into another, in polars' own types: numbers wider, columns reversed, one more."""

import pathlib
import sys

import polars as pl
import polars.selectors as cs

source, destination = map(pathlib.Path, sys.argv[1:])
for path in sorted(source.glob("*.parquet")):
    frame = pl.read_parquet(path)
    assert frame.height == 40, path
    wider = frame.with_columns(
        cs.by_dtype(pl.Int32).cast(pl.Int64),
        cs.by_dtype(pl.Float32).cast(pl.Float64),
        cs.by_dtype(pl.List(pl.Int32)).cast(pl.List(pl.Int64)),
        cs.by_dtype(pl.List(pl.Float32)).cast(pl.List(pl.Float64)),
        cs.by_name("split", require_all=False).cast(pl.Categorical),
    )
    shuffled = wider.with_columns(note=pl.lit(1.5)).select(reversed([*wider.columns, "note"]))
    shuffled.write_parquet(destination / path.name, row_group_size=7)
