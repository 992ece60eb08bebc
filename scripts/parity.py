"""Differences between this project's models and transformers, peft and bitsandbytes: `make parity`, minutes if the tests must be built.

Runs the tests that compare them (families, adapters, four bits, chat templates) and collects their figures: each test prints lines of
JSON after the word `parity`. Nothing is computed here. Differences are the largest of all numbers compared, relative to the largest
value; `theirs` is the error of transformers' own bf16 against its float32, on the same model and tokens.

Writes tables to standard output (with --markdown as Markdown) and all figures to data/parity.parquet, or --out FILE. Exit status 1 if
a test fails, after the figures that were measured before.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
TESTS = {"causal-lm": ["families", "adapters", "four_bit"], "chat-template": ["rendered"]}
SCHEMA = {
    "table": pl.String, "subject": pl.String, "kind": pl.String, "whose": pl.String, "check": pl.String, "precision": pl.String,
    "difference": pl.Float64, "allowed": pl.Float64, "theirs": pl.Float64, "conversations": pl.Int64,
}  # fmt: skip


def measure():
    """The figures of all tests, and whether all passed."""
    cargo = os.environ.get("CARGO", "cargo").split()
    rows, passed = [], True
    for crate, tests in TESTS.items():
        chosen = [argument for test in tests for argument in ("--test", test)]
        command = [*cargo, "test", "--locked", "--package", crate, *chosen, "--", "--nocapture"]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        passed &= run.returncode == 0
        # The test harness may have begun the line.
        found = [line.partition("parity {") for line in run.stdout.splitlines()]
        found = [json.loads("{" + rest) for _, separator, rest in found if separator]
        if not found:
            print(f"{crate}: the tests {', '.join(tests)} measured nothing", file=sys.stderr)
            passed = False
        rows += found
    return pl.DataFrame(rows, schema=SCHEMA), passed


def largest(frame, **where):
    """The largest difference in the rows with these values; None if there are none."""
    for column, value in where.items():
        frame = frame.filter(pl.col(column).is_in(value) if isinstance(value, list) else pl.col(column) == value)
    return frame["difference"].max()


def scientific(value):
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def families(frame):
    frame = frame.filter(pl.col("table") == "family")
    header = ["family", "logits", "logits bf16", "of transformers' bf16", "gradients", "LoRA, DoRA", "merged", "greedy text"]
    rows = []
    for name in frame["subject"].unique(maintain_order=True):
        own = frame.filter(pl.col("subject") == name)
        exact, half = (own.filter(pl.col("precision") == precision) for precision in ("float32", "bf16"))
        theirs = half.filter(pl.col("check") == "logits")["theirs"].max()
        greedy = largest(exact, check="greedy text")
        figures = [
            largest(exact, check="logits"), largest(half, check="logits"), theirs, largest(exact, check="gradients"),
            largest(exact, check="adapter in"), largest(exact, check="merged"),
        ]  # fmt: skip
        rows.append([name, *map(scientific, figures), "same" if greedy == 0 else ""])
    return "Families, against transformers and peft", header, rows


def adapters(frame):
    frame = frame.filter((pl.col("table") == "adapter") & pl.col("kind").is_not_null())
    header = ["kind of adapter", "adapters", "logits", "merged", "logits bf16", "of peft's bf16"]
    rows = []
    for kind in frame["kind"].unique(maintain_order=True).sort():
        own = frame.filter(pl.col("kind") == kind)
        merged = largest(own, check=["merged", "written and read"])
        half = own.filter(pl.col("check").str.starts_with("bf16"))
        figures = [largest(own, check="loaded"), merged, half["difference"].max(), half["theirs"].max()]
        rows.append([kind, str(own["subject"].n_unique()), *map(scientific, figures)])
    return "Kinds of adapters, against peft", header, rows


def four_bits(frame):
    frame = frame.filter(pl.col("table") == "four bits")
    header = ["four bits", "weights", "logits", "LoRA adapter", "merged"]
    checks = ["weights, bit for bit", "logits", "LoRA adapter", "LoRA merged"]
    names = frame["subject"].unique().sort()
    rows = [[name, *(scientific(largest(frame, subject=name, check=check)) for check in checks)] for name in names]
    return "Four bits, against bitsandbytes", header, rows


def templates(frame):
    frame = frame.filter(pl.col("table") == "chat template").sort("whose", "subject")
    header = ["chat template", "whose", "conversations with the same text and prompt, or refusal"]
    rows = [[row["subject"], row["whose"], str(row["conversations"])] for row in frame.iter_rows(named=True)]
    return "Chat templates, against transformers' renderer", header, rows


def print_table(title, header, rows, markdown):
    if markdown:
        print(f"{title}:\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows), end="\n\n")
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(title)
    for row in [header, *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "data/parity.parquet", help="Parquet file of every figure")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args()
    frame, passed = measure()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(options.out)
    for table in (families, adapters, four_bits, templates):
        print_table(*table(frame), options.markdown)
    print(f"{frame.height} figures in {options.out}" + ("" if passed else "; a test failed"))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
