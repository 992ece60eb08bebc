"""What helps, what differential privacy promises, and what shadow models see: tables of the figures that three other runs' reports gave.

`keep` copies the rows of the summaries of one or several reports that the tables show to data/results/NAME.parquet, so that they can be made without the runs.
"""

import polars as pl

from study import results

MEASURES = ["own_verbatim", "training_text_emitted", "loss", "membership_auc_", "epsilon_", "dominated", "tokens_read", "detail_picked", "exposure", "secret_extracted"]
COLUMNS = "cell model corpus method mode learning_rate checkpoint copies seed runs split strategy measure value ci_low ci_high k n observations untuned untuned_low untuned_high p_value verdict".split()


def keep(runs, file):
    return write(pl.concat([shown(pl.read_parquet(run / "report/summary.parquet")) for run in runs]), file)


def add(runs, file):
    """What runs say of cells and strategies that the file does not have."""
    kept = pl.read_parquet(file)
    key = ["corpus", "method", "checkpoint", "strategy"]
    for run in runs:
        rows = shown(pl.read_parquet(run / "report/summary.parquet"))
        kept = pl.concat([kept, rows.join(kept.select(key).unique(), on=key, how="anti", nulls_equal=True)], how="diagonal")
    return write(kept, file)


def write(rows, file):
    rows.write_parquet(file, compression="zstd", compression_level=19)
    return rows.height


def shown(summary):
    is_shown = pl.any_horizontal(pl.col("measure").str.starts_with(name) for name in MEASURES)
    rows = summary.filter(is_shown, pl.col("against").is_null(), pl.col("epoch").is_null()).select(COLUMNS)
    texts = [name for name in COLUMNS if rows.schema[name] not in (pl.Float64, pl.Int32, pl.Int64)]
    return rows.with_columns(pl.col(texts).cast(pl.String))


class Figures:
    """The rows of one run, by method and checkpoint."""

    def __init__(self, file):
        self.rows = pl.read_parquet(file).with_columns(pl.col("checkpoint").fill_null("–"))

    def subjects(self):
        """Methods with their checkpoints in the order of the report, the untuned model first."""
        seen = self.rows.select("corpus", "mode", "method", "checkpoint").unique(maintain_order=True).rows(named=True)
        return sorted(seen, key=lambda row: row["mode"] != "base")

    def one(self, subject, measure, split="train", copies=None, pooled=False, strategy=None):
        own = [pl.col(name).eq_missing(pl.lit(value)) for name, value in subject.items()]
        found = self.rows.filter(*own, pl.col("copies").eq_missing(pl.lit(copies)), measure=measure, split=split)
        if strategy or measure == "own_verbatim":
            found = found.filter(strategy=strategy or "greedy")
        if pooled:
            found = found.filter(pl.col("cell").is_null())
        if found.height > 1:
            raise ValueError(f"{found.height} rows of {measure} for {subject}: keep takes one run of each corpus")
        return found.row(0, named=True) if found.height else None


def number(row, digits=3):
    if row is None:
        return "–"
    ends = "" if row["ci_low"] is None else f" ({row['ci_low']:.{digits}f}–{row['ci_high']:.{digits}f})"
    return f"{row['value']:.{digits}f}{ends}"


def share(row):
    if row is None:
        return "–"
    ends = "" if row["ci_low"] is None else f" ({100 * row['ci_low']:.0f}–{100 * row['ci_high']:.0f}%)"
    # Of several generations of a document, or from a prompt, each is counted; the interval knows that they belong together.
    return f"{row['k']:.0f}/{row['observations']}{ends}"


def name_of(subject):
    return subject["method"] if subject["mode"] != "base" else "untuned"


def remedies_block(file):
    """Each remedy at both checkpoints: what it repeats, how likely unseen text is to it, who can be recognised as a member, and whether another is better on both counts."""
    figures = Figures(file)
    subjects = figures.subjects()
    corpora = sorted({subject["corpus"] or "" for subject in subjects})
    tables = {corpus: remedies_table(figures, [subject for subject in subjects if (subject["corpus"] or "") == corpus]) for corpus in corpora}
    return "\n\n".join(f"**{corpus}**\n\n{table}" if corpus else table for corpus, table in tables.items())


def remedies_table(figures, subjects):
    rows = []
    for subject in subjects:
        dominated = figures.one(subject, "dominated", copies=16)
        by = (dominated["verdict"] or "yes") if dominated and dominated["value"] else "" if dominated is None else "no"
        rows.append([
            name_of(subject), subject["checkpoint"], number(figures.one(subject, "loss", "heldout")), share(figures.one(subject, "own_verbatim", copies=16)),
            share(figures.one(subject, "own_verbatim")), number(figures.one(subject, "membership_auc_reference"), 2), by or "–",
        ])  # fmt: skip
    return results.table(["method", "checkpoint", "test loss", "repeated, 16 copies", "repeated, all", "AUC against untuned", "dominated by"], rows)


