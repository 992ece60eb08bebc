"""Writes the Parquet files of one folder anew into another as a program would that knows nothing of later columns."""

import pathlib
import sys

import polars as pl

source, destination = map(pathlib.Path, sys.argv[1:])
for path in sorted(source.glob("*.parquet")):
    frame = pl.read_parquet(path)
    later = ["document_frequency", "personal_details", "boilerplate", "best_copies", "own_verdict", "emitted_doc_ids"]
    later += ["emitted_copies", "control_verdict", "control_longest_match_chars", "comparable_similarity"]
    later += ["similarity_at_least", "echoed_chars", "personal_details_by", "final_answer_right"]
    earlier = frame.drop(*later, strict=False)
    assert earlier.width < frame.width, path
    earlier.write_parquet(destination / path.name)
