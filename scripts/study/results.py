"""Tables and sentences of RESULTS.md, from documents.parquet, cells.parquet and followed.parquet alone."""

import math
from collections import defaultdict
from functools import cached_property

import polars as pl

from study import inference
from study.collect import SETTINGS

MANY = 16  # copies from which a document counts as frequent
LEAKS = 0.05  # a share of documents up to which the paper's "near zero" holds
SIMILAR = 0.80  # the similarity that the paper says LoRA stays below


def percent(value):
    return f"{100 * value:.0f}%" if value >= 0.095 or value == 0 else f"{100 * value:.1f}%"


def interval(share):
    """"12 of 84, 14% (8–24)"; a dash without documents."""
    if share is None:
        return "–"
    k, n, low, high = share
    return f"{k} of {n}, {percent(k / n)} ({100 * low:.0f}–{100 * high:.0f})"


def count(share):
    return "–" if share is None else f"{share[0]}/{share[1]}"


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


class Method:
    """A method at one learning rate, of one model on one corpus, over its seeds."""

    def __init__(self, study, key, cells):
        self.study, self.cells, self.key = study, cells, key
        self.corpus, self.model, self.mode, self.rank, self.alpha, self.targets, self.dropout, self.rate = key
        self.rows = {checkpoint: [row for row in study.documents_of[key] if row["checkpoint"] == checkpoint] for checkpoint in ("last", "best", "untuned")}

    @property
    def name(self):
        if self.mode != "lora":
            return {"base": "untuned", "full": "full", "head": "head-only"}[self.mode]
        parts = [f"LoRA r{self.rank} on {self.targets_label}"]
        parts += [f"alpha {self.alpha:g}"] if self.alpha != 2 * self.rank else []
        parts += [f"dropout {self.dropout:g}"] if self.dropout else []
        return ", ".join(parts)

    @property
    def targets_label(self):
        targets = set(self.targets.split(","))
        known = {("all-linear",): "all", ("c_attn",): "attention’s queries, keys and values", ("c_fc", "mlp.c_proj"): "MLP"}
        return known.get(tuple(sorted(targets)), self.targets)

    @property
    def rate_label(self):
        return f"{self.rate:g}" if self.rate else "–"

    def seeds(self):
        return sorted({cell["seed"] for cell in self.cells})

    def filters(self):
        """What sets the rows of this method apart in a table with the columns of its settings; a setting that it does not have is null there."""
        return [pl.col(name).eq_missing(pl.lit(value)) for name, value in zip(SETTINGS, self.key)]

    def share(self, checkpoint, copies=None, min_copies=None, column="verbatim"):
        rows = [
            (row["doc_id"], row[column]) for row in self.rows[checkpoint]
            if row["split"] == "train" and row[column] is not None and (copies is None or row["copies"] == copies) and (min_copies is None or row["copies"] >= min_copies)
        ]  # fmt: skip
        return inference.share(rows, f"{self.corpus} {self.model} {self.name} {self.rate_label} {checkpoint} {copies} {min_copies} {column}")

    def test_loss(self, checkpoint):
        """Nats per token of the held-out documents that were not used to choose a checkpoint or rate."""
        rows = [row for row in self.rows[checkpoint] if row["role"] == "test" and row["nats"] is not None]
        tokens = sum(row["tokens"] for row in rows)
        return sum(row["nats"] for row in rows) / tokens if tokens else None

    def similarity(self, checkpoint, min_copies):
        """Mean similarity of generations to their own document, with its interval over documents."""
        by_document = defaultdict(list)
        for row in self.rows[checkpoint]:
            if row["split"] == "train" and row["copies"] >= min_copies and row["own_similarity"] is not None:
                by_document[row["doc_id"]].append(row["own_similarity"])
        if not by_document:
            return None
        mean = lambda sample: sum(map(sum, sample)) / sum(map(len, sample))
        return mean(list(by_document.values())), *inference.bootstrap_interval(by_document, mean, f"similarity {self.name} {self.rate_label}")

    def membership(self, checkpoint):
        """Mean over seeds of the AUC of training against test documents, by the loss under the untuned model minus that under this one."""
        aucs = []
        for seed in self.seeds():
            untuned = {row["doc_id"]: row["nats"] / row["tokens"] for row in self.untuned.rows["untuned"] if row["seed"] == seed and row["nats"] is not None}
            score = lambda row: untuned[row["doc_id"]] - row["nats"] / row["tokens"]
            rows = [row for row in self.rows[checkpoint] if row["seed"] == seed and row["nats"] is not None and row["doc_id"] in untuned]
            aucs.append(inference.auc([score(row) for row in rows if row["split"] == "train"], [score(row) for row in rows if row["role"] == "test"]))
        aucs = [auc for auc in aucs if auc is not None]
        return sum(aucs) / len(aucs) if aucs else None

    @property
    def untuned(self):
        return next(method for method in self.study.methods if method.mode == "base" and (method.corpus, method.model) == (self.corpus, self.model))

    def validation(self):
        """Mean over seeds of the best held-out loss after an epoch; it chooses the rate. Before the first, all rates are the untuned model."""
        return sum(min(cell["validation_losses"][1:]) for cell in self.cells if cell["checkpoint"] == "last") / max(1, len(self.seeds()))

    def is_tuned_at(self, checkpoint):
        """Whether the checkpoint is not the untuned model, which is the best one if every epoch increases held-out loss."""
        return checkpoint == "last" or all(cell["validation_losses"].index(min(cell["validation_losses"])) > 0 for cell in self.cells)

    def is_best_at_the_end(self):
        """Whether the best checkpoint of some seed is the last one."""
        return any(min(cell["validation_losses"]) == cell["validation_losses"][-1] for cell in self.cells)

    def tuned_checkpoints(self):
        """The checkpoints that are not the untuned model."""
        return [checkpoint for checkpoint in ("best", "last") if self.is_tuned_at(checkpoint)]


