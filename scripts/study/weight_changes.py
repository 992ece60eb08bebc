"""How far each method moved the weights, and in how many directions: weight_changes.parquet of a run, and the block of RESULTS.md."""

import os
import pathlib
import subprocess
import tempfile
import tomllib

import polars as pl

from study import collect, inference, results

ROOT = pathlib.Path(__file__).resolve().parents[2]
FEWEST = 6  # methods and rates for a correlation
TUNER = os.environ.get("TUNER") or ROOT / "target/debug/tuner"


def measure(run):
    """A row for each weight that tuning changed, of the last checkpoint of each cell."""
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "difference.parquet"
        for cell, checkpoint, path in collect.checkpoints(run):
            if checkpoint != "last":
                continue
            [model] = tomllib.loads((path / "tuner.toml").read_text())["model"]
            command = [TUNER, "difference", path / "checkpoint", "--base", path / model["path"], "--out", file]
            subprocess.run(command, check=True, capture_output=True)
            frames.append(pl.read_parquet(file).filter(pl.col("norm") > 0).select(*collect.key_columns(cell, checkpoint), pl.all()))
    return pl.concat(frames)


def summarize(changes):
    """(relative norm, mean effective rank) over the weights of a cell: of all changes together, and of matrices weighted by their square norm."""
    squares = [row["norm"] ** 2 for row in changes]
    relative = (sum(squares) / sum(row["base_norm"] ** 2 for row in changes)) ** 0.5
    matrices = [(square, row["effective_rank"]) for square, row in zip(squares, changes) if row["columns"] > 1]
    weight = sum(square for square, _ in matrices)
    return relative, sum(square * rank for square, rank in matrices) / weight


def block(study, changes):
    """Tables of all methods, and how norm and rank go with what is repeated."""
    of_method = {}
    for row in changes.iter_rows(named=True):
        of_method.setdefault((study.key(row), row["seed"]), []).append(row)
    parts, sentences = [], []
    for corpus, model in study.pairs:
        rows, norms, ranks, shares, modes = [], [], [], [], []
        for method in study.select(corpus=corpus, model=model):
            key = study.key(method.cells[0])
            measured = [summarize(of_method[key, seed]) for seed in method.seeds() if (key, seed) in of_method]
            if not measured:
                continue
            norm, rank = (sum(values) / len(measured) for values in zip(*measured))
            share = method.share("last", min_copies=results.MANY)
            trainable = method.cells[0]["trainable_parameters"]
            rows.append([method.name, method.rate_label, f"{trainable:,}", f"{100 * norm:.1f}%", f"{rank:.1f}", results.count(share), f"{method.test_loss('last'):.3f}"])
            norms.append(norm), ranks.append(rank), shares.append(share[0] / share[1]), modes.append(method.mode)
        head = ["method", "rate", "trainable parameters", "norm of the change, of the changed weights’", "effective rank", f"repeated, ≥ {results.MANY} copies", "test loss"]
        parts.append(f"**{model} on {corpus}**\n\n{results.table(head, rows)}")
        for name, chosen in (("all", [True] * len(modes)), ("LoRA", [mode == "lora" for mode in modes])):
            some = [values for values, is_in in zip(zip(norms, ranks, shares), chosen) if is_in]
            if len(some) >= FEWEST:
                of_norm, of_rank = (inference.spearman([row[place] for row in some], [row[2] for row in some]) for place in (0, 1))
                told = ", ".join(f"with {what} {value:.2f}" for what, value in (("the norm", of_norm), ("the effective rank", of_rank)) if value is not None)
                sentences.append(f"- {model} on {corpus}, {name}, {len(some)} methods and rates: Spearman’s ρ of the share repeated {told}")
    return "\n\n".join([*parts, "\n".join(sentences)])
