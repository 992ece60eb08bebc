"""What the study found: tables and sentences of RESULTS.md, from documents.parquet, cells.parquet and followed.parquet alone."""

import math
from collections import defaultdict
from functools import cached_property

import polars as pl

from study import inference

MANY = 16  # copies from which a document counts as occurring often
LEAKS = 0.05  # a share of documents up to which the paper's "near zero" holds
SIMILAR = 0.80  # the similarity that the paper says LoRA stays below


def percent(value):
    return f"{100 * value:.0f}%" if value >= 0.095 or value == 0 else f"{100 * value:.1f}%"


def interval(found):
    """"12 of 84, 14% (8–24)"; a dash where nothing was asked."""
    if found is None:
        return "–"
    k, n, low, high = found
    return f"{k} of {n}, {percent(k / n)} ({100 * low:.0f}–{100 * high:.0f})"


def count(found):
    return "–" if found is None else f"{found[0]}/{found[1]}"


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


class Method:
    """A method at one learning rate, of one model on one corpus, over its seeds."""

    def __init__(self, study, key, cells):
        self.study, self.cells = study, cells
        self.corpus, self.model, self.mode, self.rank, self.alpha, self.targets, self.dropout, self.rate = key
        self.rows = {which: [row for row in study.asked[key] if row["checkpoint"] == which] for which in ("last", "best", "untuned")}

    @property
    def name(self):
        if self.mode != "lora":
            return {"base": "untuned", "full": "full", "head": "head-only"}[self.mode]
        parts = [f"LoRA r{self.rank} on {self.where}"]
        parts += [f"alpha {self.alpha:g}"] if self.alpha != 2 * self.rank else []
        parts += [f"dropout {self.dropout:g}"] if self.dropout else []
        return ", ".join(parts)

    @property
    def where(self):
        targets = set(self.targets.split(","))
        known = {("all-linear",): "all", ("c_attn",): "attention’s queries, keys and values", ("c_fc", "mlp.c_proj"): "MLP"}
        return known.get(tuple(sorted(targets)), self.targets)

    @property
    def at(self):
        return f"{self.rate:g}" if self.rate else "–"

    def seeds(self):
        return sorted({cell["seed"] for cell in self.cells})

    def shares(self, which, copies=None, least=None, column="verbatim"):
        rows = [
            (row["doc_id"], row[column]) for row in self.rows[which]
            if row["split"] == "train" and row[column] is not None and (copies is None or row["copies"] == copies) and (least is None or row["copies"] >= least)
        ]  # fmt: skip
        return inference.share(rows, f"{self.corpus} {self.model} {self.name} {self.at} {which} {copies} {least} {column}")

    def test_loss(self, which):
        """Nats per token of the held-out documents that chose nothing."""
        rows = [row for row in self.rows[which] if row["role"] == "test" and row["nats"] is not None]
        tokens = sum(row["tokens"] for row in rows)
        return sum(row["nats"] for row in rows) / tokens if tokens else None

    def similarity(self, which, least):
        """Mean similarity of generations to their own document, with its interval over documents."""
        by_document = defaultdict(list)
        for row in self.rows[which]:
            if row["split"] == "train" and row["copies"] >= least and row["own_similarity"] is not None:
                by_document[row["doc_id"]].append(row["own_similarity"])
        if not by_document:
            return None
        mean = lambda drawn: sum(map(sum, drawn)) / sum(map(len, drawn))
        return mean(list(by_document.values())), *inference.resampled(by_document, mean, f"similarity {self.name} {self.at}")

    def membership(self, which):
        """Mean over seeds of the AUC of training against held-out test documents, by the loss under the untuned model less that under this one."""
        found = []
        for seed in self.seeds():
            untuned = {row["doc_id"]: row["nats"] / row["tokens"] for row in self.untuned.rows["untuned"] if row["seed"] == seed and row["nats"] is not None}
            score = lambda row: untuned[row["doc_id"]] - row["nats"] / row["tokens"]
            mine = [row for row in self.rows[which] if row["seed"] == seed and row["nats"] is not None and row["doc_id"] in untuned]
            found.append(inference.auc([score(row) for row in mine if row["split"] == "train"], [score(row) for row in mine if row["role"] == "test"]))
        found = [auc for auc in found if auc is not None]
        return sum(found) / len(found) if found else None

    @property
    def untuned(self):
        return next(method for method in self.study.methods if method.mode == "base" and (method.corpus, method.model) == (self.corpus, self.model))

    def validation(self):
        """Mean over seeds of the best held-out loss after a pass: what chooses a rate. Before the first pass all rates are the untuned model."""
        return sum(min(cell["validation_losses"][1:]) for cell in self.cells if cell["checkpoint"] == "last") / max(1, len(self.seeds()))

    def is_tuned_at(self, which):
        """Whether the checkpoint is another than the untuned model, which is the best where every pass makes held-out loss worse."""
        return which == "last" or all(cell["validation_losses"].index(min(cell["validation_losses"])) > 0 for cell in self.cells)

    def is_best_at_the_end(self):
        """Whether the best checkpoint of some seed is the last one."""
        return any(min(cell["validation_losses"]) == cell["validation_losses"][-1] for cell in self.cells)

    def points(self):
        """The checkpoints at which it is tuned."""
        return [which for which in ("best", "last") if self.is_tuned_at(which)]


