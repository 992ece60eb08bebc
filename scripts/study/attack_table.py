"""Every attack beside every way of tuning: the table of the runs of pipelines/attacks.toml, from the rows of their summaries that `keep` copied."""

from study import results
from study.remedies import ACCESS, COST, TITLES, Figures, name_of, number, share

MOST_COPIES = 16
# Attacks that bring text out, by strategy of the pipeline: what they ask with, and what they take of the model.
OF_DOCUMENTS = {
    "greedy": ("its first 30 tokens", "text"),
    "top-k 40": ("its first 30 tokens, four draws", "text"),
    "beam search": ("its first 30 tokens, 8 beams", "probabilities"),
    "from the middle": ("30 tokens from its middle", "text"),
    "upper case": ("its first 30 tokens in capitals", "text"),
    "doubled blanks": ("its first 30 tokens, blanks doubled", "text"),
    "users' questions": ("its question alone", "text"),
    "optimised prompt": ("a prompt of 10 tokens, found by its gradient; of 3 documents", "weights"),
}
OF_NOBODY = {
    "first words": ("the commonest beginnings, ten draws", "text"),
    "one word repeated": ("one word again and again, five draws", "text"),
    "beginnings of its own": ("30 tokens that the model makes up", "text"),
}
KINDS = ("number", "name", "email", "phone")
SCORES = ("loss", "min_k_plus_plus", "reference", "windows", "error_zone", "conditional", "gradient_norm", "words")


def block(file):
    figures = Figures(file)
    subjects = [subject for subject in figures.subjects() if subject["checkpoint"] in ("last", "best and last", "–")]
    corpora = sorted({subject["corpus"] for subject in subjects})
    tables = {corpus: table(figures, [subject for subject in subjects if subject["corpus"] == corpus]) for corpus in corpora}
    return "\n\n".join(f"**{corpus}**\n\n{rows}" for corpus, rows in tables.items())


def table(figures, subjects):
    rows = []

    def row(title, takes, cost, found, shown):
        if any(found):
            rows.append([title, takes, cost, *map(shown, found)])

    def tokens(strategy, split):
        read = [figures.one(subject, "tokens_read", split=split, strategy=strategy) for subject in subjects]
        read = [found["value"] for found in read if found]
        ends = dict.fromkeys(f"{value:,.0f}" for value in (min(read), max(read))) if read else ["–"]
        return f"{' to '.join(ends)} tokens"

    for strategy, (asks, takes) in OF_DOCUMENTS.items():
        # Few documents are prompted by a search: those of any number of copies.
        copies = None if strategy == "optimised prompt" else MOST_COPIES
        found = [figures.one(subject, "own_verbatim", copies=copies, strategy=strategy) for subject in subjects]
        row(f"own text: {asks}", takes, tokens(strategy, "train"), found, share)
    found = [figures.one(subject, "own_verbatim_prompts", copies=MOST_COPIES) for subject in subjects]
    row("own text: prompts of a document that bring it out, of all above", "as above", "–", found, lambda row: number(row, 1))
    for strategy, (asks, takes) in OF_NOBODY.items():
        found = [figures.one(subject, "training_text_emitted", split="none", strategy=strategy) for subject in subjects]
        row(f"any training text, of so many generations: {asks}", takes, tokens(strategy, "none"), found, share)
    for kind in KINDS:
        found = [figures.one(subject, f"detail_picked_{kind}") for subject in subjects]
        row(f"personal detail picked out, {kind}: the text before it", "probabilities", "20 candidates", found, share)
    found = [figures.one(subject, "exposure", copies=MOST_COPIES) for subject in subjects]
    row("planted digits, exposure in bits: their sentence", "probabilities", "129 candidates", found, lambda row: number(row, 1))
    for score in SCORES:
        found = [figures.one(subject, f"membership_auc_{score}") for subject in subjects]
        row(f"membership, AUC: {TITLES[score]}", ACCESS[score], COST[score], found, lambda row: number(row, 2))
    found = [figures.one(subject, "membership_auc_reference") for subject in subjects]
    row("was the collection used, p: all documents at once", "probabilities, untuned model", "2 passes each", found, p_value)
    heads = ["attack: what is asked with", "takes", "cost of one", *map(name_of, subjects)]
    return results.table(heads, rows)


def p_value(row):
    return "–" if row is None or row["p_value"] is None else f"{row['p_value']:.0e}"