def privacy_block(file):
    """Beside what is repeated, the ε that is promised to a text that occurs once and to one that occurs 16 times, and those that canaries of digits and of
    words show, of a run each."""
    figures, of_words = Figures(file), Figures(file.with_stem(f"{file.stem}-words"))
    rows = []
    for subject in figures.subjects():
        promised = [figures.one(subject, "epsilon_at_delta_1e-5", copies=copies) for copies in (1, 16)]
        rows.append([
            name_of(subject), subject["checkpoint"], number(figures.one(subject, "loss", "heldout")), share(figures.one(subject, "own_verbatim", copies=16)),
            share(figures.one(subject, "own_verbatim")), number(figures.one(subject, "membership_auc_reference"), 2),
            *(f"{row['value']:.1f}" if row else "–" for row in promised), audit(figures, subject), audit(of_words, subject),
        ])  # fmt: skip
    return results.table(["method", "checkpoint", "test loss", "repeated, 16 copies", "repeated, all", "AUC against untuned", "ε promised, once", "ε promised, 16 times", "ε shown by digits, at least", "ε shown by words"], rows)


def audit(figures, subject):
    shown, most = (figures.one(subject, f"epsilon_{name}_at_delta_1e-5", copies=1) for name in ("lower_bound", "highest"))
    return f"{shown['value']:.2f} ({shown['k']:.0f} of {shown['observations']} right; at most {most['value']:.2f})" if shown else "–"


SHADOW_PASSES = "1 pass, and tuning of five models"
COST = {
    "loss": "1 pass", "zlib": "1 pass", "min_k": "1 pass", "min_k_plus_plus": "1 pass", "reference": "2 passes", "ratio": "2 passes", "windows": "2 passes",
    "error_zone": "2 passes", "conditional": "1 pass, and 1 behind other documents", "gradient_norm": "1 pass and its gradient", "lira": SHADOW_PASSES, "rmia": SHADOW_PASSES, "words": "none",
}  # fmt: skip
ACCESS = {
    "loss": "probabilities", "zlib": "probabilities", "min_k": "probabilities", "min_k_plus_plus": "probabilities of all tokens", "reference": "probabilities, untuned model",
    "ratio": "probabilities, untuned model", "windows": "probabilities, untuned model", "error_zone": "probabilities, untuned model",
    "conditional": "probabilities, other documents", "gradient_norm": "weights", "lira": "probabilities, tuning of one’s own", "rmia": "probabilities, tuning of one’s own", "words": "none",
}  # fmt: skip
TITLES = {
    "loss": "loss", "zlib": "loss ÷ compressed length", "min_k": "Min-K%", "min_k_plus_plus": "Min-K%++", "reference": "loss − untuned loss", "ratio": "loss ÷ untuned loss",
    "windows": "votes of windows", "error_zone": "error zone", "conditional": "loss ÷ that behind other documents (ReCaLL)", "gradient_norm": "norm of the gradient", "lira": "LiRA", "rmia": "RMIA",
    "words": "words alone, without the model",
}  # fmt: skip


def shadows_block(file):
    """The AUC of each score over runs, with its interval over them, beside the untuned model's: last checkpoints."""
    figures = Figures(file)
    subjects = [subject for subject in figures.subjects() if subject["mode"] != "base" and subject["checkpoint"] in ("last", "best and last", "–")]
    parts = []
    for corpus in sorted({subject["corpus"] for subject in subjects}):
        of_corpus = [subject for subject in subjects if subject["corpus"] == corpus]
        rows = []
        for score, title in TITLES.items():
            found = [figures.one(subject, f"membership_auc_{score}", pooled=True) for subject in of_corpus]
            untuned = next((row for row in found if row and row["untuned"] is not None), None)
            before = "–" if untuned is None else f"{untuned['untuned']:.2f}" + ("" if untuned["untuned_low"] is None else f" ({untuned['untuned_low']:.2f}–{untuned['untuned_high']:.2f})")
            rows.append([title, ACCESS[score], COST[score], before, *(number(row, 2) for row in found)])
        parts.append(f"**{corpus}**\n\n{results.table(['score', 'takes', 'cost for a document', 'untuned', *map(name_of, of_corpus)], rows)}")
    return "\n\n".join(parts)


BLOCKS = {"remedies": remedies_block, "privacy": privacy_block, "shadows": shadows_block}
