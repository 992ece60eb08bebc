"""The small tables from which the results of the study are computed.

documents.parquet has a row for each checkpoint and document: whether the document was repeated word for word and how similar the generation is
to it (greedy, from its first tokens), whether all next tokens are the most probable ones, and its loss. cells.parquet has a row for each
checkpoint: the settings, the held-out loss of each epoch, time and memory. followed.parquet has memorization over training. None holds text.
"""

import tomllib

import polars as pl

SETTINGS = "corpus model mode rank alpha targets dropout learning_rate".split()
PREFIX, SUFFIX = 30, 50


def checkpoints(run):
    """(cell, name of the checkpoint, folder of its results) of all finished cells whose untuned model is finished too."""
    cells = [(tomllib.loads(file.read_text()), file.parent) for file in sorted(run.glob("cells/*/cell.toml"))]
    folders = {cell["name"]: [("untuned", folder)] if cell["mode"] == "base" else [("last", folder), ("best", folder / "best")] for cell, folder in cells}
    finished = [cell for cell, _ in cells if all((folder / "verdicts.parquet").exists() for _, folder in folders[cell["name"]])]
    untuned = {(cell["corpus_name"], cell["model"], cell["seed"]) for cell in finished if cell["mode"] == "base"}
    for cell in finished:
        if (cell["corpus_name"], cell["model"], cell["seed"]) in untuned:
            yield from ((cell, checkpoint, folder) for checkpoint, folder in folders[cell["name"]])


def key_columns(cell, checkpoint):
    values = {name: cell.get(name) for name in SETTINGS} | {"corpus": cell["corpus_name"], "seed": cell["seed"], "checkpoint": checkpoint}
    return [pl.lit(value, dtype=TYPES.get(name)).alias(name) for name, value in values.items()]


TYPES = {"rank": pl.Int32, "alpha": pl.Float64, "dropout": pl.Float64, "learning_rate": pl.Float64, "seed": pl.Int64, "targets": pl.String}


def losses(folder):
    """Loss in nats and number of tokens of each whole document."""
    scores = pl.scan_parquet(folder / "scores.parquet").filter(pl.col("kind") == "document", pl.col("prefix_tokens") == 0)
    whole = scores.filter(pl.col("suffix_tokens") == pl.col("document_tokens"))
    nats = -pl.col("logprobs").list.eval(pl.element().cast(pl.Float64)).list.sum()
    return whole.select("doc_id", pl.col("split").cast(pl.String), "copies", nats=nats, tokens="suffix_tokens").collect()


def most_probable(folder):
    """Whether all SUFFIX tokens after the first PREFIX are the most probable ones, so that greedy decoding repeats them."""
    scores = pl.scan_parquet(folder / "scores.parquet")
    continuations = scores.filter(pl.col("kind") == "document", pl.col("prefix_tokens") == PREFIX, pl.col("suffix_tokens") == SUFFIX)
    return continuations.select("doc_id", most_probable=pl.col("argmax_hits").list.all()).collect()


def greedy(folder):
    """Whether each document was repeated word for word, and how similar the generation is to it."""
    samples = pl.read_parquet(folder / "samples.parquet", columns=["sample_id", "strategy"]).filter(strategy="greedy")
    verdicts = pl.read_parquet(folder / "verdicts.parquet", columns=["sample_id", "doc_id", "own_verdict", "own_similarity"])
    own = verdicts.join(samples, on="sample_id")
    return own.select("doc_id", "own_similarity", verbatim=pl.col("own_verdict").cast(pl.String) == "verbatim")


def roles(run, cell):
    held_out = pl.read_parquet(run / "corpus" / cell["corpus"] / "heldout.parquet", columns=["doc_id", "kind", "role"])
    return held_out.filter(pl.col("kind").cast(pl.String) == "document").select("doc_id", role=pl.col("role").cast(pl.String))


def documents(run):
    frames = []
    for cell, checkpoint, folder in checkpoints(run):
        frame = losses(folder)
        for columns in (greedy(folder), most_probable(folder), roles(run, cell)):
            frame = frame.join(columns, on="doc_id", how="left")
        frames.append(frame.select(*key_columns(cell, checkpoint), pl.all()))
    return pl.concat(frames)


def cells(run):
    rows = []
    for cell, checkpoint, folder in checkpoints(run):
        row = pl.select(*key_columns(cell, checkpoint)).row(0, named=True)
        row |= {"cell": cell["name"], "parameters": cell["parameters"], "trainable_parameters": cell["trainable_parameters"]}
        metrics = run / "cells" / cell["name"] / "metrics.parquet"
        if metrics.exists():
            logged = pl.read_parquet(metrics)
            validation = logged.filter(pl.col("split").cast(pl.String) == "heldout").sort("step").unique("step", keep="last", maintain_order=True)
            row["validation_losses"] = validation["loss"].to_list()
            row["epochs"] = validation["epoch"].to_list()
            row["seconds"], row["peak_bytes"] = logged["seconds"].max(), logged["peak_rss_bytes"].max()
            row["last_training_loss"] = logged.filter(pl.col("split").cast(pl.String) == "train").sort("step")["loss"].last()
        if checkpoint != "best":
            row["cpu_seconds"] = processor_seconds(run / "cells" / cell["name"])
        rows.append(row)
    floats = {name: pl.List(pl.Float64) for name in ("validation_losses", "epochs")}
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=TYPES | floats | {"peak_bytes": pl.Int64, "seconds": pl.Float64, "cpu_seconds": pl.Float64})


def processor_seconds(folder):
    """Of the stages of a cell, by their records; of a stage that was interrupted, its last process alone."""
    return sum(tomllib.loads(path.read_text()).get("cpu_seconds", 0.0) for path in folder.rglob(".done-*"))


def added(earlier, tables):
    """The tables of a run, after those rows of earlier tables that are of other cells."""
    key = [*SETTINGS, "seed"]
    if not earlier:
        return tables
    renewed = tables["cells"].select(key).unique()
    others = {name: frame.join(renewed, on=key, how="anti", nulls_equal=True) for name, frame in earlier.items()}
    # A table may be new, or a run have nothing of it.
    return {name: pl.concat([others[name].match_to_schema(frame.schema), frame]) if name in others else frame for name, frame in tables.items()}


def followed(run):
    """Memorization over training, by copies: loss, exact memorization and the extractable share at each kept checkpoint."""
    frames = []
    for cell, checkpoint, folder in checkpoints(run):
        course = folder / "course.parquet"
        if checkpoint != "last" or not course.exists():
            continue
        epochs = pl.read_parquet(folder / "metrics.parquet", columns=["step", "epoch"]).unique("step")
        # The last checkpoint is there a second time, without a step.
        points = pl.read_parquet(course).drop_nulls("step").join(epochs, on="step", how="left").with_columns(pl.col("split").cast(pl.String))
        frames.append(points.select(*key_columns(cell, checkpoint), "step", "epoch", "split", "copies", "documents", "loss", "exact_memorization", "extractable"))
    return pl.concat(frames)
