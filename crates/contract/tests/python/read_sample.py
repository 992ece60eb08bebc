"""Fails unless the file holds the two samples that tests/contract/polars.rs writes."""

import sys

import polars as pl

prompted = {
    "sample_id": 7,
    "doc_id": "π-1",
    "split": "heldout",
    "copies": 16,
    "strategy": "top-k 40",
    "prompt": 'Zoë "said"\n',
    "generation": "🦀\0end",
    "truth": "",
    "prompt_tokens": [1, -2, 2**31 - 1],
    "generated_tokens": [],
    "logprobs": [-0.5, float("-inf"), 0.0],
    "temperature": 0.75,
    "top_p": 1.0,
    "top_k": 40,
    "seed": -(2**63),
    "finish": "end",
    "prompt_form": "upper-case",
    "tokens_read": 2**40,
    "lower_case_loss": 2.5,
    "reference_loss": None,
    "zlib_bytes": 77,
}
unprompted = prompted | {"doc_id": None, "split": "none", "truth": None, "logprobs": [], "finish": "length"}

frame = pl.read_parquet(sys.argv[1])
assert frame.columns == list(prompted), frame.columns
assert frame.to_dicts() == [prompted, unprompted], frame.to_dicts()
assert frame.schema["copies"] == pl.Int32
assert frame.schema["logprobs"] == pl.List(pl.Float32)
assert frame.schema["split"] == pl.String
