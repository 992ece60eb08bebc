"""What a run knows of each document, cell by cell: the two small tables that the results of the study are made from.

documents.parquet has a row for each document that a checkpoint was asked after: whether its own text was repeated word for word and how similar
the generation is to it (greedy, from its first tokens), whether the next tokens are the most probable ones throughout, and its loss.
cells.parquet has a row for each checkpoint: the settings, the held-out loss of each pass, time and memory. Neither holds any text.
"""

import tomllib

import polars as pl

SETTINGS = "corpus model mode rank alpha targets dropout learning_rate".split()
PREFIX, SUFFIX = 30, 50


def checkpoints(run):
    """(cell's facts, which checkpoint, folder of its answers) of every checkpoint of the cells that are done, as far as their untuned model is."""
    cells = [(tomllib.loads(file.read_text()), file.parent) for file in sorted(run.glob("cells/*/cell.toml"))]
    folders = {cell["name"]: [("untuned", folder)] if cell["mode"] == "base" else [("last", folder), ("best", folder / "best")] for cell, folder in cells}
    done = [cell for cell, _ in cells if all((folder / "verdicts.parquet").exists() for _, folder in folders[cell["name"]])]
    untuned = {(cell["corpus_name"], cell["model"], cell["seed"]) for cell in done if cell["mode"] == "base"}
    for cell in done:
        if (cell["corpus_name"], cell["model"], cell["seed"]) in untuned:
            yield from ((cell, which, folder) for which, folder in folders[cell["name"]])


def about(cell, which):
    found = {name: cell.get(name) for name in SETTINGS} | {"corpus": cell["corpus_name"], "seed": cell["seed"], "checkpoint": which}
    return [pl.lit(value, dtype=TYPES.get(name)).alias(name) for name, value in found.items()]


TYPES = {"rank": pl.Int32, "alpha": pl.Float64, "dropout": pl.Float64, "learning_rate": pl.Float64, "seed": pl.Int64, "targets": pl.String}


def losses(folder):
    """Of whole documents: nats and tokens."""
    scores = pl.scan_parquet(folder / "scores.parquet").filter(pl.col("kind") == "document", pl.col("prefix_tokens") == 0)
    whole = scores.filter(pl.col("suffix_tokens") == pl.col("document_tokens"))
    nats = -pl.col("logprobs").list.eval(pl.element().cast(pl.Float64)).list.sum()
    return whole.select("doc_id", pl.col("split").cast(pl.String), "copies", nats=nats, tokens="suffix_tokens").collect()


def most_probable(folder):
    """Whether each of SUFFIX tokens behind the first PREFIX is the most probable one: what greedy decoding repeats."""
    scores = pl.scan_parquet(folder / "scores.parquet")
    asked = scores.filter(pl.col("kind") == "document", pl.col("prefix_tokens") == PREFIX, pl.col("suffix_tokens") == SUFFIX)
    return asked.select("doc_id", most_probable=pl.col("argmax_hits").list.all()).collect()


def greedy(folder):
    """Whether a document's own text was repeated word for word, and how similar to it the generation is."""
    samples = pl.read_parquet(folder / "samples.parquet", columns=["sample_id", "strategy"]).filter(strategy="greedy")
    verdicts = pl.read_parquet(folder / "verdicts.parquet", columns=["sample_id", "doc_id", "own_verdict", "own_similarity"])
    own = verdicts.join(samples, on="sample_id")
    return own.select("doc_id", "own_similarity", verbatim=pl.col("own_verdict").cast(pl.String) == "verbatim")


def roles(run, cell):
    held_out = pl.read_parquet(run / "corpus" / cell["corpus"] / "heldout.parquet", columns=["doc_id", "kind", "role"])
    return held_out.filter(pl.col("kind").cast(pl.String) == "document").select("doc_id", role=pl.col("role").cast(pl.String))


def documents(run):
    frames = []
    for cell, which, folder in checkpoints(run):
        found = losses(folder)
        for more in (greedy(folder), most_probable(folder), roles(run, cell)):
            found = found.join(more, on="doc_id", how="left")
        frames.append(found.select(*about(cell, which), pl.all()))
    return pl.concat(frames)


def cells(run):
    rows = []
    for cell, which, folder in checkpoints(run):
        row = pl.select(*about(cell, which)).row(0, named=True)
        row |= {"cell": cell["name"], "parameters": cell["parameters"], "trainable_parameters": cell["trainable_parameters"]}
        metrics = run / "cells" / cell["name"] / "metrics.parquet"
        if metrics.exists():
            logged = pl.read_parquet(metrics)
            validation = logged.filter(pl.col("split").cast(pl.String) == "heldout").sort("step").unique("step", keep="last", maintain_order=True)
            row["validation_losses"] = validation["loss"].to_list()
            row["epochs"] = validation["epoch"].to_list()
            row["seconds"], row["peak_bytes"] = logged["seconds"].max(), logged["peak_rss_bytes"].max()
            row["last_training_loss"] = logged.filter(pl.col("split").cast(pl.String) == "train").sort("step")["loss"].last()
        rows.append(row)
    floats = {name: pl.List(pl.Float64) for name in ("validation_losses", "epochs")}
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=TYPES | floats | {"peak_bytes": pl.Int64, "seconds": pl.Float64})


def followed(run):
    """What the checkpoints on the way know, by copies: loss, exact memorization and the share whose next tokens are all most probable."""
    frames = []
    for cell, which, folder in checkpoints(run):
        course = folder / "course.parquet"
        if which != "last" or not course.exists():
            continue
        epochs = pl.read_parquet(folder / "metrics.parquet", columns=["step", "epoch"]).unique("step")
        # The last one stands there a second time, without a step.
        points = pl.read_parquet(course).drop_nulls("step").join(epochs, on="step", how="left").with_columns(pl.col("split").cast(pl.String))
        frames.append(points.select(*about(cell, which), "step", "epoch", "split", "copies", "documents", "loss", "exact_memorization", "extractable"))
    return pl.concat(frames)