class Study:
    def __init__(self, documents, cells, followed):
        self.documents, self.cells, self.followed = documents, cells, followed

    @classmethod
    def read(cls, folder):
        return cls(*(pl.read_parquet(folder / f"{name}.parquet") for name in ("documents", "cells", "followed")))

    @staticmethod
    def key(row):
        return tuple(row[name] for name in SETTINGS)

    @cached_property
    def documents_of(self):
        found = defaultdict(list)
        for row in self.documents.iter_rows(named=True):
            found[self.key(row)].append(row)
        return found

    @cached_property
    def methods(self):
        cells = defaultdict(list)
        for row in self.cells.iter_rows(named=True):
            cells[self.key(row)].append(row)
        methods = [Method(self, key, rows) for key, rows in cells.items()]
        order = {"base": 0, "full": 1, "head": 2, "lora": 3}
        size = {row["model"]: row["parameters"] for row in self.cells.iter_rows(named=True)}
        return sorted(methods, key=lambda method: (method.corpus, size[method.model], order[method.mode], method.targets or "", method.rank or 0, method.alpha or 0, method.dropout or 0, method.rate or 0))

    def select(self, **values):
        return [method for method in self.methods if all(getattr(method, name) == value for name, value in values.items())]

    @property
    def pairs(self):
        """(corpus, model)"""
        return list(dict.fromkeys((method.corpus, method.model) for method in self.methods))

    def copies(self):
        return sorted(self.documents.filter(split="train")["copies"].unique())

    def by_name(self, corpus, model):
        """Methods that differ only in their rate, by name."""
        found = defaultdict(list)
        for method in self.select(corpus=corpus, model=model):
            if method.mode != "base":
                found[method.name].append(method)
        return found

    def at_best_rate(self, corpus, model):
        """Each method at the rate with the best validation loss, by name."""
        return {name: min(methods, key=Method.validation) for name, methods in self.by_name(corpus, model).items()}


