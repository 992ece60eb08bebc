"""Writes, for each row of a train.parquet, a held-out document whose text is the prompt alone."""

import sys

import polars as pl

source, destination = sys.argv[1:]
train = pl.read_parquet(source)
prompts = train.with_columns(pl.col("text").str.slice(0, pl.col("prompt_chars")))
prompts.select("doc_id", "text", "prompt_chars", "kind").write_parquet(destination)
