"""How well do the figures of check.parquet rank what a tuned model gives back?

    risk_correlation.py CHECK.parquet TUNED_CELL [UNTUNED_CELL] [--strategy greedy] [--csv]

CHECK.parquet is what `check` wrote of the corpus that the model was tuned on, TUNED_CELL the cell's folder in a run (samples.parquet and
scores.parquet), UNTUNED_CELL that of the model before tuning. Spearman's rank correlation, with its 95% interval (Fisher's transformation
with the variance of Bonett and Wright 2000, which ties make approximate), of each figure with

- characters: how far a greedy generation follows the document behind its prompt, before the first character that differs;
- log-probability: of that continuation under the tuned model, nats per token;
- gain: the same less that under the untuned model;

over all documents, and over those of each number of copies, where there are at least 20. A figure that is the same in all documents ranks
nothing: "-".
"""

import argparse
import math
import sys
from pathlib import Path

import polars as pl

MIN_DOCUMENTS = 20
# Figures of check.parquet, each with the sign under which more should mean more leakage.
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
    generation, truth = row["generation"], row["truth"]
    length = 0
    for left, right in zip(generation, truth):
        if left != right:
            break
        length += 1
    return length


def continuations(cell, prefix_tokens, new_tokens):
    """Mean log-probability a token of what a document goes on with after the prompt."""
    scores = pl.read_parquet(cell / "scores.parquet")
    scores = scores.filter(pl.col("split") == "train", pl.col("kind") == "document", pl.col("prefix_tokens") == prefix_tokens)
    scores = scores.filter(pl.col("suffix_tokens") <= new_tokens).sort("suffix_tokens").group_by("doc_id", maintain_order=True).last()
    return scores.select("doc_id", (pl.col("logprobs").list.sum() / pl.col("suffix_tokens")).alias("logprob"))


def leaked(tuned, untuned, strategy):
    samples = pl.read_parquet(tuned / "samples.parquet").filter(pl.col("split") == "train", pl.col("truth").is_not_null())
    names = samples["strategy"].unique().to_list()
    if strategy not in names:
        sys.exit(f"{tuned}: no generations of a strategy {strategy!r}; there are {names}")
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
    """(rho, low, high, n), or None where one of them does not vary or there are too few."""
    pairs = pl.DataFrame({"left": left, "right": right}).drop_nulls()
    n = len(pairs)
    if n < MIN_DOCUMENTS or pairs["left"].n_unique() < 2 or pairs["right"].n_unique() < 2:
        return None
    rho = pairs.select(pl.corr("left", "right", method="spearman")).item()
    if abs(rho) >= 1:
        return rho, rho, rho, n
    reach = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach), n


def table(documents, name):
    rows = []
    for figure, expression in FIGURES.items():
        values = documents.select(expression.cast(pl.Float64).alias("figure"))["figure"]
        rows.append((figure, [spearman(values, documents[target].cast(pl.Float64)) for target in TARGETS]))
    whole, characters = documents["whole"].sum(), documents["characters"].mean()
    print(f"\n{name}: {len(documents)} documents, {whole} given back whole, {characters:.0f} characters on average")
    print(f"{'':22}" + "".join(f"{target:>24}" for target in TARGETS))
    for figure, found in rows:
        cells = ["-" if one is None else f"{one[0]:+.2f} ({one[1]:+.2f} to {one[2]:+.2f})" for one in found]
        print(f"{figure:22}" + "".join(f"{cell:>24}" for cell in cells))
    return rows


def top(documents):
    """What share of all that was given back whole the documents with the highest risk hold."""
    if documents["whole"].sum() == 0:
        return
    ranked = documents.drop_nulls("risk").sort("risk", descending=True)
    for share in (0.05, 0.1, 0.2):
        first = ranked.head(max(1, round(share * len(ranked))))
        caught, all_whole = first["whole"].sum(), ranked["whole"].sum()
        print(f"the {share:.0%} with the highest risk hold {caught} of the {all_whole} documents that were given back whole")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("untuned", type=Path, nargs="?")
    parser.add_argument("--strategy", default="greedy")
    arguments = parser.parse_args()
    check = pl.read_parquet(arguments.check).filter(pl.col("split") == "train")
    documents = check.join(leaked(arguments.tuned, arguments.untuned, arguments.strategy), on="doc_id")
    if documents.is_empty():
        sys.exit(f"{arguments.check} and {arguments.tuned} have no document in common: are they of the same corpus?")
    table(documents, "all")
    top(documents)
    levels = documents["copies"].unique().sort().to_list()
    for copies in levels if len(levels) > 1 else []:
        some = documents.filter(pl.col("copies") == copies)
        if len(some) >= MIN_DOCUMENTS:
            table(some, f"{copies} copies" if copies > 1 else "1 copy")


if __name__ == "__main__":
    main()
