"""What the study found: tables and sentences of RESULTS.md, from documents.parquet, cells.parquet and followed.parquet alone."""

import math
from collections import defaultdict
from functools import cached_property

import polars as pl

from study import inference

MANY = 16  # copies from which a document counts as occurring often
LEAKS = 0.05  # a share of documents up to which the paper's "near zero" holds
SIMILAR = 0.80  # the similarity that the paper says LoRA stays below
BITS_PER_WORD, WORDS = 11, 32  # of each text of pipelines/capacity.toml (scripts/random_words.py)


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


class Way:
    """A way of tuning at one learning rate, of one model on one corpus, over its seeds."""

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
        return next(way for way in self.study.ways if way.mode == "base" and (way.corpus, way.model) == (self.corpus, self.model))

    def validation(self):
        """Mean over seeds of the best held-out loss after a pass: what chooses a rate. Before the first pass all rates are the untuned model."""
        return sum(min(cell["validation_losses"][1:]) for cell in self.cells if cell["checkpoint"] == "last") / max(1, len(self.seeds()))

    def is_tuned_at(self, which):
        """Whether the checkpoint is another than the untuned model, which is the best where every pass makes held-out loss worse."""
        return which == "last" or all(cell["validation_losses"].index(min(cell["validation_losses"])) > 0 for cell in self.cells)

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
    def ways(self):
        cells = defaultdict(list)
        for row in self.cells.iter_rows(named=True):
            cells[self.key(row)].append(row)
        ways = [Way(self, key, rows) for key, rows in cells.items()]
        order = {"base": 0, "full": 1, "head": 2, "lora": 3}
        size = {row["model"]: row["parameters"] for row in self.cells.iter_rows(named=True)}
        return sorted(ways, key=lambda way: (way.corpus, size[way.model], order[way.mode], way.targets or "", way.rank or 0, way.alpha or 0, way.dropout or 0, way.rate or 0))

    def of(self, **about):
        return [way for way in self.ways if all(getattr(way, name) == value for name, value in about.items())]

    @property
    def places(self):
        return list(dict.fromkeys((way.corpus, way.model) for way in self.ways))

    def copies(self):
        return sorted(self.documents.filter(split="train")["copies"].unique())

    def families(self, corpus, model):
        """Ways that differ in the rate alone."""
        found = defaultdict(list)
        for way in self.of(corpus=corpus, model=model):
            if way.mode != "base":
                found[way.name].append(way)
        return found

    def chosen(self, corpus, model):
        """Each way of tuning at the rate with the best validation loss."""
        return {name: min(ways, key=Way.validation) for name, ways in self.families(corpus, model).items()}


