"""What other ways of asking find than greedy decoding from a document's beginning, and which scores see membership."""

from collections import defaultdict

import polars as pl

from study import collect, inference, results

SCORES = {
    "loss": "loss",
    "zlib": "loss ÷ compressed length",
    "min_k": "Min-K%",
    "min_k_plus_plus": "Min-K%++",
    "reference": "loss − untuned loss",
    "ratio": "loss ÷ untuned loss",
    "windows": "votes of windows",
    "error_zone": "error zone",
    "words": "words alone, without the model",
}


def generations(run):
    """A row for each checkpoint, strategy and prompted document: whether its own text came out, whether any training text did, and how close it is."""
    frames = []
    for cell, checkpoint, folder in collect.checkpoints(run):
        samples = pl.read_parquet(folder / "samples.parquet", columns=["sample_id", "strategy"])
        columns = ["sample_id", "doc_id", "split", "copies", "own_verdict", "own_similarity", "rouge_l", "emitted_doc_ids"]
        verdicts = pl.read_parquet(folder / "verdicts.parquet", columns=columns).join(samples, on="sample_id")
        frame = verdicts.select(
            "strategy", "doc_id", pl.col("split").cast(pl.String), "copies", "own_similarity", "rouge_l",
            verbatim=pl.col("own_verdict").cast(pl.String) == "verbatim", emitted=pl.col("emitted_doc_ids").list.len() > 0,
        )  # fmt: skip
        frames.append(frame.select(*collect.key_columns(cell, checkpoint), pl.all()))
    return pl.concat(frames)


def memberships(report, cells):
    """A row for each cell, checkpoint and score of membership, over all training documents: the AUC with its interval, from the report's summary."""
    summary = pl.read_parquet(report / "summary.parquet")
    areas = summary.filter(pl.col("measure").str.starts_with("membership_auc_"), pl.col("copies").is_null(), pl.col("seed").is_not_null(), pl.col("runs") == 1)
    checkpoint = pl.when(pl.col("mode") == "base").then(pl.lit("untuned")).otherwise(pl.col("checkpoint").cast(pl.String))
    rows = areas.select("cell", checkpoint=checkpoint, score=pl.col("measure").str.strip_prefix("membership_auc_"), auc="value", low="ci_low", high="ci_high", observations="observations")
    settings = cells.select(*collect.SETTINGS, "seed", "cell").unique()
    return settings.join(rows, on="cell").select(*collect.SETTINGS, "seed", *rows.columns)


def asked(generations, method, checkpoint, strategy):
    rows = generations.filter(*method.filters(), checkpoint=checkpoint, strategy=strategy)
    return {(row["doc_id"], row["seed"]): row for row in rows.iter_rows(named=True)}


def prompts_block(study, generations):
    """Strategies side by side on the documents that all of them were asked for."""
    parts = []
    for corpus, model in study.pairs:
        strategies = generations.filter(corpus=corpus, model=model)["strategy"].unique().sort().to_list()
        others = [strategy for strategy in strategies if strategy != "greedy"]
        rows = []
        for method in chosen(study, corpus, model):
            checkpoint = "untuned" if method.mode == "base" else "last"
            found = {strategy: asked(generations, method, checkpoint, strategy) for strategy in ["greedy", *others]}
            shared = set.intersection(*(set(rows) for rows in found.values()))
            often = [key for key in shared if found["greedy"][key]["split"] == "train" and found["greedy"][key]["copies"] >= results.MANY]
            unseen = [key for key in shared if found["greedy"][key]["split"] == "heldout"]
            line = [method.name, method.rate_label]
            line += [f"{sum(rows[key]['verbatim'] for key in often)}/{len(often)}" for rows in found.values()]
            line += [f"{sum(rows[key]['emitted'] for key in unseen)}/{len(unseen)}" for rows in found.values()]
            rows.append(line)
        head = ["method", "rate", *(f"own text, {strategy}" for strategy in found), *(f"unseen prompts, {strategy}" for strategy in found)]
        parts.append(f"**{model} on {corpus}**\n\n{results.table(head, rows)}")
        parts += [sentence for other in others if (sentence := compared(study, generations, corpus, model, other))]
    return "\n\n".join(parts)