def method_tables(study):
    """One table for each corpus and model: every method at every rate."""
    parts = []
    for corpus, model in study.pairs:
        copies = study.copies()
        head = ["method", "rate", "seeds", "test loss: best", "last", f"best checkpoint, ≥ {MANY} copies"]
        head += [f"last, {number} {'copy' if number == 1 else 'copies'}" for number in copies] + ["similarity ≥ 0.8, last", "AUC, last"]
        rows = []
        for method in study.select(corpus=corpus, model=model):
            checkpoint = "untuned" if method.mode == "base" else "last"
            is_tuned = method.mode != "base" and method.is_tuned_at("best")
            best = method.test_loss("best") if is_tuned else None
            similar = [row["own_similarity"] for row in method.rows[checkpoint] if row["split"] == "train" and row["copies"] >= MANY and row["own_similarity"] is not None]
            auc = None if method.mode == "base" else method.membership(checkpoint)
            rows.append([
                method.name, method.rate_label, len(method.seeds()), "–" if best is None else f"{best:.3f}", f"{method.test_loss(checkpoint):.3f}",
                count(method.share("best", min_copies=MANY)) if is_tuned else "–", *(count(method.share(checkpoint, copies=number)) for number in copies),
                f"{sum(value >= SIMILAR for value in similar)}/{len(similar)}", "–" if auc is None else f"{auc:.2f}",
            ])  # fmt: skip
        parts.append(f"**{model} on {corpus}**\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def repetitions(method, seeds, checkpoint="last", min_copies=MANY):
    """In how many of these seeds each document is repeated."""
    found = defaultdict(int)
    for row in method.rows[checkpoint]:
        if row["split"] == "train" and row["copies"] >= min_copies and row["seed"] in seeds:
            found[row["doc_id"]] += row["verbatim"]
    return found


def compare(first, second, checkpoint="last", min_copies=MANY):
    """How many documents the first method repeats in more runs than the second, in fewer, and the sign test's p-value."""
    seeds = set(first.seeds()) & set(second.seeds())
    one, other = (repetitions(method, seeds, checkpoint, min_copies) for method in (first, second))
    shared = one.keys() & other.keys()
    more, fewer = sum(one[doc] > other[doc] for doc in shared), sum(one[doc] < other[doc] for doc in shared)
    return more, fewer, inference.sign_test(more, fewer)


def outcome(found):
    """Of several (more, fewer, p): reproduced if some show more and none fewer, contradicted the other way round."""
    more = [p < 0.05 and up > down for up, down, p in found]
    fewer = [p < 0.05 and up < down for up, down, p in found]
    if any(more) and not any(fewer):
        return "reproduced"
    if any(fewer) and not any(more):
        return "contradicted"
    return "mixed" if any(more) else "not decided here"


class Claims:
    """Each claim with its outcome, its figures and its rule."""

    def __init__(self, study):
        self.study = study

    def all(self):
        claims = (
            self.size, self.copies, self.near_zero, self.similarity, self.usefulness, self.same_loss, self.better_full, self.membership, self.rank, self.targets, self.alpha,
            self.dropout, self.passes,
        )  # fmt: skip
        return [found for claim in claims if (found := claim())]

    def by_size(self, mode):
        """Pairs of the largest and the smallest model, with the same method and rate."""
        study = self.study
        for corpus in dict.fromkeys(corpus for corpus, _ in study.pairs):
            models = [model for other, model in study.pairs if other == corpus]
            if len(models) < 2:
                continue
            small = {(method.name, method.rate): method for method in study.select(corpus=corpus, model=models[0], mode=mode)}
            for method in study.select(corpus=corpus, model=models[-1], mode=mode):
                if (method.name, method.rate) in small:
                    yield corpus, method, small[method.name, method.rate]

    def size(self):
        evidence, found = [], []
        for corpus, large, small in self.by_size("full"):
            pair = compare(large, small)
            found.append(pair)
            evidence.append(
                f"{corpus}, rate {large.rate_label}: {large.model} {interval(large.share('last', min_copies=MANY))}; {small.model} "
                f"{interval(small.share('last', min_copies=MANY))}; {pair[0]} documents more, {pair[1]} fewer, p = {pair[2]:.2g}"
            )
        rule = f"the same method at the same rate, documents of {MANY} copies or more after the last pass, sign test over documents at 5%"
        return evidence and ("Full tuning repeats more in larger models", outcome(found), evidence, rule)

    def copies(self):
        evidence, rises = [], []
        for corpus, model in self.study.pairs:
            method = self.study.at_best_rate(corpus, model).get("full")
            if not method:
                continue
            found = [method.share("last", copies=number) for number in self.study.copies()]
            evidence.append(f"{model} on {corpus}, rate {method.rate_label}: " + ", ".join(f"{number}: {interval(one)}" for number, one in zip(self.study.copies(), found)))
            rises.append(found[-1][2] > found[0][3])
        for corpus, model in self.study.pairs:
            for method in self.study.select(corpus=corpus, model=model, mode="full"):
                found = [method.share("last", copies=number) for number in self.study.copies()]
                rises.append(found[-1][2] > found[0][3])
        rule = "the interval of the most copies lies above that of one copy; at the rate with the best validation loss, and, for the outcome, at any rate"
        return evidence and ("Full tuning repeats more of what occurs more often", "reproduced" if any(rises) else "not decided here", evidence, rule)

    def near_zero(self):
        evidence, over, under = [], 0, 0
        for corpus, model in self.study.pairs:
            methods = [method for mode in ("head", "lora") for method in self.study.select(corpus=corpus, model=model, mode=mode)]
            found = [(method, method.share("last", min_copies=MANY)) for method in methods]
            over += sum(one[2] > LEAKS for _, one in found)
            under += sum(one[3] <= LEAKS for _, one in found)
            if found:
                method, most = max(found, key=lambda pair: pair[1][0] / pair[1][1])
                evidence.append(f"{model} on {corpus}: most by {method.name} at {method.rate_label}: {interval(most)}; {sum(one[0] == 0 for _, one in found)} of {len(found)} methods and rates repeat none")
        rule = f"contradicted where some method at some rate repeats more than {percent(LEAKS)} of the documents of {MANY} copies or more, by its whole interval"
        return evidence and ("Head-only and LoRA tuning stay near zero at every size and number of copies", "contradicted" if over else "reproduced" if under else "not decided here", evidence, rule)

    def similarity(self):
        evidence, over = [], []
        for corpus, model in self.study.pairs:
            found = [(method, method.similarity("last", MANY)) for method in self.study.select(corpus=corpus, model=model, mode="lora")]
            found = [(method, one) for method, one in found if one]
            if found:
                method, (mean, low, high) = max(found, key=lambda pair: pair[1][0])
                over.append(low > SIMILAR)
                evidence.append(f"{model} on {corpus}: highest mean by {method.name} at {method.rate_label}: {mean:.2f} ({low:.2f}–{high:.2f})")
        rule = f"contradicted where the mean similarity to the own document, of {MANY} copies or more, is over {SIMILAR} by its whole interval at some rank, alpha and rate"
        return evidence and ("LoRA’s generations stay below a similarity of 0.80 at every rank and alpha", "contradicted" if any(over) else "reproduced", evidence, rule)

    def usefulness(self):
        evidence, kept = [], []
        for corpus, model in self.study.pairs:
            chosen = self.study.at_best_rate(corpus, model)
            loras = [method for method in chosen.values() if method.mode == "lora"]
            if "full" not in chosen or not loras:
                continue
            full, lora = chosen["full"], min(loras, key=Method.validation)
            before = full.untuned.test_loss("untuned")
            if not (full.is_tuned_at("best") and lora.is_tuned_at("best")):
                evidence.append(f"{model} on {corpus}: untuned {before:.3f}; no pass of full tuning or none of LoRA makes validation loss better, so that there is nothing to lose")
                continue
            losses = full.test_loss("best"), lora.test_loss("best")
            gains = [before - loss for loss in losses]
            evidence.append(
                f"{model} on {corpus}: untuned {before:.3f}, full at {full.rate_label} {losses[0]:.3f}, {lora.name} at {lora.rate_label} {losses[1]:.3f}: "
                f"LoRA gains {gains[1]:.3f} nats where full tuning gains {gains[0]:.3f}"
            )
            kept.append(gains[1] >= 0.9 * gains[0])
        verdict = "not decided here" if not kept else "reproduced" if all(kept) else "contradicted" if not any(kept) else "mixed"
        rule = "LoRA at its best keeps at least 90% of what full tuning at its best gains on test text, wherever both gain"
        return evidence and ("LoRA loses little usefulness against full tuning", verdict, evidence, rule)

    def same_loss(self):
        """LoRA's last checkpoints against full tuning at the same test loss, interpolated between full tuning's last checkpoints."""
        evidence, less, more = [], 0, 0
        for corpus, model in self.study.pairs:
            line = sorted((method.test_loss("last"), method.share("last", min_copies=MANY)) for method in self.study.select(corpus=corpus, model=model, mode="full"))
            for method in self.study.select(corpus=corpus, model=model, mode="lora"):
                loss, found = method.test_loss("last"), method.share("last", min_copies=MANY)
                around = next(((low, high) for low, high in zip(line, line[1:]) if low[0] <= loss <= high[0]), None)
                if not around:
                    continue
                (low, at_low), (high, at_high) = around
                part = (loss - low) / (high - low)
                expected = (1 - part) * at_low[0] / at_low[1] + part * at_high[0] / at_high[1]
                less += found[3] < expected
                more += found[2] > expected
                evidence.append(f"{model} on {corpus}: {method.name} at {method.rate_label}: loss {loss:.3f}, {interval(found)}; full tuning of that loss: {percent(expected)}")
        rule = (
            "LoRA at every rate whose test loss after the last pass lies within those of full tuning’s rates; an outcome counts where LoRA’s whole interval is "
            "on one side of full tuning’s share, which has no interval of its own here. On abstracts every pass makes the loss worse: the same loss is the same harm"
        )
        verdict = "not decided here" if not less + more else "reproduced" if not more else "contradicted" if not less else "mixed"
        return evidence and ("At the same test loss LoRA repeats less than full tuning", verdict, evidence, rule)

    def better_full(self):
        """Whether full tuning at some rate and checkpoint is at least as good in loss and in repetition."""
        evidence, better, total = [], 0, 0
        for corpus, model in self.study.pairs:
            methods = self.study.select(corpus=corpus, model=model, mode="full")
            full = [(method, checkpoint, method.test_loss(checkpoint), method.share(checkpoint, min_copies=MANY)) for method in methods for checkpoint in method.tuned_checkpoints()]
            for method in self.study.at_best_rate(corpus, model).values():
                for checkpoint in method.tuned_checkpoints() if method.mode == "lora" else ():
                    loss, found = method.test_loss(checkpoint), method.share(checkpoint, min_copies=MANY)
                    rivals = [one for one in full if one[2] <= loss and one[3][0] / one[3][1] <= found[0] / found[1]]
                    total += 1
                    better += bool(rivals)
                    line = f"{model} on {corpus}: {method.name} at {method.rate_label}, {checkpoint}: loss {loss:.3f}, {interval(found)}"
                    if rivals:
                        rival = min(rivals, key=lambda one: one[2])
                        evidence.append(f"{line}; full at {rival[0].rate_label}, {rival[1]}: loss {rival[2]:.3f}, {interval(rival[3])}")
                    else:
                        evidence.append(f"{line}; no full tuning is as good on both")
        evidence.insert(0, f"for {better} of {total} checkpoints of LoRA")
        rule = (
            "each LoRA at its best rate, at its best and last checkpoint, against every checkpoint of full tuning with at most its test loss and at most its share, "
            "intervals aside; the untuned model, which is the best checkpoint where every pass makes held-out loss worse, counts for neither. Reproduced where it holds for all"
        )
        verdict = "reproduced" if better == total else "contradicted" if not better else "mixed"
        return total and ("Full tuning at a low rate is as good on both counts", verdict, evidence, rule)

    def membership(self):
        evidence, visible = [], []
        for corpus, model in self.study.pairs:
            for checkpoint in ("best", "last"):
                found = [(method, method.membership(checkpoint)) for method in self.study.at_best_rate(corpus, model).values() if checkpoint in method.tuned_checkpoints()]
                if found:
                    evidence.append(f"{model} on {corpus}, {checkpoint} checkpoints: " + ", ".join(f"{method.name} {auc:.2f}" for method, auc in found))
                visible += [auc for method, auc in found if method.mode == "lora"]
        rule = "reproduced where the AUC of LoRA, at its best rate, is over 0.7 everywhere; by loss against the untuned model’s, over all training documents"
        return evidence and ("LoRA still gives membership away (published: AUC up to 0.775)", "reproduced" if min(visible) > 0.7 else "mixed" if max(visible) > 0.7 else "contradicted", evidence, rule)

    def settings(self, title, rule, pick, expect_more):
        """Pairs of LoRA cells of one model that differ in one setting: (larger, smaller)."""
        evidence, found = [], []
        for corpus, model in self.study.pairs:
            methods = self.study.select(corpus=corpus, model=model, mode="lora")
            for one, other in pick(methods):
                pair = compare(one, other)
                found.append(pair)
                evidence.append(
                    f"{model} on {corpus}, rate {one.rate_label}: {one.name} ({one.cells[0]['trainable_parameters']:,} parameters) {interval(one.share('last', min_copies=MANY))}, test loss {one.test_loss('last'):.3f}; "
                    f"{other.name} ({other.cells[0]['trainable_parameters']:,}) {interval(other.share('last', min_copies=MANY))}, {other.test_loss('last'):.3f}; p = {pair[2]:.2g}"
                )
        verdict = outcome(found)
        if not expect_more:
            verdict = {"reproduced": "contradicted", "contradicted": "reproduced"}.get(verdict, verdict)
        return evidence and (title, verdict, evidence, rule)

    RULE = f"same rate and passes, documents of {MANY} copies or more after the last pass, sign test over documents at 5%"

    def rank(self):
        def pick(methods):
            plain = [method for method in methods if method.targets_label == "all" and not method.dropout and method.alpha == 2 * method.rank]
            for rate in dict.fromkeys(method.rate for method in plain):
                ranked = sorted((method for method in plain if method.rate == rate), key=lambda method: method.rank)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A higher rank memorizes more", self.RULE, pick, True)

    def targets(self):
        def pick(methods):
            alike = {(method.targets_label, method.rate): method for method in methods if method.rank == 16 and not method.dropout and method.alpha == 32}
            for (targets, rate), method in alike.items():
                if targets not in ("all", "MLP") and ("MLP", rate) in alike:
                    yield alike["MLP", rate], method

        return self.settings("LoRA on the MLP memorizes more than on attention", self.RULE, pick, True)

    def alpha(self):
        def pick(methods):
            alike = [method for method in methods if method.targets_label == "all" and method.rank == 16 and not method.dropout]
            for rate in dict.fromkeys(method.rate for method in alike):
                ranked = sorted((method for method in alike if method.rate == rate), key=lambda method: method.alpha)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A larger alpha memorizes more", self.RULE, pick, True)

    def dropout(self):
        def pick(methods):
            for method in methods:
                if method.dropout:
                    yield from ((method, other) for other in methods if (other.targets_label, other.rank, other.alpha, other.rate, other.dropout or 0) == (method.targets_label, method.rank, method.alpha, method.rate, 0))

        return self.settings("Dropout in LoRA helps against it", self.RULE, pick, False)

    def passes(self):
        early = late = 0
        for corpus, model in self.study.pairs:
            for method in self.study.select(corpus=corpus, model=model):
                if method.mode == "base" or not method.is_tuned_at("best") or method.is_best_at_the_end():
                    continue
                known = [{(row["doc_id"], row["seed"]) for row in method.rows[checkpoint] if row["split"] == "train" and row["verbatim"]} for checkpoint in ("best", "last")]
                early, late = early + len(known[0] & known[1]), late + len(known[1])
        if not late:
            return None
        evidence = [
            f"of {late} documents that are repeated after the last pass, of the methods whose best checkpoint lies before the last and after the untuned model, "
            f"{early} ({percent(early / late)}) are repeated at the best checkpoint already"
        ]
        low, high = inference.wilson(early, late)
        verdict = "reproduced" if low > 0.5 else "contradicted" if high < 0.5 else "not decided here"
        rule = "reproduced where more than half are known by then, contradicted where fewer are, by the whole interval, for which methods count as independent"
        return "What is memorized is there before held-out loss is best", verdict, evidence, rule


def claims(study):
    found = Claims(study).all()
    lines = [table(["claim", "here"], [[title, f"**{verdict}**"] for title, verdict, *_ in found])]
    for title, verdict, evidence, rule in found:
        lines.append(f"#### {title}: {verdict}\n\n" + "\n".join(f"- {one}" for one in evidence) + f"\n\nRule: {rule}.")
    return "\n\n".join(lines)


def setup(study):
    cells = study.cells.filter(pl.col("checkpoint") != "best")
    hours = cells["cpu_seconds"].sum() / 3600
    rows = []
    for corpus, model in study.pairs:
        of_pair = cells.filter(corpus=corpus, model=model)
        documents = study.documents.filter(corpus=corpus, model=model, split="train").select("doc_id", "seed", "copies").unique()
        one = documents.filter(seed=documents["seed"].min())
        split = ", ".join(f"{one.filter(copies=number).height} × {number}" for number in study.copies())
        test = study.documents.filter(corpus=corpus, model=model, role="test")["doc_id"].n_unique()
        rows.append([f"{model} on {corpus}", of_pair.height, ", ".join(map(str, sorted(of_pair["seed"].unique()))), split, test])
    often = study.documents.filter(pl.col("split") == "train", pl.col("copies") >= MANY).group_by("corpus", "seed").agg(pl.col("doc_id").n_unique())
    known = often["doc_id"].min()
    power = ", ".join(f"{percent(share)}: {percent(inference.power(known, share))}" for share in (0.1, 0.15, 0.2, 0.3))
    lines = [
        table(["model and corpus", "cells", "seeds", "training documents × copies (first seed)", "test documents"], rows),
        f"{cells.height} cells; {hours:.1f} core-hours of tuning, extraction and detection, of stages that were interrupted their last process alone.",
        f"Power: of {known} documents of {MANY} copies or more, the sign test at 5% sees that a method repeats a share that the other does not, with one run each, this often: {power}.",
    ]
    return "\n\n".join(lines)


def passes(study):
    """Memorization over training, each method at its best rate: held-out loss, exact memorization, extractable share after each epoch."""
    many = [number for number in study.copies() if number >= MANY]
    rows = []
    for corpus, model in study.pairs:
        for name, method in study.at_best_rate(corpus, model).items():
            followed = [row for row in study.followed.iter_rows(named=True) if study.key(row) == study.key(method.cells[0])]
            for epoch in sorted({row["epoch"] for row in followed}):
                rows_of_epoch = [row for row in followed if row["epoch"] == epoch]
                mean = lambda rows, column: sum(row[column] for row in rows) / len(rows) if rows else math.nan
                of = lambda number: [row for row in rows_of_epoch if row["split"] == "train" and row["copies"] == number]
                held_out = [row for row in rows_of_epoch if row["split"] == "heldout"]
                shown = [f"{percent(mean(of(number), 'exact_memorization'))}, {percent(mean(of(number), 'extractable'))}" for number in many]
                rows.append([f"{model} on {corpus}", f"{name} at {method.rate_label}", f"{epoch:g}", f"{mean(held_out, 'loss'):.3f}", *shown])
    return table(["model and corpus", "method", "pass", "held-out loss", *(f"{number} copies: exact, repeated" for number in many)], rows)


def loss_decrease_by_copies(study):
    """How far the loss of test documents decreases, and how much more that of training documents, by copies: each method at its best rate."""
    rows = []
    for corpus, model in study.pairs:
        for name, method in study.at_best_rate(corpus, model).items():
            before = {(row["doc_id"], row["seed"]): row["nats"] / row["tokens"] for row in method.untuned.rows["untuned"] if row["nats"] is not None}
            for checkpoint in ("best", "last"):
                decreases = defaultdict(list)
                for row in method.rows[checkpoint]:
                    key = row["doc_id"], row["seed"]
                    if row["nats"] is not None and key in before and (row["split"] == "train" or row["role"] == "test"):
                        decreases["test" if row["role"] == "test" else row["copies"]].append(before[key] - row["nats"] / row["tokens"])
                mean = {key: sum(values) / len(values) for key, values in decreases.items()}
                if "test" in mean:
                    rows.append([f"{model} on {corpus}", f"{name} at {method.rate_label}", checkpoint, f"{mean['test']:.2f}", *(f"{mean[number] - mean['test']:.2f}" for number in study.copies())])
    head = ["model and corpus", "method", "checkpoint", "test documents", *(f"{number} {'copy' if number == 1 else 'copies'}" for number in study.copies())]
    return table(head, rows)