class Study:
    def __init__(self, documents, cells, followed):
        self.documents, self.cells, self.followed = documents, cells, followed

    @classmethod
    def read(cls, folder):
        return cls(*(pl.read_parquet(folder / f"{name}.parquet") for name in ("documents", "cells", "followed")))

    @staticmethod
    def key(row):
        return tuple(row[name] for name in "corpus model mode rank alpha targets dropout learning_rate".split())

    @cached_property
    def asked(self):
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

    def of(self, **about):
        return [method for method in self.methods if all(getattr(method, name) == value for name, value in about.items())]

    @property
    def places(self):
        return list(dict.fromkeys((method.corpus, method.model) for method in self.methods))

    def copies(self):
        return sorted(self.documents.filter(split="train")["copies"].unique())

    def families(self, corpus, model):
        """Ways that differ in the rate alone."""
        found = defaultdict(list)
        for method in self.of(corpus=corpus, model=model):
            if method.mode != "base":
                found[method.name].append(method)
        return found

    def chosen(self, corpus, model):
        """Each method at the rate with the best validation loss."""
        return {name: min(methods, key=Method.validation) for name, methods in self.families(corpus, model).items()}


def everything(study):
    """One table for each corpus and model: every method at every rate."""
    parts = []
    for corpus, model in study.places:
        copies = study.copies()
        head = ["method", "rate", "seeds", "test loss: best", "last", f"best checkpoint, ≥ {MANY} copies"]
        head += [f"last, {number} {'copy' if number == 1 else 'copies'}" for number in copies] + ["similarity ≥ 0.8, last", "AUC, last"]
        rows = []
        for method in study.of(corpus=corpus, model=model):
            which = "untuned" if method.mode == "base" else "last"
            is_tuned = method.mode != "base" and method.is_tuned_at("best")
            best = method.test_loss("best") if is_tuned else None
            similar = [row["own_similarity"] for row in method.rows[which] if row["split"] == "train" and row["copies"] >= MANY and row["own_similarity"] is not None]
            auc = None if method.mode == "base" else method.membership(which)
            rows.append([
                method.name, method.at, len(method.seeds()), "–" if best is None else f"{best:.3f}", f"{method.test_loss(which):.3f}",
                count(method.shares("best", least=MANY)) if is_tuned else "–", *(count(method.shares(which, copies=number)) for number in copies),
                f"{sum(value >= SIMILAR for value in similar)}/{len(similar)}", "–" if auc is None else f"{auc:.2f}",
            ])  # fmt: skip
        parts.append(f"**{model} on {corpus}**\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def emitted(method, seeds, which="last", least=MANY):
    """Over so many seeds, how often each document comes out."""
    found = defaultdict(int)
    for row in method.rows[which]:
        if row["split"] == "train" and row["copies"] >= least and row["seed"] in seeds:
            found[row["doc_id"]] += row["verbatim"]
    return found


def paired(first, second, which="last", least=MANY):
    """How many documents the first method repeats in more runs than the second, in fewer, and the sign test's p-value."""
    seeds = set(first.seeds()) & set(second.seeds())
    one, other = (emitted(method, seeds, which, least) for method in (first, second))
    shared = one.keys() & other.keys()
    more, fewer = sum(one[doc] > other[doc] for doc in shared), sum(one[doc] < other[doc] for doc in shared)
    return more, fewer, inference.sign_test(more, fewer)


def outcome(found):
    """Of (more, fewer, p) by place: reproduced where some place shows more and none fewer, contradicted the other way round."""
    more = [p < 0.05 and up > down for up, down, p in found]
    fewer = [p < 0.05 and up < down for up, down, p in found]
    if any(more) and not any(fewer):
        return "reproduced"
    if any(fewer) and not any(more):
        return "contradicted"
    return "mixed" if any(more) else "not decided here"


class Claims:
    """Each claim with its outcome, its figures and the rule by which it was judged. None is worded by hand where a figure could change it."""

    def __init__(self, study):
        self.study = study

    def all(self):
        claims = (
            self.size, self.copies, self.near_zero, self.similarity, self.usefulness, self.same_loss, self.better_full, self.membership, self.rank, self.targets, self.alpha,
            self.dropout, self.passes,
        )  # fmt: skip
        return [found for claim in claims if (found := claim())]

    def by_size(self, mode):
        """Pairs of the largest and the smallest model, under the same method at the same rate."""
        study = self.study
        for corpus in dict.fromkeys(corpus for corpus, _ in study.places):
            models = [model for place, model in study.places if place == corpus]
            if len(models) < 2:
                continue
            small = {(method.name, method.rate): method for method in study.of(corpus=corpus, model=models[0], mode=mode)}
            for method in study.of(corpus=corpus, model=models[-1], mode=mode):
                if (method.name, method.rate) in small:
                    yield corpus, method, small[method.name, method.rate]

    def size(self):
        said, found = [], []
        for corpus, large, small in self.by_size("full"):
            pair = paired(large, small)
            found.append(pair)
            said.append(
                f"{corpus}, rate {large.at}: {large.model} {interval(large.shares('last', least=MANY))}; {small.model} "
                f"{interval(small.shares('last', least=MANY))}; {pair[0]} documents more, {pair[1]} fewer, p = {pair[2]:.2g}"
            )
        rule = f"the same method at the same rate, documents of {MANY} copies or more after the last pass, sign test over documents at 5%"
        return said and ("Full tuning repeats more in larger models", outcome(found), said, rule)

    def copies(self):
        said, rises = [], []
        for corpus, model in self.study.places:
            method = self.study.chosen(corpus, model).get("full")
            if not method:
                continue
            found = [method.shares("last", copies=number) for number in self.study.copies()]
            said.append(f"{model} on {corpus}, rate {method.at}: " + ", ".join(f"{number}: {interval(one)}" for number, one in zip(self.study.copies(), found)))
            rises.append(found[-1][2] > found[0][3])
        for corpus, model in self.study.places:
            for method in self.study.of(corpus=corpus, model=model, mode="full"):
                found = [method.shares("last", copies=number) for number in self.study.copies()]
                rises.append(found[-1][2] > found[0][3])
        rule = "the interval of the most copies lies above that of one copy; at the rate with the best validation loss, and, for the outcome, at any rate"
        return said and ("Full tuning repeats more of what occurs more often", "reproduced" if any(rises) else "not decided here", said, rule)

    def near_zero(self):
        said, over, under = [], 0, 0
        for corpus, model in self.study.places:
            methods = [method for mode in ("head", "lora") for method in self.study.of(corpus=corpus, model=model, mode=mode)]
            found = [(method, method.shares("last", least=MANY)) for method in methods]
            over += sum(one[2] > LEAKS for _, one in found)
            under += sum(one[3] <= LEAKS for _, one in found)
            if found:
                method, most = max(found, key=lambda pair: pair[1][0] / pair[1][1])
                said.append(f"{model} on {corpus}: most by {method.name} at {method.at}: {interval(most)}; {sum(one[0] == 0 for _, one in found)} of {len(found)} methods and rates repeat none")
        rule = f"contradicted where some method at some rate repeats more than {percent(LEAKS)} of the documents of {MANY} copies or more, by its whole interval"
        return said and ("Head-only and LoRA tuning stay near zero at every size and number of copies", "contradicted" if over else "reproduced" if under else "not decided here", said, rule)

    def similarity(self):
        said, over = [], []
        for corpus, model in self.study.places:
            found = [(method, method.similarity("last", MANY)) for method in self.study.of(corpus=corpus, model=model, mode="lora")]
            found = [(method, one) for method, one in found if one]
            if found:
                method, (mean, low, high) = max(found, key=lambda pair: pair[1][0])
                over.append(low > SIMILAR)
                said.append(f"{model} on {corpus}: highest mean by {method.name} at {method.at}: {mean:.2f} ({low:.2f}–{high:.2f})")
        rule = f"contradicted where the mean similarity to the own document, of {MANY} copies or more, is over {SIMILAR} by its whole interval at some rank, alpha and rate"
        return said and ("LoRA’s generations stay below a similarity of 0.80 at every rank and alpha", "contradicted" if any(over) else "reproduced", said, rule)

    def usefulness(self):
        said, kept = [], []
        for corpus, model in self.study.places:
            chosen = self.study.chosen(corpus, model)
            loras = [method for method in chosen.values() if method.mode == "lora"]
            if "full" not in chosen or not loras:
                continue
            full, lora = chosen["full"], min(loras, key=Method.validation)
            before = full.untuned.test_loss("untuned")
            if not (full.is_tuned_at("best") and lora.is_tuned_at("best")):
                said.append(f"{model} on {corpus}: untuned {before:.3f}; no pass of full tuning or none of LoRA makes validation loss better, so that there is nothing to lose")
                continue
            losses = full.test_loss("best"), lora.test_loss("best")
            gains = [before - loss for loss in losses]
            said.append(
                f"{model} on {corpus}: untuned {before:.3f}, full at {full.at} {losses[0]:.3f}, {lora.name} at {lora.at} {losses[1]:.3f}: "
                f"LoRA gains {gains[1]:.3f} nats where full tuning gains {gains[0]:.3f}"
            )
            kept.append(gains[1] >= 0.9 * gains[0])
        word = "not decided here" if not kept else "reproduced" if all(kept) else "contradicted" if not any(kept) else "mixed"
        rule = "LoRA at its best keeps at least 90% of what full tuning at its best gains on test text, wherever both gain"
        return said and ("LoRA loses little usefulness against full tuning", word, said, rule)

    def same_loss(self):
        """LoRA's last checkpoints against full tuning of the same test loss, read off the line through full tuning's last checkpoints by loss."""
        said, less, more = [], 0, 0
        for corpus, model in self.study.places:
            line = sorted((method.test_loss("last"), method.shares("last", least=MANY)) for method in self.study.of(corpus=corpus, model=model, mode="full"))
            for method in self.study.of(corpus=corpus, model=model, mode="lora"):
                loss, found = method.test_loss("last"), method.shares("last", least=MANY)
                around = next(((low, high) for low, high in zip(line, line[1:]) if low[0] <= loss <= high[0]), None)
                if not around:
                    continue
                (low, at_low), (high, at_high) = around
                part = (loss - low) / (high - low)
                expected = (1 - part) * at_low[0] / at_low[1] + part * at_high[0] / at_high[1]
                less += found[3] < expected
                more += found[2] > expected
                said.append(f"{model} on {corpus}: {method.name} at {method.at}: loss {loss:.3f}, {interval(found)}; full tuning of that loss: {percent(expected)}")
        rule = (
            "LoRA at every rate whose test loss after the last pass lies within those of full tuning’s rates; an outcome counts where LoRA’s whole interval is "
            "on one side of full tuning’s share, which has no interval of its own here. On abstracts every pass makes the loss worse: the same loss is the same harm"
        )
        word = "not decided here" if not less + more else "reproduced" if not more else "contradicted" if not less else "mixed"
        return said and ("At the same test loss LoRA repeats less than full tuning", word, said, rule)

    def better_full(self):
        """Whether full tuning at some rate and checkpoint is no worse on either count."""
        said, better, total = [], 0, 0
        for corpus, model in self.study.places:
            methods = self.study.of(corpus=corpus, model=model, mode="full")
            full = [(method, which, method.test_loss(which), method.shares(which, least=MANY)) for method in methods for which in method.points()]
            for method in self.study.chosen(corpus, model).values():
                for which in method.points() if method.mode == "lora" else ():
                    loss, found = method.test_loss(which), method.shares(which, least=MANY)
                    rivals = [one for one in full if one[2] <= loss and one[3][0] / one[3][1] <= found[0] / found[1]]
                    total += 1
                    better += bool(rivals)
                    line = f"{model} on {corpus}: {method.name} at {method.at}, {which}: loss {loss:.3f}, {interval(found)}"
                    if rivals:
                        rival = min(rivals, key=lambda one: one[2])
                        said.append(f"{line}; full at {rival[0].at}, {rival[1]}: loss {rival[2]:.3f}, {interval(rival[3])}")
                    else:
                        said.append(f"{line}; no full tuning is as good on both")
        said.insert(0, f"for {better} of {total} checkpoints of LoRA")
        rule = (
            "each LoRA at its best rate, at its best and last checkpoint, against every checkpoint of full tuning with at most its test loss and at most its share, "
            "intervals aside; the untuned model, which is the best checkpoint where every pass makes held-out loss worse, counts for neither. Reproduced where it holds for all"
        )
        word = "reproduced" if better == total else "contradicted" if not better else "mixed"
        return total and ("Full tuning at a low rate is as good on both counts", word, said, rule)

    def membership(self):
        said, visible = [], []
        for corpus, model in self.study.places:
            for which in ("best", "last"):
                found = [(method, method.membership(which)) for method in self.study.chosen(corpus, model).values() if which in method.points()]
                if found:
                    said.append(f"{model} on {corpus}, {which} checkpoints: " + ", ".join(f"{method.name} {auc:.2f}" for method, auc in found))
                visible += [auc for method, auc in found if method.mode == "lora"]
        rule = "reproduced where the AUC of LoRA, at its best rate, is over 0.7 everywhere; by loss against the untuned model’s, over all training documents"
        return said and ("LoRA still gives membership away (published: AUC up to 0.775)", "reproduced" if min(visible) > 0.7 else "mixed" if max(visible) > 0.7 else "contradicted", said, rule)

    def settings(self, title, rule, pick, expect_more):
        """Pairs of LoRA cells of one model that differ in one setting: (larger, smaller)."""
        said, found = [], []
        for corpus, model in self.study.places:
            methods = self.study.of(corpus=corpus, model=model, mode="lora")
            for one, other in pick(methods):
                pair = paired(one, other)
                found.append(pair)
                said.append(
                    f"{model} on {corpus}, rate {one.at}: {one.name} ({one.cells[0]['trainable_parameters']:,} parameters) {interval(one.shares('last', least=MANY))}, test loss {one.test_loss('last'):.3f}; "
                    f"{other.name} ({other.cells[0]['trainable_parameters']:,}) {interval(other.shares('last', least=MANY))}, {other.test_loss('last'):.3f}; p = {pair[2]:.2g}"
                )
        word = outcome(found)
        if not expect_more:
            word = {"reproduced": "contradicted", "contradicted": "reproduced"}.get(word, word)
        return said and (title, word, said, rule)

    RULE = f"same rate and passes, documents of {MANY} copies or more after the last pass, sign test over documents at 5%"

    def rank(self):
        def pick(methods):
            plain = [method for method in methods if method.where == "all" and not method.dropout and method.alpha == 2 * method.rank]
            for rate in dict.fromkeys(method.rate for method in plain):
                ranked = sorted((method for method in plain if method.rate == rate), key=lambda method: method.rank)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A higher rank memorizes more", self.RULE, pick, True)

    def targets(self):
        def pick(methods):
            alike = {(method.where, method.rate): method for method in methods if method.rank == 16 and not method.dropout and method.alpha == 32}
            for (where, rate), method in alike.items():
                if where not in ("all", "MLP") and ("MLP", rate) in alike:
                    yield alike["MLP", rate], method

        return self.settings("LoRA on the MLP memorizes more than on attention", self.RULE, pick, True)

    def alpha(self):
        def pick(methods):
            alike = [method for method in methods if method.where == "all" and method.rank == 16 and not method.dropout]
            for rate in dict.fromkeys(method.rate for method in alike):
                ranked = sorted((method for method in alike if method.rate == rate), key=lambda method: method.alpha)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A larger alpha memorizes more", self.RULE, pick, True)

    def dropout(self):
        def pick(methods):
            for method in methods:
                if method.dropout:
                    yield from ((method, other) for other in methods if (other.where, other.rank, other.alpha, other.rate, other.dropout or 0) == (method.where, method.rank, method.alpha, method.rate, 0))

        return self.settings("Dropout in LoRA helps against it", self.RULE, pick, False)

    def passes(self):
        early = late = 0
        for corpus, model in self.study.places:
            for method in self.study.of(corpus=corpus, model=model):
                if method.mode == "base" or not method.is_tuned_at("best") or method.is_best_at_the_end():
                    continue
                known = [{(row["doc_id"], row["seed"]) for row in method.rows[which] if row["split"] == "train" and row["verbatim"]} for which in ("best", "last")]
                early, late = early + len(known[0] & known[1]), late + len(known[1])
        if not late:
            return None
        said = [
            f"of {late} documents that are repeated after the last pass, of the methods whose best checkpoint lies before the last and after the untuned model, "
            f"{early} ({percent(early / late)}) are repeated at the best checkpoint already"
        ]
        low, high = inference.wilson(early, late)
        word = "reproduced" if low > 0.5 else "contradicted" if high < 0.5 else "not decided here"
        rule = "reproduced where more than half are known by then, contradicted where fewer are, by the whole interval, for which methods count as independent"
        return "What is memorized is there before held-out loss is best", word, said, rule


def claims(study):
    found = Claims(study).all()
    lines = [table(["claim", "here"], [[title, f"**{word}**"] for title, word, *_ in found])]
    for title, word, said, rule in found:
        lines.append(f"#### {title}: {word}\n\n" + "\n".join(f"- {one}" for one in said) + f"\n\nRule: {rule}.")
    return "\n\n".join(lines)


def setup(study, hours):
    done = study.cells.filter(pl.col("checkpoint") != "best")
    rows = []
    for corpus, model in study.places:
        of = done.filter(corpus=corpus, model=model)
        documents = study.documents.filter(corpus=corpus, model=model, split="train").select("doc_id", "seed", "copies").unique()
        one = documents.filter(seed=documents["seed"].min())
        split = ", ".join(f"{one.filter(copies=number).height} × {number}" for number in study.copies())
        test = study.documents.filter(corpus=corpus, model=model, role="test")["doc_id"].n_unique()
        rows.append([f"{model} on {corpus}", of.height, ", ".join(map(str, sorted(of["seed"].unique()))), split, test])
    often = study.documents.filter(pl.col("split") == "train", pl.col("copies") >= MANY).group_by("corpus", "seed").agg(pl.col("doc_id").n_unique())
    known = often["doc_id"].min()
    power = ", ".join(f"{percent(share)}: {percent(inference.power(known, share))}" for share in (0.1, 0.15, 0.2, 0.3))
    lines = [
        table(["model and corpus", "cells", "seeds", "training documents × copies (first seed)", "test documents"], rows),
        f"{done.height} cells; {hours:.1f} core-hours of tuning, extraction and detection, of stages that were interrupted their last process alone.",
        f"Power: of {known} documents of {MANY} copies or more, the sign test at 5% sees that a method repeats a share that the other does not, with one run each, this often: {power}.",
    ]
    return "\n\n".join(lines)


def passes(study):
    """After each pass, of each method at its chosen rate: held-out loss, exact memorization and what greedy decoding would reproduce."""
    many = [number for number in study.copies() if number >= MANY]
    rows = []
    for corpus, model in study.places:
        for name, method in study.chosen(corpus, model).items():
            mine = [row for row in study.followed.iter_rows(named=True) if study.key(row) == study.key(method.cells[0])]
            for epoch in sorted({row["epoch"] for row in mine}):
                at = [row for row in mine if row["epoch"] == epoch]
                mean = lambda rows, column: sum(row[column] for row in rows) / len(rows) if rows else math.nan
                of = lambda number: [row for row in at if row["split"] == "train" and row["copies"] == number]
                held_out = [row for row in at if row["split"] == "heldout"]
                shown = [f"{percent(mean(of(number), 'exact_memorization'))}, {percent(mean(of(number), 'extractable'))}" for number in many]
                rows.append([f"{model} on {corpus}", f"{name} at {method.at}", f"{epoch:g}", f"{mean(held_out, 'loss'):.3f}", *shown])
    return table(["model and corpus", "method", "pass", "held-out loss", *(f"{number} copies: exact, repeated" for number in many)], rows)


def what_copies_add(study):
    """How far the loss of training documents falls, by copies, beside that of test documents: of each method at its chosen rate, best and last."""
    rows = []
    for corpus, model in study.places:
        for name, method in study.chosen(corpus, model).items():
            before = {(row["doc_id"], row["seed"]): row["nats"] / row["tokens"] for row in method.untuned.rows["untuned"] if row["nats"] is not None}
            for which in ("best", "last"):
                fallen = defaultdict(list)
                for row in method.rows[which]:
                    key = row["doc_id"], row["seed"]
                    if row["nats"] is not None and key in before and (row["split"] == "train" or row["role"] == "test"):
                        fallen["test" if row["role"] == "test" else row["copies"]].append(before[key] - row["nats"] / row["tokens"])
                mean = {key: sum(values) / len(values) for key, values in fallen.items()}
                if "test" in mean:
                    rows.append([f"{model} on {corpus}", f"{name} at {method.at}", which, f"{mean['test']:.2f}", *(f"{mean[number] - mean['test']:.2f}" for number in study.copies())])
    head = ["model and corpus", "method", "checkpoint", "test documents", *(f"{number} {'copy' if number == 1 else 'copies'}" for number in study.copies())]
    return table(head, rows)
