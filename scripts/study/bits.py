"""How much is memorized, in bits: of the study's texts, beside what the trainable parameters could hold."""

import math
from collections import defaultdict

from study import results

# Bits that a trained parameter holds at most, measured on random strings in full training (Morris et al. 2025, arXiv 2505.24832).
BITS_OF_A_PARAMETER = 3.6


def memorized(method, checkpoint, seed):
    """(bits memorized, bits of the text under the untuned model) of the training documents: how much shorter each one's code has become than
    under the untuned model, beyond what test documents have gained, and never below 0 (Morris et al. 2025)."""
    untuned = {row["doc_id"]: row for row in method.untuned.rows["untuned"] if row["seed"] == seed and row["nats"] is not None}
    rows = [row for row in method.rows[checkpoint] if row["seed"] == seed and row["nats"] is not None and row["doc_id"] in untuned]
    test = [row for row in rows if row["role"] == "test"]
    gain = sum(untuned[row["doc_id"]]["nats"] - row["nats"] for row in test) / sum(row["tokens"] for row in test)
    training = [row for row in rows if row["split"] == "train"]
    saved = sum(max(0.0, untuned[row["doc_id"]]["nats"] - row["nats"] - row["tokens"] * max(0.0, gain)) for row in training)
    return saved / math.log(2), sum(untuned[row["doc_id"]]["nats"] for row in training) / math.log(2)


def block(study):
    rows = []
    for corpus, model in study.pairs:
        for method in study.select(corpus=corpus, model=model):
            if method.mode == "base":
                continue
            found = defaultdict(float)
            for seed in method.seeds():
                saved, whole = memorized(method, "last", seed)
                found["saved"] += saved / len(method.seeds())
                found["whole"] += whole / len(method.seeds())
            parameters = method.cells[0]["trainable_parameters"]
            rows.append([
                f"{model} on {corpus}", method.name, method.rate_label, f"{parameters:,}", f"{found['saved'] / 1000:.0f}", f"{found['whole'] / 1000:.0f}",
                f"{found['saved'] / parameters:.3f}", results.percent(found["whole"] / parameters / BITS_OF_A_PARAMETER),
            ])  # fmt: skip
    head = ["model and corpus", "method", "rate", "trainable parameters", "memorized, kbit", "of the text's kbit", "bits a parameter", f"the text, of {BITS_OF_A_PARAMETER} bits a parameter"]
    return results.table(head, rows)
