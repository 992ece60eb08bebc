"""How well do the figures of check.parquet rank documents by what a tuned model reproduces of them?

    risk_correlation.py CHECK.parquet TUNED_CELL [UNTUNED_CELL] [--strategy greedy] [--csv]

CHECK.parquet is the output of `check` for the training corpus, TUNED_CELL the cell's folder in a run (samples.parquet and scores.parquet),
UNTUNED_CELL that of the model before tuning. Spearman's rank correlation, with its 95% interval (Fisher's transformation
with the variance of Bonett and Wright 2000, which ties make approximate), of each figure with

- characters: length of the common prefix of a greedy generation and the document's own continuation;
- log-probability: of that continuation under the tuned model, nats per token;
- gain: the same minus that under the untuned model;

over all documents, and over those of each number of copies with at least 20 documents. "-" stands for a figure that is constant.
"""

import argparse
import math
import sys
from pathlib import Path

import polars as pl

MIN_DOCUMENTS = 20
# Figures of check.parquet, with the sign for which larger values should mean more leakage.
FIGURES = {
    "risk": pl.col("risk"),
    "risk without a model": pl.col("exposure_bits") - pl.col("zlib_bits_per_char").log(2),
    "exposure": pl.col("exposure_bits"),
    "copies": pl.col("copies"),
    "near copies": pl.col("near_copies"),
    "shared 8-grams": pl.col("shared_8grams"),
    "-loss before tuning": -pl.col("untuned_loss"),
    "-zlib": -pl.col("zlib_bits_per_char"),
    "-length": -pl.col("chars"),
}
TARGETS = ("characters", "log-probability", "gain")


def common_prefix(row):
    length = 0
    for left, right in zip(row["generation"], row["truth"]):
        if left != right:
            break
        length += 1
    return length


def continuations(cell, prefix_tokens, new_tokens):
    """Mean log-probability per token of each document's continuation after the prompt."""
    scores = pl.read_parquet(cell / "scores.parquet")
    scores = scores.filter(pl.col("split") == "train", pl.col("kind") == "document", pl.col("prefix_tokens") == prefix_tokens)
    scores = scores.filter(pl.col("suffix_tokens") <= new_tokens).sort("suffix_tokens").group_by("doc_id", maintain_order=True).last()
    return scores.select("doc_id", (pl.col("logprobs").list.sum() / pl.col("suffix_tokens")).alias("logprob"))


def leakage(tuned, untuned, strategy):
    samples = pl.read_parquet(tuned / "samples.parquet").filter(pl.col("split") == "train", pl.col("truth").is_not_null())
    names = samples["strategy"].unique().to_list()
    if strategy not in names:
        sys.exit(f"{tuned}: no generations with strategy {strategy!r}, only with {names}")
    samples = samples.filter(pl.col("strategy") == strategy)
    characters = pl.struct("generation", "truth").map_elements(common_prefix, return_dtype=pl.Int64).alias("characters")
    whole = (pl.col("generation").str.strip_chars() == pl.col("truth").str.strip_chars()).alias("whole")
    prefix = samples["prompt_tokens"].list.len().mode().to_list()[0]
    new = samples["generated_tokens"].list.len().max()
    found = samples.select("doc_id", characters, whole).unique("doc_id")
    found = found.join(continuations(tuned, prefix, new).rename({"logprob": "log-probability"}), on="doc_id", how="left")
    if untuned is None:
        return found.with_columns(pl.lit(None, pl.Float64).alias("gain"))
    found = found.join(continuations(untuned, prefix, new).rename({"logprob": "before"}), on="doc_id", how="left")
    return found.with_columns((pl.col("log-probability") - pl.col("before")).alias("gain"))


def spearman(left, right):
    """(rho, low, high, n), or None if a side is constant or there are too few documents."""
    pairs = pl.DataFrame({"left": left, "right": right}).drop_nulls()
    n = len(pairs)
    if n < MIN_DOCUMENTS or pairs["left"].n_unique() < 2 or pairs["right"].n_unique() < 2:
        return None
    rho = pairs.select(pl.corr("left", "right", method="spearman")).item()
    if abs(rho) >= 1:
        return rho, rho, rho, n
    margin = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return rho, math.tanh(math.atanh(rho) - margin), math.tanh(math.atanh(rho) + margin), n


def print_correlations(documents, name):
    rows = []
    for figure, expression in FIGURES.items():
        values = documents.select(expression.cast(pl.Float64).alias("figure"))["figure"]
        rows.append((figure, [spearman(values, documents[target].cast(pl.Float64)) for target in TARGETS]))
    whole, characters = documents["whole"].sum(), documents["characters"].mean()
    print(f"\n{name}: {len(documents)} documents, {whole} reproduced whole, {characters:.0f} characters on average")
    print(f"{'':22}" + "".join(f"{target:>24}" for target in TARGETS))
    for figure, found in rows:
        cells = ["-" if one is None else f"{one[0]:+.2f} ({one[1]:+.2f} to {one[2]:+.2f})" for one in found]
        print(f"{figure:22}" + "".join(f"{cell:>24}" for cell in cells))
    return rows


def print_highest_risk(documents):
    """How many of the documents that were reproduced whole are among those with the highest risk."""
    if documents["whole"].sum() == 0:
        return
    ranked = documents.drop_nulls("risk").sort("risk", descending=True)
    for share in (0.05, 0.1, 0.2):
        first = ranked.head(max(1, round(share * len(ranked))))
        print(f"the {share:.0%} with the highest risk hold {first['whole'].sum()} of the {ranked['whole'].sum()} documents reproduced whole")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("untuned", type=Path, nargs="?")
    parser.add_argument("--strategy", default="greedy")
    arguments = parser.parse_args()
    check = pl.read_parquet(arguments.check).filter(pl.col("split") == "train")
    documents = check.join(leakage(arguments.tuned, arguments.untuned, arguments.strategy), on="doc_id")
    if documents.is_empty():
        sys.exit(f"{arguments.check} and {arguments.tuned} have no document in common: are they from the same corpus?")
    print_correlations(documents, "all")
    print_highest_risk(documents)
    levels = documents["copies"].unique().sort().to_list()
    for copies in levels if len(levels) > 1 else []:
        group = documents.filter(pl.col("copies") == copies)
        if len(group) >= MIN_DOCUMENTS:
            print_correlations(group, f"{copies} copies" if copies > 1 else "1 copy")


if __name__ == "__main__":
    main()
