"""How alike the gradients of training documents are, by method: gradient_overlaps.parquet of a run, and the block of RESULTS.md."""

import pathlib
import subprocess
import tempfile

import polars as pl

from study import collect, inference, results
from study.weight_changes import FEWEST, TUNER

DOCUMENTS = 20  # of each cell; five of each number of copies
POINTS = ["untuned", "one pass", "two passes"]


def measure(run):
    """A row for each document that is compared, at the untuned model and after each pass, of each cell whose checkpoints are there."""
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "gradients.parquet"
        for cell, checkpoint, path in collect.checkpoints(run):
            kept = sorted((path / "checkpoints").glob("step-*"))
            if checkpoint != "last" or len(kept) != len(POINTS) - 1:
                continue
            command = [TUNER, "gradients", "--config", path / "tuner.toml", "--in", run / "corpus" / cell["corpus"], "--documents", str(DOCUMENTS), "--out", file]
            subprocess.run([*command, *(word for folder in kept for word in ("--checkpoint", folder))], check=True, capture_output=True)
            rows = pl.read_parquet(file)
            names = dict(zip(rows["checkpoint"].unique(maintain_order=True), POINTS))
            frames.append(rows.select(*collect.key_columns(cell, checkpoint), pl.col("checkpoint").replace_strict(names).alias("point"), pl.all().exclude("checkpoint")))
    return pl.concat(frames) if frames else None


def mean(rows, column):
    values = [row[column] for row in rows if row[column] is not None]
    return sum(values) / len(values) if values else None


def shown(value):
    # No "-0.00".
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}"


def block(study, overlaps):
    """Tables of the methods whose checkpoints were at hand, and how overlaps go with what is repeated."""
    of_method = {}
    for row in overlaps.iter_rows(named=True):
        of_method.setdefault((study.key(row), row["point"]), []).append(row)
    parts, sentences = [], []
    for corpus, model in study.pairs:
        rows, measured = [], []
        for method in study.select(corpus=corpus, model=model):
            key = study.key(method.cells[0])
            untuned, one, two = (of_method.get((key, point), []) for point in POINTS)
            if not two:
                continue
            share = method.share("last", min_copies=results.MANY)
            rare, often = ([row for row in two if row["copies"] == copies] for copies in (1, max(row["copies"] for row in two)))
            figures = [mean(untuned, "with_others"), mean(one, "with_others"), mean(two, "with_others"), mean(rare, "with_before"), mean(often, "with_before")]
            rows.append([method.name, method.rate_label, *map(shown, figures), results.count(share), f"{method.test_loss('last'):.3f}"])
            measured.append((*figures, share[0] / share[1]))
        if not rows:
            continue
        head = [
            "method", "rate", "different texts: untuned", "after one pass", "after two", "one text, first to second pass: 1 copy", "most copies",
            f"repeated, ≥ {results.MANY} copies", "test loss",
        ]  # fmt: skip
        parts.append(f"**{model} on {corpus}**\n\n{results.table(head, rows)}")
        if len(measured) >= FEWEST:
            of_others, of_before = (inference.spearman([row[place] for row in measured], [row[-1] for row in measured]) for place in (1, 3))
            told = ", ".join(f"with {what} {value:.2f}" for what, value in (("the overlap of different texts after one pass", of_others), ("that of one text from pass to pass (1 copy)", of_before)) if value is not None)
            sentences.append(f"- {model} on {corpus}, {len(measured)} methods and rates: Spearman’s ρ of the share repeated {told}")
    return "\n\n".join([*parts, "\n".join(sentences)])