def compared(study, generations, corpus, model, other):
    """Over all methods and rates, of how many documents greedy decoding brings out more runs than the other strategy, and fewer."""
    balance = defaultdict(int)
    for method in study.select(corpus=corpus, model=model):
        if method.mode != "base":
            greedy, rival = (asked(generations, method, "last", strategy) for strategy in ("greedy", other))
            for key in greedy.keys() & rival.keys():
                if greedy[key]["split"] == "train":
                    balance[key[0]] += greedy[key]["verbatim"] - rival[key]["verbatim"]
    more, fewer = sum(value > 0 for value in balance.values()), sum(value < 0 for value in balance.values())
    if not balance:
        return None
    p = inference.sign_test(more, fewer)
    return f"Over all methods and rates, greedy decoding repeats {more} of {len(balance)} documents in more runs than {other} does, {fewer} in fewer (sign test over documents: p = {p:.2g})."


def chosen(study, corpus, model):
    """The untuned model, and each method at the rate with the best validation loss."""
    return study.select(corpus=corpus, model=model, mode="base") + list(study.at_best_rate(corpus, model).values())


def membership_block(study, memberships):
    """The AUC of each score at each method's best rate, last checkpoints; several seeds are listed one by one, as they share documents."""
    parts = []
    by_cell = {(row["cell"], row["checkpoint"], row["score"]): row for row in memberships.iter_rows(named=True)}
    for corpus, model in study.pairs:
        methods = chosen(study, corpus, model)
        rows = []
        for score, label in SCORES.items():
            line = [label]
            for method in methods:
                checkpoint = "untuned" if method.mode == "base" else "last"
                cells = sorted({(cell["seed"], cell["cell"]) for cell in method.cells if cell["checkpoint"] == checkpoint})
                areas = [by_cell[cell, checkpoint, score] for _, cell in cells if (cell, checkpoint, score) in by_cell]
                line.append("; ".join(f"{area['auc']:.2f} ({area['low']:.2f}–{area['high']:.2f})" for area in areas) or "–")
            if any(cell != "–" for cell in line[1:]):
                rows.append(line)
        head = ["score", *(method.name + (f" at {method.rate_label}" if method.rate else "") for method in methods)]
        parts.append(f"**{model} on {corpus}**\n\n{results.table(head, rows)}")
    return "\n\n".join(parts)


def usefulness_block(study, generations):
    """ROUGE-L of answers to questions that tuning has not seen, beside what is repeated: each method at its best rate."""
    rows = []
    for corpus, model in study.pairs:
        if generations.filter(corpus=corpus, model=model, strategy="question").is_empty():
            continue
        for method in chosen(study, corpus, model):
            for checkpoint in ("untuned",) if method.mode == "base" else method.tuned_checkpoints():
                answers = [row for row in asked(generations, method, checkpoint, "question").values() if row["rouge_l"] is not None]
                of = lambda split: mean_interval([row for row in answers if row["split"] == split], f"{corpus} {model} {method.name} {checkpoint} {split}")
                repeated = method.share(checkpoint, min_copies=results.MANY)
                rows.append([f"{model} on {corpus}", f"{method.name} at {method.rate_label}" if method.rate else method.name, checkpoint, f"{method.test_loss(checkpoint):.3f}", of("heldout"), of("train"), results.count(repeated)])
    return results.table(["model and corpus", "method", "checkpoint", "test loss", "ROUGE-L, unseen questions", "ROUGE-L, training questions", f"repeated, ≥ {results.MANY} copies"], rows)


def mean_interval(rows, name):
    by_document = defaultdict(list)
    for row in rows:
        by_document[row["doc_id"]].append(row["rouge_l"])
    if not by_document:
        return "–"
    mean = lambda sample: sum(map(sum, sample)) / sum(map(len, sample))
    low, high = inference.bootstrap_interval(by_document, mean, name)
    return f"{mean(list(by_document.values())):.3f} ({low:.3f}–{high:.3f})"