def everything(study):
    """One table for each corpus and model: every way at every rate."""
    parts = []
    for corpus, model in study.places:
        copies = study.copies()
        head = ["way of tuning", "rate", "seeds", "test loss: best", "last", f"best checkpoint, ≥ {MANY} copies"]
        head += [f"last, {number} {'copy' if number == 1 else 'copies'}" for number in copies] + ["similarity ≥ 0.8, last", "AUC, last"]
        rows = []
        for way in study.of(corpus=corpus, model=model):
            which = "untuned" if way.mode == "base" else "last"
            is_tuned = way.mode != "base" and way.is_tuned_at("best")
            best = way.test_loss("best") if is_tuned else None
            similar = [row["own_similarity"] for row in way.rows[which] if row["split"] == "train" and row["copies"] >= MANY and row["own_similarity"] is not None]
            auc = None if way.mode == "base" else way.membership(which)
            rows.append([
                way.name, way.at, len(way.seeds()), "–" if best is None else f"{best:.3f}", f"{way.test_loss(which):.3f}",
                count(way.shares("best", least=MANY)) if is_tuned else "–", *(count(way.shares(which, copies=number)) for number in copies),
                f"{sum(value >= SIMILAR for value in similar)}/{len(similar)}", "–" if auc is None else f"{auc:.2f}",
            ])  # fmt: skip
        parts.append(f"**{model} on {corpus}**\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def emitted(way, seeds, which="last", least=MANY):
    """Over so many seeds, how often each document comes out."""
    found = defaultdict(int)
    for row in way.rows[which]:
        if row["split"] == "train" and row["copies"] >= least and row["seed"] in seeds:
            found[row["doc_id"]] += row["verbatim"]
    return found


def paired(first, second, which="last", least=MANY):
    """How many documents come out of the first way in more runs than of the second, in fewer, and the sign test's p-value."""
    seeds = set(first.seeds()) & set(second.seeds())
    one, other = (emitted(way, seeds, which, least) for way in (first, second))
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
    return "both ways" if any(more) else "not decided here"


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
        """Pairs of the largest and the smallest model, in the same way at the same rate."""
        study = self.study
        for corpus in dict.fromkeys(corpus for corpus, _ in study.places):
            models = [model for place, model in study.places if place == corpus]
            if len(models) < 2:
                continue
            small = {(way.name, way.rate): way for way in study.of(corpus=corpus, model=models[0], mode=mode)}
            for way in study.of(corpus=corpus, model=models[-1], mode=mode):
                if (way.name, way.rate) in small:
                    yield corpus, way, small[way.name, way.rate]

    def size(self):
        said, found = [], []
        for corpus, large, small in self.by_size("full"):
            pair = paired(large, small)
            found.append(pair)
            said.append(
                f"{corpus}, rate {large.at}: {large.model} {interval(large.shares('last', least=MANY))}; {small.model} "
                f"{interval(small.shares('last', least=MANY))}; {pair[0]} documents more, {pair[1]} fewer, p = {pair[2]:.2g}"
            )
        rule = f"the same way at the same rate, documents of {MANY} copies or more after the last pass, sign test over documents at 5%"
        return said and ("Full tuning gives back more in larger models", outcome(found), said, rule)

    def copies(self):
        said, rises = [], []
        for corpus, model in self.study.places:
            way = self.study.chosen(corpus, model).get("full")
            if not way:
                continue
            found = [way.shares("last", copies=number) for number in self.study.copies()]
            said.append(f"{model} on {corpus}, rate {way.at}: " + ", ".join(f"{number}: {interval(one)}" for number, one in zip(self.study.copies(), found)))
            rises.append(found[-1][2] > found[0][3])
        for corpus, model in self.study.places:
            for way in self.study.of(corpus=corpus, model=model, mode="full"):
                found = [way.shares("last", copies=number) for number in self.study.copies()]
                rises.append(found[-1][2] > found[0][3])
        rule = "the interval of the most copies lies above that of one copy; at the rate with the best validation loss, and, for the outcome, at any rate"
        return said and ("Full tuning gives back more of what occurs more often", "reproduced" if any(rises) else "not decided here", said, rule)

    def near_zero(self):
        said, over, under = [], 0, 0
        for corpus, model in self.study.places:
            ways = [way for mode in ("head", "lora") for way in self.study.of(corpus=corpus, model=model, mode=mode)]
            found = [(way, way.shares("last", least=MANY)) for way in ways]
            over += sum(one[2] > LEAKS for _, one in found)
            under += sum(one[3] <= LEAKS for _, one in found)
            if found:
                way, most = max(found, key=lambda pair: pair[1][0] / pair[1][1])
                said.append(f"{model} on {corpus}: most by {way.name} at {way.at}: {interval(most)}; {sum(one[0] == 0 for _, one in found)} of {len(found)} ways and rates give back none")
        rule = f"contradicted where some way at some rate gives back more than {percent(LEAKS)} of the documents of {MANY} copies or more, by its whole interval"
        return said and ("Head-only and LoRA tuning stay near zero at every size and number of copies", "contradicted" if over else "reproduced" if under else "not decided here", said, rule)

    def similarity(self):
        said, over = [], []
        for corpus, model in self.study.places:
            found = [(way, way.similarity("last", MANY)) for way in self.study.of(corpus=corpus, model=model, mode="lora")]
            found = [(way, one) for way, one in found if one]
            if found:
                way, (mean, low, high) = max(found, key=lambda pair: pair[1][0])
                over.append(low > SIMILAR)
                said.append(f"{model} on {corpus}: highest mean by {way.name} at {way.at}: {mean:.2f} ({low:.2f}–{high:.2f})")
        rule = f"contradicted where the mean similarity to the own document, of {MANY} copies or more, is over {SIMILAR} by its whole interval at some rank, alpha and rate"
        return said and ("LoRA’s generations stay below a similarity of 0.80 at every rank and alpha", "contradicted" if any(over) else "reproduced", said, rule)

    def usefulness(self):
        said, kept = [], []
        for corpus, model in self.study.places:
            chosen = self.study.chosen(corpus, model)
            loras = [way for way in chosen.values() if way.mode == "lora"]
            if "full" not in chosen or not loras:
                continue
            full, lora = chosen["full"], min(loras, key=Way.validation)
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
        word = "not decided here" if not kept else "reproduced" if all(kept) else "contradicted" if not any(kept) else "both ways"
        rule = "LoRA at its best keeps at least 90% of what full tuning at its best gains on test text, wherever both gain"
        return said and ("LoRA loses little usefulness against full tuning", word, said, rule)

    def same_loss(self):
        """LoRA's last checkpoints against full tuning of the same test loss, read off the line through full tuning's last checkpoints by loss."""
        said, less, more = [], 0, 0
        for corpus, model in self.study.places:
            line = sorted((way.test_loss("last"), way.shares("last", least=MANY)) for way in self.study.of(corpus=corpus, model=model, mode="full"))
            for way in self.study.of(corpus=corpus, model=model, mode="lora"):
                loss, found = way.test_loss("last"), way.shares("last", least=MANY)
                around = next(((low, high) for low, high in zip(line, line[1:]) if low[0] <= loss <= high[0]), None)
                if not around:
                    continue
                (low, at_low), (high, at_high) = around
                part = (loss - low) / (high - low)
                expected = (1 - part) * at_low[0] / at_low[1] + part * at_high[0] / at_high[1]
                less += found[3] < expected
                more += found[2] > expected
                said.append(f"{model} on {corpus}: {way.name} at {way.at}: loss {loss:.3f}, {interval(found)}; full tuning of that loss: {percent(expected)}")
        rule = (
            "LoRA at every rate whose test loss after the last pass lies within those of full tuning’s rates; an outcome counts where LoRA’s whole interval is "
            "on one side of full tuning’s share, which has no interval of its own here. On abstracts every pass makes the loss worse: the same loss is the same harm"
        )
        word = "not decided here" if not less + more else "reproduced" if not more else "contradicted" if not less else "both ways"
        return said and ("At the same test loss LoRA gives back less than full tuning", word, said, rule)

    def better_full(self):
        """Whether full tuning at some rate and checkpoint is no worse on either count."""
        said, better, total = [], 0, 0
        for corpus, model in self.study.places:
            ways = self.study.of(corpus=corpus, model=model, mode="full")
            full = [(way, which, way.test_loss(which), way.shares(which, least=MANY)) for way in ways for which in way.points()]
            for way in self.study.chosen(corpus, model).values():
                for which in way.points() if way.mode == "lora" else ():
                    loss, found = way.test_loss(which), way.shares(which, least=MANY)
                    rivals = [one for one in full if one[2] <= loss and one[3][0] / one[3][1] <= found[0] / found[1]]
                    total += 1
                    better += bool(rivals)
                    line = f"{model} on {corpus}: {way.name} at {way.at}, {which}: loss {loss:.3f}, {interval(found)}"
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
        word = "reproduced" if better == total else "contradicted" if not better else "both ways"
        return total and ("Full tuning at a low rate is as good on both counts", word, said, rule)

    def membership(self):
        said, visible = [], []
        for corpus, model in self.study.places:
            for which in ("best", "last"):
                found = [(way, way.membership(which)) for way in self.study.chosen(corpus, model).values() if which in way.points()]
                if found:
                    said.append(f"{model} on {corpus}, {which} checkpoints: " + ", ".join(f"{way.name} {auc:.2f}" for way, auc in found))
                visible += [auc for way, auc in found if way.mode == "lora"]
        rule = "reproduced where the AUC of LoRA, at its best rate, is over 0.7 everywhere; by loss against the untuned model’s, over all training documents"
        return said and ("LoRA still gives membership away (published: AUC up to 0.775)", "reproduced" if min(visible) > 0.7 else "both ways" if max(visible) > 0.7 else "contradicted", said, rule)

    def settings(self, title, rule, pick, expect_more):
        """Pairs of LoRA cells of one model that differ in one setting: (larger, smaller)."""
        said, found = [], []
        for corpus, model in self.study.places:
            ways = self.study.of(corpus=corpus, model=model, mode="lora")
            for one, other in pick(ways):
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
        def pick(ways):
            plain = [way for way in ways if way.where == "all" and not way.dropout and way.alpha == 2 * way.rank]
            for rate in dict.fromkeys(way.rate for way in plain):
                ranked = sorted((way for way in plain if way.rate == rate), key=lambda way: way.rank)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A higher rank remembers more", self.RULE, pick, True)

    def targets(self):
        def pick(ways):
            alike = {(way.where, way.rate): way for way in ways if way.rank == 16 and not way.dropout and way.alpha == 32}
            for (where, rate), way in alike.items():
                if where not in ("all", "MLP") and ("MLP", rate) in alike:
                    yield alike["MLP", rate], way

        return self.settings("LoRA on the MLP remembers more than on attention", self.RULE, pick, True)

    def alpha(self):
        def pick(ways):
            alike = [way for way in ways if way.where == "all" and way.rank == 16 and not way.dropout]
            for rate in dict.fromkeys(way.rate for way in alike):
                ranked = sorted((way for way in alike if way.rate == rate), key=lambda way: way.alpha)
                yield from ((larger, smaller) for smaller, larger in zip(ranked, ranked[1:]))

        return self.settings("A larger alpha remembers more", self.RULE, pick, True)

    def dropout(self):
        def pick(ways):
            for way in ways:
                if way.dropout:
                    yield from ((way, other) for other in ways if (other.where, other.rank, other.alpha, other.rate, other.dropout or 0) == (way.where, way.rank, way.alpha, way.rate, 0))

        return self.settings("Dropout in LoRA helps against it", self.RULE, pick, False)

    def passes(self):
        early = late = 0
        for corpus, model in self.study.places:
            for way in self.study.of(corpus=corpus, model=model):
                if way.mode == "base" or not way.is_tuned_at("best"):
                    continue
                known = [{(row["doc_id"], row["seed"]) for row in way.rows[which] if row["split"] == "train" and row["verbatim"]} for which in ("best", "last")]
                early, late = early + len(known[0] & known[1]), late + len(known[1])
        if not late:
            return None
        said = [f"of {late} documents that come out after the last pass, over all ways and runs of which some pass made held-out loss better, {early} ({percent(early / late)}) come out at the checkpoint with the best validation loss already"]
        rule = "reproduced where at least half are known by then"
        return "What is remembered is there before held-out loss is best", "reproduced" if early >= late / 2 else "contradicted", said, rule


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
    known = study.documents.filter(pl.col("split") == "train", pl.col("copies") >= MANY)["doc_id"].n_unique() / max(1, len({corpus for corpus, _ in study.places}))
    power = ", ".join(f"{percent(share)}: {percent(inference.power(round(known), share))}" for share in (0.1, 0.15, 0.2, 0.3))
    lines = [
        table(["model and corpus", "cells", "seeds", "training documents × copies (first seed)", "test documents"], rows),
        f"{done.height} cells; {hours:.1f} core-hours of tuning, extraction and detection, of stages that were interrupted their last process alone.",
        f"Power: of {known:.0f} documents of {MANY} copies or more, the sign test at 5% sees that a way gives back a share that the other does not, with one run each, this often: {power}.",
    ]
    return "\n\n".join(lines)


def capacity(study):
    """Bits that each way holds of random words: what it saves of 11 bits a word, over all documents of a corpus; and a parameter that it changes."""
    rows = []
    ways = [way for way in study.ways if way.mode != "base"]
    corpora = sorted({way.corpus for way in ways}, key=lambda name: int(name.lstrip("r")))
    for name in dict.fromkeys((way.name, way.at) for way in ways):
        held = []
        for corpus in corpora:
            [way] = [way for way in ways if way.corpus == corpus and (way.name, way.at) == name]
            known = [row for row in way.rows["last"] if row["split"] == "train" and row["nats"] is not None]
            # A row of words has a token for each but the first, which may have several; the words are what is random.
            saved = sum(BITS_PER_WORD * WORDS - row["nats"] / math.log(2) for row in known)
            held.append((max(0.0, saved), BITS_PER_WORD * WORDS * len(known), way.cells[0]["trainable_parameters"]))
        most = max(bits for bits, _, _ in held)
        parameters = held[0][2]
        rows.append([name[0], name[1], f"{parameters:,}", *(f"{bits / 1000:,.0f} of {text / 1000:,.0f}" for bits, text, _ in held), f"{most / parameters:.2f}"])
    head = ["way of tuning", "rate", "parameters changed", *(f"{name[1:]} texts, thousand bits" for name in corpora), "most bits a parameter"]
    return table(head, rows)


def passes(study):
    """After each pass, of each way at its chosen rate: held-out loss, exact memorization and what greedy decoding would give back."""
    many = [number for number in study.copies() if number >= MANY]
    rows = []
    for corpus, model in study.places:
        for name, way in study.chosen(corpus, model).items():
            mine = [row for row in study.followed.iter_rows(named=True) if study.key(row) == study.key(way.cells[0])]
            for epoch in sorted({row["epoch"] for row in mine}):
                at = [row for row in mine if row["epoch"] == epoch]
                mean = lambda rows, column: sum(row[column] for row in rows) / len(rows) if rows else math.nan
                of = lambda number: [row for row in at if row["split"] == "train" and row["copies"] == number]
                held_out = [row for row in at if row["split"] == "heldout"]
                shown = [f"{percent(mean(of(number), 'exact_memorization'))}, {percent(mean(of(number), 'extractable'))}" for number in many]
                rows.append([f"{model} on {corpus}", f"{name} at {way.at}", f"{epoch:g}", f"{mean(held_out, 'loss'):.3f}", *shown])
    return table(["model and corpus", "way of tuning", "pass", "held-out loss", *(f"{number} copies: exact, given back" for number in many)], rows)


def what_copies_add(study):
    """How far the loss of training documents falls, by copies, beside that of test documents: of each way at its chosen rate, best and last."""
    rows = []
    for corpus, model in study.places:
        for name, way in study.chosen(corpus, model).items():
            before = {(row["doc_id"], row["seed"]): row["nats"] / row["tokens"] for row in way.untuned.rows["untuned"] if row["nats"] is not None}
            for which in ("best", "last"):
                fallen = defaultdict(list)
                for row in way.rows[which]:
                    key = row["doc_id"], row["seed"]
                    if row["nats"] is not None and key in before and (row["split"] == "train" or row["role"] == "test"):
                        fallen["test" if row["role"] == "test" else row["copies"]].append(before[key] - row["nats"] / row["tokens"])
                mean = {key: sum(values) / len(values) for key, values in fallen.items()}
                if "test" in mean:
                    rows.append([f"{model} on {corpus}", f"{name} at {way.at}", which, f"{mean['test']:.2f}", *(f"{mean[number] - mean['test']:.2f}" for number in study.copies())])
    head = ["model and corpus", "way of tuning", "checkpoint", "test documents", *(f"{number} {'copy' if number == 1 else 'copies'}" for number in study.copies())]
    return table(head, rows)
