"""How many bits a trained parameter holds: random words, which a model can only memorize (pipelines/capacity.toml)."""

import math

import polars as pl

from study import collect, random_words, results

LOWEST, HIGHEST = 0.01, 10.0
WHOLE = 0.98  # share of the text from which it counts as learned whole: more of it could not be
BITS = random_words.WORDS_OF_A_TEXT * math.log2(random_words.WORDS)  # of a text, for whoever has not seen it


def keep(runs, file):
    """Copies what each finished cell knows of each text."""
    rows = pl.concat([known(run) for run in runs])
    rows.write_parquet(file, compression="zstd", compression_level=19)
    return rows.height


def known(run):
    sizes = collect.cells(run).filter(checkpoint="last").select(*collect.SETTINGS, "seed", "trainable_parameters")
    documents = collect.documents(run).filter(pl.col("checkpoint") != "best").join(sizes, on=[*collect.SETTINGS, "seed"], how="left", nulls_equal=True)
    return documents.select(*collect.SETTINGS, "seed", "checkpoint", "trainable_parameters", "doc_id", "split", "nats", "tokens", "verbatim")


def learned(rows):
    """(bits memorized, bits of the text): a text's own bits less the length of its code under the model, never below 0 (Morris et al. 2025)."""
    saved = [max(0.0, BITS - nats / math.log(2)) for nats in rows["nats"]]
    return sum(saved), BITS * len(saved)


def law(points):
    """C, α, β, b and R² of ΔL = C · r^α · ℓ^(−β) + b with least squares, over (r, ℓ, ΔL): C and b follow from α and β, which are searched for;
    none where the best of them lie beyond LOWEST or HIGHEST, so that the points have no such form."""

    def line(alpha, beta):
        x = [rank**alpha * length**-beta for rank, length, _ in points]
        y = [decrease for *_, decrease in points]
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        spread = sum((value - mean_x) ** 2 for value in x)
        slope = sum((one - mean_x) * (other - mean_y) for one, other in zip(x, y)) / spread if spread else 0.0
        start = mean_y - slope * mean_x
        return sum((slope * one + start - other) ** 2 for one, other in zip(x, y)), slope, start

    grid = [0.05 * 1.25**number for number in range(20)]
    alpha, beta = min(((alpha, beta) for alpha in grid for beta in grid), key=lambda pair: line(*pair)[0])
    step = 0.1
    while step > 1e-4:
        near = [(alpha * (1 + step * i), beta * (1 + step * j)) for i in range(-2, 3) for j in range(-2, 3)]
        best = min(near, key=lambda pair: line(*pair)[0])
        step = step / 2 if best == (alpha, beta) else step
        alpha, beta = best
        if not (LOWEST < alpha < HIGHEST and LOWEST < beta < HIGHEST):
            return None
    rest, slope, start = line(alpha, beta)
    mean = sum(decrease for *_, decrease in points) / len(points)
    return slope, alpha, beta, start, 1 - rest / sum((decrease - mean) ** 2 for *_, decrease in points)


def best_rates(data, cells):
    """Of each method and size the cell at the rate that memorized most."""
    saved = (BITS - pl.col("nats") / math.log(2)).clip(0).sum()
    settings = [*collect.SETTINGS, "seed"]
    bits = data.filter(checkpoint="last", split="train").group_by(settings).agg(bits=saved)
    ranked = cells.join(bits, on=settings, nulls_equal=True).sort("bits", descending=True)
    return ranked.unique(["model", "mode", "rank", "corpus", "seed"], keep="first", maintain_order=True)


def block(file):
    data = pl.read_parquet(file)
    loss = lambda rows: rows["nats"].sum() / rows["tokens"].sum()
    rows, points = [], []
    cells = data.filter(checkpoint="last", split="train").group_by(*collect.SETTINGS, "seed", "trainable_parameters").agg(pl.len().alias("texts"))
    order = ["mode", "rank", "texts"]
    for cell in best_rates(data, cells).sort(order).iter_rows(named=True):
        own = data.filter(*(pl.col(name).eq_missing(pl.lit(cell[name])) for name in [*collect.SETTINGS, "seed"]), checkpoint="last")
        of_corpus = data.filter(corpus=cell["corpus"], model=cell["model"], seed=cell["seed"], checkpoint="untuned", split="train")
        training, unseen = own.filter(split="train"), own.filter(split="heldout")
        saved, whole = learned(training)
        decrease = loss(of_corpus) - loss(training)
        words = cell["texts"] * random_words.WORDS_OF_A_TEXT
        if cell["mode"] == "lora" and saved < WHOLE * whole:
            points.append((cell["rank"], training["tokens"].sum(), decrease))
        name = f"LoRA r{cell['rank']}" if cell["mode"] == "lora" else cell["mode"]
        unseen_bits = unseen["nats"].sum() / math.log(2) / (unseen.height * random_words.WORDS_OF_A_TEXT)
        rows.append([
            name, f"{cell['learning_rate']:g}", f"{cell['trainable_parameters']:,}", f"{words:,}", f"{saved / 1000:.1f}", f"{whole / 1000:.1f}", results.percent(saved / whole),
            f"{saved / cell['trainable_parameters']:.2f}", f"{unseen_bits:.1f}", f"{decrease:.2f}",
        ])  # fmt: skip
    head = ["method", "rate", "trainable parameters", "words", "memorized, kbit", "of kbit", "share", "bits a parameter", "bits a word, unseen", "loss decrease, nats a token"]
    parts = [results.table(head, rows)]
    adapters = sum(row[0].startswith("LoRA") for row in rows)
    told = f"Of {adapters} adapters, {adapters - len(points)} learned their text whole"
    fitted = law(points) if len(points) > 5 else None
    if fitted:
        scale, alpha, beta, start, fit = fitted
        told += f"; over the others ΔL = C · r^α · ℓ^(−β) + b, r their rank and ℓ the tokens learned, has C = {scale:.3g}, α = {alpha:.2f}, β = {beta:.2f}, b = {start:.2f}, R² = {fit:.2f}: four numbers from {len(points)} points"
    elif points:
        told += f"; the others, {len(points)}, do not settle ΔL = C · r^α · ℓ^(−β) + b"
    return "\n\n".join([*parts, told + "."])
