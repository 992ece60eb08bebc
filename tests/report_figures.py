"""Every row of summary.parquet, computed from the files of a run that the report reads, and from nothing that it writes.

`expected(run)` reads cells/*/cell.toml, the Parquet files of cells and corpora, and the settings that the report was given. It gives for
each key (see `KEY`) the row that must stand there. The rules are those of the report's documentation.
"""

import math
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

import report_statistics as statistics
from report_cells import (
    RATES,
    SCORES,
    Checkpoint,
    Corpus,
    Estimate,
    bounds_of,
    counted,
    kind_of,
    of_documents,
    of_runs,
    of_share,
    picked_measure,
    plain_mean_of_runs,
    unit_of,
    NOT_BY_COPIES,
    OF_CANARIES,
    without_end,
)

# What tells rows of summary.parquet apart.
SETTINGS = "mode rank alpha dropout targets dora rslora learning_rate epochs".split()
KEY = f"cell corpus model {' '.join(SETTINGS)} checkpoint layout copies seed split strategy epoch measure against".split()

LEVEL, MAX_ROOM, NEAR_ZERO, LITTLE, PAPER_SIMILARITY = 0.05, 0.2, 0.05, 0.1, 0.8
BY_CHANCE = "some repetition, perhaps by chance"
REPEATS = "some repetition, perhaps by chance; membership visible"
VISIBLE = ("no repetition found, membership visible", "some repetition, perhaps by chance; membership visible")
VERDICTS = ("nothing found", "not enough data", "not settled", "no repetition found, membership visible", BY_CHANCE, REPEATS, "leaks")
ORDINARY = ("question", "opening", "file", "nothing")
# Of these the interval is one of resampled checkpoints: the value must lie in it, and its ends are not computed here.
RESAMPLED = {"equal_loss", "own_verbatim_at_equal_loss_falling", "own_verbatim_at_equal_loss_rising"}


@dataclass
class Row:
    """What one row of summary.parquet must say."""

    estimate: Estimate
    unit: str
    untuned: Estimate | None = None
    control: Estimate | None = None
    p_value: float | None = None
    p_holm: float | None = None
    verdict: str | None = None
    # Filled in from what the row is about.
    method: str = ""
    parameters: int = 0
    trainable_parameters: int = 0
    runs: int = 1


@dataclass(frozen=True)
class Place:
    """Where a figure stands among those of a subject."""

    measure: str
    split: str | None = None
    strategy: str | None = None
    copies: int | None = None
    against: str | None = None
    epoch: float | None = None


def layout_of(cell):
    """What the cell says, or else what the name of its corpus does: `uniform16-s1` is uniform, of 16 copies."""
    if cell.get("layout") is not None:
        return cell["layout"], cell.get("uniform_copies")
    name = re.sub(r"-canaries$", "", re.sub(r"-s\d+$", "", cell["corpus"]))
    found = re.fullmatch(r"uniform-*(\d+)", name)
    return ("uniform", int(found[1])) if found else (name, None)


class Group:
    """Training runs that differ in their seed alone, at one of their checkpoints."""

    def __init__(self, checkpoints):
        first = checkpoints[0]
        self.cell, self.which, self.base = first.cell, first.which, first.base
        self.model, self.corpus, self.layout, self.uniform = first.cell["model"], first.cell.get("corpus_name"), *layout_of(first.cell)
        self.runs = defaultdict(lambda: [None, None])
        for checkpoint in checkpoints:
            self.runs[checkpoint.cell["seed"]][checkpoint.apart] = checkpoint
        self.runs = dict(sorted(self.runs.items()))
        self.checkpoints = checkpoints

    @cached_property
    def subjects(self):
        """One for all runs, and where there are several, one for each."""
        everyone = Subject(self, list(self.runs.values()), None)
        if len(self.runs) == 1:
            return [Subject(self, list(self.runs.values()), next(iter(self.runs)))]
        return [everyone, *(Subject(self, [run], seed) for seed, run in self.runs.items())]

    @property
    def pooled(self):
        return self.subjects[0]

    @property
    def of_runs(self):
        return self.subjects if len(self.subjects) == 1 else self.subjects[1:]

    @property
    def failed(self):
        return any(status == "blocking" for checkpoint in self.checkpoints for status, _ in checkpoint.checks.values())


class Subject:
    def __init__(self, group, runs, seed):
        self.group, self.runs, self.seed = group, runs, seed
        only = runs[0][0] or runs[0][1]
        self.cell = only.name if seed is not None else None
        self.rows = {}

    @property
    def documents(self):
        return [run[0] for run in self.runs if run[0]]

    @property
    def everything(self):
        return [cell for run in self.runs for cell in run if cell]

    def put(self, place, row):
        """Of two rows in one place the first stays."""
        self.rows.setdefault(replace(place, copies=self.group.uniform if self.group.uniform is not None and place.measure[:12] != "paper_claim_" else place.copies), row)

    def get(self, measure, split, strategy=None, copies=None, against=None):
        copies = self.group.uniform if self.group.uniform is not None else copies
        return self.rows.get(Place(measure, split, strategy, copies, against))


def mode_name(mode):
    return {"base": "untuned", "head": "head-only", "lora": "LoRA", "tuned": "audited model"}.get(mode, mode)


def number(value):
    """As a label has it: 16, 0.05."""
    return f"{value:g}" if float(value).is_integer() else repr(float(value))


def scientific(value):
    digits, exponent = f"{value:.16e}".split("e")
    digits, exponent = repr(float(f"{value:e}") / 10.0 ** int(exponent)), int(exponent)
    return f"{number(float(digits))}e{exponent}"


def parts(cell):
    """The settings that may tell a method from others of its mode, as a label says them."""
    targets = cell.get("targets") or ""
    if targets:
        targets = targets.replace(",", "+") if targets.count(",") < 2 else f"{targets.count(',') + 1} modules"
    epochs = cell.get("epochs")
    return [
        f"r{cell['rank']}" if cell.get("rank") is not None else "",
        targets,
        *(f"{name} {number(cell[name])}" if cell.get(name) is not None else "" for name in ("alpha", "dropout")),
        {True: "DoRA", False: "no DoRA", None: ""}[cell.get("dora")],
        {True: "rsLoRA", False: "no rsLoRA", None: ""}[cell.get("rslora")],
        cell.get("patterns") or "",
        "" if epochs is None else f"{number(epochs)} epoch{'' if epochs == 1 else 's'}",
    ]


def settings(cell, rate=True):
    names = [*SETTINGS, "patterns"]
    return tuple(cell.get(name) for name in names if rate or name != "learning_rate")


def method_order(cell):
    modes = ("base", "full", "head", "lora")
    return (
        modes.index(cell["mode"]) if cell["mode"] in modes else len(modes),
        cell["mode"],
        cell.get("rank") or 0,
        cell.get("targets") or "",
        *(cell.get(name) or 0 for name in ("alpha", "dropout")),
        str(cell.get("dora")),
        str(cell.get("rslora")),
        cell.get("patterns") or "",
        *(cell.get(name) or 0 for name in ("epochs", "learning_rate")),
    )


class Experiment:
    """A model on one corpus in one layout of copies: the untuned model and the ways of tuning."""

    def __init__(self, groups):
        self.groups, self.untuned = groups, [group for group in groups if group.base]
        self.model, self.corpus, self.layout, self.parameters = groups[0].model, groups[0].corpus, groups[0].layout, groups[0].parameters
        self._name()
        self.families = {}
        for group in groups:
            if not group.base:
                rates = self.families.setdefault((group.family, group.cell["mode"]), {})
                rates.setdefault(group.cell.get("learning_rate"), {"best": [], "last": []})["best" if group.which == "best" else "last"].append(group)
        with_documents = [cell for group in groups for cell in group.pooled.documents]
        every = [cell for group in groups for cell in group.pooled.everything]
        of_canaries = [run[1] or run[0] for group in groups for run in group.pooled.runs]
        self.canary_copies = sorted({copies for cell in of_canaries if cell for copies in cell.copies(OF_CANARIES.fullmatch)})
        self.copies = sorted({copies for cell in with_documents or every for copies in cell.copies(lambda measure: not OF_CANARIES.fullmatch(measure))})
        self.copies = self.copies or self.canary_copies
        self.strategies = {}
        for cell in with_documents:
            for sample in cell.samples:
                known = self.strategies.setdefault(sample["strategy"], {"form": sample["form"], "greedy": sample["temperature"] == 0})
                if known["form"] == "nothing":
                    known["form"] = sample["form"]
        plain = [name for name, known in self.strategies.items() if known["form"] in ("prefix", "nothing")]
        greedy = [name for name in plain if self.strategies[name]["greedy"]]
        self.strategy = next(iter([*greedy, *plain, *self.strategies]), "")

    def _name(self):
        for group in self.groups:
            others = [other for other in self.groups if other.cell["mode"] == group.cell["mode"]]
            own = parts(group.cell)
            named = [part for place, part in enumerate(own) if part and (place == 6 or any(parts(other.cell)[place] != part for other in others))]
            group.family = mode_name(group.cell["mode"]) + (" " + ", ".join(named) if named else "")
            rate = group.cell.get("learning_rate")
            several = any(
                settings(other.cell, rate=False) == settings(group.cell, rate=False) and other.cell.get("learning_rate") != rate for other in self.groups
            )
            group.method = group.family + (f", learning rate {scientific(rate)}" if several and rate is not None else "")
            copies = "" if group.uniform is None else f", {group.uniform} {'copy' if group.uniform == 1 else 'copies'}"
            group.label = group.method + copies + (f", {group.which}" if group.which in ("best", "last") else "")

    def most(self, group):
        return group.uniform if group.uniform is not None else (self.copies[-1] if self.copies else None)

    def most_of_canaries(self, group):
        return group.uniform if group.uniform is not None else (self.canary_copies[-1] if self.canary_copies else None)

    @property
    def every_group(self):
        tuned = [group for rates in self.families.values() for both in rates.values() for group in both["best"] + both["last"]]
        return self.untuned + tuned

    @property
    def points(self):
        has_both = any(both["best"] for rates in self.families.values() for both in rates.values())
        return ["best", "last"] if has_both else ["last"]

    def rates_of(self, family):
        return [self.families[family][rate] for rate in sorted(self.families[family], key=lambda rate: rate or 0)]

    @staticmethod
    def at(both, point):
        return both["best"] if point == "best" and both["best"] else both["last"]

    def chosen_rate(self, family):
        """The rate with the lowest validation loss at its best checkpoint, and of equal ones, as of the untuned model, at its last."""

        def loss(group):
            for measure in ("validation_loss", "loss", "logged_validation_loss"):
                row = group.pooled.get(measure, "heldout")
                if row:
                    return row.estimate.value
            return None

        def mean_loss(groups):
            losses = [value for group in groups if (value := loss(group)) is not None]
            return sum(losses) / len(losses) if losses else math.inf

        return min(self.rates_of(family), key=lambda both: [mean_loss(self.at(both, point)) for point in ("best", "last")])

    def chosen(self, point):
        return [(family, group) for family in self.families for group in self.at(self.chosen_rate(family), point)]


class Run:
    def __init__(self, folder):
        told = tomllib.loads((folder / "report" / "report.toml").read_text())
        self.resamples, self.seed = told.get("report", {}).get("resamples", 1000), (told.get("seeds") or [0])[0]
        corpora = {}

        def corpus(name):
            if name not in corpora:
                corpora[name] = Corpus(folder / "corpus" / name)
            return corpora[name]

        answers = ("samples", "scores", "matches", "verdicts")

        def has_best(cell):
            return any((cell / "best" / f"{name}.parquet").exists() for name in answers)

        def best_is_last(cell):
            both = [[asked / f"{name}.parquet" for name in answers] for asked in (cell, cell / "best")]
            return all(
                last.exists() == best.exists() and (not last.exists() or pl.read_parquet(last).equals(pl.read_parquet(best))) for last, best in zip(*both)
            )

        self.checkpoints = []
        cells = sorted(path.parent for path in folder.glob("cells/*/cell.toml"))
        # Where the best checkpoint of every cell is its last, one stands for both.
        asked = ("best and last",) if all(best_is_last(cell) for cell in cells if has_best(cell)) else ("best", "last")
        for cell in cells:
            for which in asked if has_best(cell) else (None,):
                self.checkpoints.append(Checkpoint(cell, which, corpus))
        for checkpoint in self.checkpoints:
            of_same = [[other.cell.get(name) == checkpoint.cell.get(name) for name in ("model", "corpus_name")] for other in self.checkpoints]
            alike = [other for other, same in zip(self.checkpoints, of_same) if other.base and all(same)]
            alike.sort(key=lambda other: other.cell["corpus"] != checkpoint.cell["corpus"])
            checkpoint.alike = alike
            checkpoint.of_corpus = [other for other in self.checkpoints if other.cell["corpus"] == checkpoint.cell["corpus"]]
            checkpoint.untuned = alike[0] if alike and not checkpoint.base else None
            own = [other for other in self.checkpoints if other.which == checkpoint.which and way_of_tuning(other.cell) == way_of_tuning(checkpoint.cell)]
            checkpoint.other_seeds = [] if checkpoint.base else [other for other in own if other.cell["seed"] != checkpoint.cell["seed"]]
        for checkpoint in self.checkpoints:
            checkpoint.checks = Checks(self, checkpoint).made()
        self._group()

    def _group(self):
        sizes = {}
        for checkpoint in self.checkpoints:
            cell = checkpoint.cell
            sizes[cell["model"]] = min(cell["parameters"], sizes.get(cell["model"], cell["parameters"]))
        members = defaultdict(list)
        for checkpoint in self.checkpoints:
            cell = checkpoint.cell
            layout, uniform = layout_of(cell)
            order = (-sizes[cell["model"]], cell["model"], cell.get("corpus_name") or "", layout, method_order(cell), uniform or 0, checkpoint.which is not None, checkpoint.which == "last")
            members[order].append(checkpoint)
        self.groups = [Group(members[order]) for order in sorted(members)]
        for group in self.groups:
            group.parameters = sizes[group.model]
        together = {}
        for group in self.groups:
            together.setdefault((group.model, group.corpus, group.layout), []).append(group)
        self.experiments = [Experiment(groups) for groups in together.values()]

    def p_paired(self, first, second):
        """On the documents that both have."""
        pairs = [(tally, second[doc]) for doc, tally in first.items() if doc in second]
        return statistics.paired_exceeds(pairs, self.resamples, self.seed)

    def p_own(self, cell, strategy, copies, measure="own_verbatim"):
        """Against the untuned model and the control: of all documents where copies were drawn, else of the same documents."""
        drawn = layout_of(cell.cell)[0] == "bucketed"
        found = cell.by_document(measure, "train", strategy, copies)
        place = ("train", strategy, None if drawn else copies)
        others = [cell.untuned.by_document(measure, *place)] if cell.untuned else []
        control, _ = cell.control_measure(measure, "train", strategy)
        others.append(cell.by_document(control, *place))
        if drawn:
            return largest(statistics.fisher(touched(found), touched(other)) for other in others)
        return largest(self.p_paired(found, other) for other in others)


def largest(values):
    """The largest p-value: a figure has to exceed each of its controls."""
    return max((value for value in values if value is not None), default=None)


def exact_and_uncounted(cell, split, strategy):
    """Documents of which a generation begins exactly as they go on and counts as no repetition, of those that go on with a few characters."""
    found = {}
    for sample in cell.samples:
        truth, verdict = without_end(sample["truth"]), sample["verdict"]
        if sample["split"] == split and sample["strategy"] == strategy and sample["doc_id"] is not None and truth:
            repeats = verdict["own_verdict" if split == "train" else "control_verdict"] or verdict["verdict"]
            exact = sample["generation"].lstrip().startswith(truth[:60]) and repeats != "verbatim"
            found[sample["doc_id"]] = found.get(sample["doc_id"], False) or exact
    return sum(found.values()), len(found)


def exact_by_chance(cell, strategy, copies):
    """How many documents would go on exactly if generations were dealt out anew among the documents, rounded up, and of how many."""
    asked = [(sample["doc_id"], without_end(sample["truth"])[:60], sample) for sample in cell.samples
             if sample["split"] == "train" and sample["strategy"] == strategy and sample["doc_id"] is not None and without_end(sample["truth"])]
    documents, begins = {doc for doc, *_ in asked}, {}
    if len(documents) < 2:
        return None
    for doc, _, sample in asked:
        if copies in (None, sample["copies"]):
            generation = sample["generation"].lstrip()
            begins.setdefault(doc, set()).update(other for other, text, _ in asked if other != doc and generation.startswith(text))
    expected = sum(len(others) for others in begins.values()) / (len(documents) - 1)
    return (math.ceil(expected), len(begins)) if begins else None


def p_exact(run, cell, copies, strategy):
    """Beside unseen documents, which there must be, the untuned model, and other documents' texts."""
    if not cell.by_document("exact_continuation", "heldout", strategy, None):
        return None
    beside = p_beside_held_out(run, cell, "exact_continuation", copies, strategy)
    chance = exact_by_chance(cell, strategy, copies)
    if beside is None or chance is None:
        return None
    return max(beside, statistics.fisher(touched(cell.by_document("exact_continuation", "train", strategy, copies)), chance))


def touched(documents):
    return sum(part > 0 for part, _ in documents.values()), len(documents)


def way_of_tuning(cell):
    """All that is the same in runs that differ in their seed alone."""
    return {key: value for key, value in cell.items() if key not in ("name", "corpus", "seed")}


class Checks:
    """The checks of plausibility of one checkpoint: for each that could be made, how it ended and of how many."""

    def __init__(self, run, cell):
        self.run, self.cell = run, cell

    def made(self):
        cell, found = self.cell, {"finite": self.finite()}
        if not cell.base:
            found["differs_from_untuned"] = self.differs_from_untuned()
            if cell.forms is not None or cell.cell.get("learning_rate") is None:
                found["text_form"] = self.text_form()
            found["tuned_text_likelier"] = self.tuned_text_likelier()
            if not cell.apart:
                for check in (
                    self.members_likelier, self.control_apart, self.one_kind, self.untuned_is_control, self.exact_continuations, self.other_words, self.memorized_elsewhere,
                    self.rate_and_membership, self.documents_asked, self.answers_asked, self.documents_cut, self.corpus_read,
                ):  # fmt: skip
                    found[check.__name__] = check()
            if cell.cell.get("noise_multiplier") is not None:
                found["privacy_holds"] = self.privacy_holds()
        return {name: result for name, result in found.items() if result is not None}

    def finite(self):
        cell = self.cell
        everything = len(cell.samples) + len(cell.scores or ()) + cell.not_finite
        odd = sum(not all(map(math.isfinite, sample["logprobs"])) for sample in cell.samples)
        if odd + cell.not_finite:
            return "blocking", everything
        if not everything:
            return None
        prompted = [sample["generation"].strip() for sample in cell.samples if sample["split"] == "train"]
        if prompted and not any(prompted):
            return "blocking", len(prompted)
        return "passed", everything

    def _paired(self, *splits):
        """(tokens, nats, untuned nats) of whole documents that both models scored over equally many tokens."""
        untuned = {}
        for other in self.cell.alike:
            for score in other.scores or ():
                if score.whole:
                    untuned.setdefault((score.doc_id, score.tokens), score.nats)
        return [
            (score.tokens, score.nats, untuned[score.doc_id, score.tokens])
            for split in splits
            for score in self.cell.scores or ()
            if score.whole and score.split == split and (score.doc_id, score.tokens) in untuned
        ]

    @staticmethod
    def _differ(paired):
        return any(abs(tuned - untuned) > 1e-4 * tokens for tokens, tuned, untuned in paired)

    def differs_from_untuned(self):
        paired = self._paired("train", "heldout")
        return ("passed" if self._differ(paired) else "blocking", len(paired)) if paired else None

    def text_form(self):
        chosen = next((form for form in self.cell.forms or () if form["chosen"]), None)
        if chosen is None:
            return None
        forms, documents = self.cell.forms, max(chosen["documents"], 0)
        others = [form["loss"] for form in forms if (form["begin"], form["template"]) != (chosen["begin"], chosen["template"])]
        if not all(math.isfinite(form["loss"]) for form in forms) or any(loss < chosen["loss"] - 0.05 for loss in others):
            return "blocking", documents
        if chosen["base_loss"] is not None and chosen["loss"] >= chosen["base_loss"] - 0.05:
            return "blocking" if chosen["loss"] >= chosen["base_loss"] else "warning", documents
        close = any(abs(loss - chosen["loss"]) <= 0.01 for loss in others)
        return "warning" if close else "passed", documents

    def tuned_text_likelier(self):
        paired = self._paired("train")
        if not paired:
            area = self.cell.separations.get(("loss", None), (None,))[0]
            if area is None:
                return None
            low, high = area.ends or (area.value, area.value)
            return ("passed" if low > 0.5 else "blocking", area.observations) if low > 0.5 or high < 0.5 else None
        if not self._differ(paired):
            return None
        change = of_documents([(tuned - untuned, float(tokens)) for tokens, tuned, untuned in paired], "mean")
        return "passed" if (change.high if change.ends else change.value) < 0 else "blocking", len(paired)

    def members_likelier(self):
        separations = self.cell.separations
        area = (separations.get(("reference", None)) or separations.get(("loss", None)) or (None,))[0]
        if area is None:
            return None
        return "blocking" if area.ends and area.high < 0.5 else "passed", area.observations

    def control_apart(self):
        cell, corpus = self.cell, self.cell.corpus
        held_out = corpus.counts["documents"]
        if held_out == 0:
            gone = sum(fact["documents"] or 0 for fact in corpus.of_kind("left_out") if fact["split"] == "heldout")
            return ("blocking", gone) if gone else None
        shared, given = (corpus.near_duplicates or 0) + corpus.also_trained, held_out + corpus.also_trained
        if shared and shared >= 0.5 * given:
            return "blocking", given
        strategy, area = self._headline(), cell.separations.get(("loss", None), (None,))[0]
        if strategy is None or area is None or not (area.ends and area.low <= 0.5):
            return "passed", held_out
        return "blocking" if any(self._repeats_held_out(split, strategy) for split in ("train", "heldout")) else "passed", held_out

    def _repeats_held_out(self, split, strategy):
        place = (split, strategy, None)
        found, trained = (self.cell.estimate(measure, *place) for measure in ("control_verbatim", "verbatim"))
        if not found or not trained:
            return False
        untuned = next((value for other in self.cell.alike if (value := other.estimate("control_verbatim", *place))), None)
        if untuned is None:
            over = bool(found.ends) and found.low > 0.05
        else:
            over = bool(found.ends and untuned.ends) and statistics.mover(found.value, found.ends, untuned.value, untuned.ends)[0] > 0
        return over and found.value >= 0.5 * trained.value

    def one_kind(self):
        area = self.cell.separations.get(("words", None), (None,))[0]
        if area is None:
            return None
        p_value = statistics.mann_whitney(*self.cell.members_and_others("words", None))
        return "warning" if area.value >= 0.6 and p_value is not None and p_value <= 0.01 else "passed", area.observations

    def untuned_is_control(self):
        strategy, untuned = self._headline(), same_corpus(self.cell.alike, self.cell)
        if strategy is None or untuned is None:
            return None

        def counted(cell, is_so):
            found = {}
            for sample in cell.samples:
                if sample["split"] == "train" and sample["strategy"] == strategy and is_so(sample["verdict"]) is not None:
                    found[sample["doc_id"]] = found.get(sample["doc_id"], False) or is_so(sample["verdict"])
            return sum(found.values()), len(found)

        def own(verdict):
            return None if verdict["own_verdict"] is None else verdict["own_verdict"] == "verbatim" and not verdict["boilerplate"]

        def of_control(verdict):
            return None if verdict["control_verdict"] is None else verdict["control_verdict"] == "verbatim"

        before, after = (counted(cell, own) for cell in (untuned, self.cell))
        if not before[1]:
            return None
        p_value = statistics.fisher(before, counted(untuned, of_control))
        if not (before[0] >= 3 and before[0] >= 0.05 * before[1] if p_value is None else p_value <= 0.01):
            return "passed", before[1]
        return "blocking" if 2 * before[0] * after[1] >= after[0] * before[1] else "warning", before[1]

    def exact_continuations(self):
        untuned, tests = same_corpus(self.cell.alike, self.cell), []
        for strategy in dict.fromkeys(sample["strategy"] for sample in self.cell.samples if sample["split"] == "train"):
            found = exact_and_uncounted(self.cell, "train", strategy)
            others = [exact_and_uncounted(self.cell, "heldout", strategy)] + ([exact_and_uncounted(untuned, "train", strategy)] if untuned else [])
            others = [control for control in others if control[1]]
            chance = exact_by_chance(self.cell, strategy, None)
            if found[1]:
                p_value = largest(statistics.fisher(found, control) for control in [*others, *([chance] if chance else [])])
                tests.append((found, p_value, bool(others)))

        def more(found, p_value, controlled):
            unlikely = p_value is None or p_value <= LEVEL / len(tests)
            return unlikely and ((p_value is not None and controlled) or (found[0] >= 3 and found[0] >= 0.05 * found[1]))

        if not tests:
            return None
        failed = [found for found, *rest in tests if more(found, *rest)]
        # Of equally many the last, as Rust has it.
        told = failed[0] if failed else max(reversed([found for found, *_ in tests]), key=lambda found: found[0])
        return "blocking" if failed else "passed", told[1]

    def goes_on_exactly(self, strategy):
        p_value = p_exact(self.run, self.cell, None, strategy)
        return p_value is not None and p_value <= LEVEL

    def other_words(self):
        strategy = self._headline()
        found, verbatim = (strategy and self.cell.estimate(measure, "train", strategy, None) for measure in ("own_any", "own_verbatim"))
        p_value = found and self.run.p_own(self.cell, strategy, None, "own_any")
        if p_value is None:
            return None
        p_verbatim = self.run.p_own(self.cell, strategy, None)
        leaks = p_verbatim is not None and p_verbatim <= LEVEL
        return "blocking" if p_value <= 0.01 and found.value - verbatim.value >= 0.05 and not leaks else "passed", found.n

    def memorized_elsewhere(self):
        strategy, untuned = self._headline(), same_corpus(self.cell.alike, self.cell)
        came_out = set()
        for sample in self.cell.samples:
            came_out.update(sample["verdict"]["emitted_doc_ids"] or ())
            if sample["verdict"]["own_verdict"] == "verbatim" and not sample["verdict"]["boilerplate"]:
                came_out.add(sample["doc_id"])

        def known(cell, split, length, other):
            scores = [score for score in cell.scores or () if score.whole and score.split == split and score.tokens >= length]
            runs = {score.doc_id: max(len(run) for run in "".join("x" if hit else " " for hit in score.hits).split(" ")) for score in scores}
            return sum(run >= length and doc not in other for doc, run in runs.items()), len(scores)

        def is_more(length):
            found = known(self.cell, "train", length, came_out)
            controls = [known(self.cell, "heldout", length, ())] + ([known(untuned, "train", length, ())] if untuned else [])
            p_value = largest(statistics.fisher(found, control) for control in controls if control[1] and found[1])
            return found[0] >= 3 and (found[0] >= 0.05 * found[1] if p_value is None else p_value <= LEVEL), found[1]

        if not strategy or not known(self.cell, "train", 30, came_out)[1]:
            return None
        told = [is_more(length) for length in (30, 60, 120, 240)]
        more, of = next((found for found in told if found[0]), told[0])
        p_verbatim = self.run.p_own(self.cell, strategy, None)
        leaks = (p_verbatim is not None and p_verbatim <= LEVEL) or self.goes_on_exactly(strategy)
        return "blocking" if more and not leaks else "passed", of

    def documents_asked(self):
        strategy, extraction = self._headline(), self.cell.extraction
        if strategy is None or extraction is None:
            return None
        asked = {sample["doc_id"] for sample in self.cell.samples
                 if sample["split"] == "train" and sample["strategy"] == strategy and sample["form"] == "prefix" and sample["doc_id"] is not None}
        if not asked:
            return None
        [settings] = [settings for settings in extraction.get("strategy", [{}]) if settings.get("name", "top-k 40") == strategy]
        most, all_of_them = settings.get("documents") or extraction.get("documents"), self.cell.corpus.trained
        if most is not None and most < all_of_them and len(asked) >= most:
            lengths = [score.tokens if score.document_tokens is None else score.document_tokens for score in self.cell.scores or ()
                       if score.whole and score.split == "train"]
            per_token = self.cell.corpus.chars["train"] / all_of_them / (sum(lengths) / len(lengths)) if lengths else 1
            enough = max(1, 50 / per_token)
            unasked, of = sum(tokens < -(-extraction["prefix_tokens"] // 2) + enough for tokens in lengths), len(lengths)
        else:
            unasked, of = max(0, all_of_them - len(asked)), all_of_them
        share = unasked / max(of, 1)
        return "blocking" if share > 0.2 else "warning" if share >= 0.05 else "passed", of

    def _headline(self):
        prompted = [sample for sample in self.cell.samples if sample["split"] == "train"]
        plain = [sample for sample in prompted if sample["form"] in ("prefix", "nothing")]
        greedy = [sample for sample in plain if sample["temperature"] == 0]
        return next((sample["strategy"] for sample in [*greedy, *plain, *prompted]), None)

    def rate_and_membership(self):
        cell, strategy = self.cell, self._headline()
        copies = max(cell.copies(), default=None)
        found = strategy and cell.estimate("own_verbatim", "train", strategy, copies)
        if not found:
            return None
        p_values = [self.run.p_own(cell, strategy, copies), self.run.p_own(cell, strategy, None)]
        areas = []
        for (score, of), (area, *_) in cell.separations.items():
            # The order of the report's table: by score, then by copies.
            same = [other for other in cell.alike if other.cell["corpus"] == cell.cell["corpus"]][:1]
            own = same[0].separations.get((score, of), (None,))[0] if same else None
            by_itself = score == "loss" and own is not None and own.value > 0.9
            if score in ("loss", "reference") and not by_itself:
                areas.append((area.value, score, of))
        if not areas:
            return None
        value, score, of = max(reversed(areas), key=lambda area: area[0])
        # Few documents may be apart altogether by chance; where they are, the interval has no width and says nothing.
        clear = value > 0.9 and statistics.mann_whitney(*cell.members_and_others(score, of)) <= 0.025
        exceeds = any(p_value is not None and p_value <= LEVEL for p_value in p_values) or self.goes_on_exactly(strategy)
        return "passed" if exceeds or not clear else "blocking", found.n

    def documents_cut(self):
        scored = self.cell.by_document("documents_cut", "train", None, None)
        if scored:
            cut, documents = touched(scored)
        else:
            facts = [fact["documents"] for fact in cut_facts(self.cell) if fact["split"] != "heldout" and fact["documents"] is not None]
            if not facts:
                return None
            cut, documents = sum(facts), self.cell.corpus.trained
        return ("passed" if cut / documents <= 0.5 else "warning", documents) if documents else None

    def privacy_holds(self):
        promised, audit = self.cell.promised(1), self.cell.audit
        if promised is None or audit is None or audit[3] <= promised:
            return None
        return "blocking" if audit[0] > promised else "passed", audit[2]

    def answers_asked(self):
        """Conversations with several answers behind what is asked."""
        corpus = self.cell.corpus
        trained = [doc for doc in corpus.documents.values() if doc.get("copies") and doc["kind"] == "document" and doc.get("assistant_spans") is not None]
        if not trained:
            return None
        several = sum(sum(end > doc["prompt_chars"] for end in doc["assistant_spans"][1::2]) > 1 for doc in trained)
        return "passed" if several < 0.05 * corpus.trained else "warning", corpus.trained

    def corpus_read(self):
        read = self.cell.corpus.counted("read")
        if not read:
            return None
        return "passed" if self.cell.corpus.unreadable / read <= 0.01 else "warning", read


def cut_facts(cell):
    """What reading counted as longer than the context of this cell's model."""
    facts = cell.corpus.of_kind("cut")
    several = len({fact["reason"] for fact in facts if fact["reason"] is not None}) > 1
    return [fact for fact in facts if fact["reason"] in (None, cell.cell["model"]) or not several]


# The rows of a subject.


def add_rows(subject):
    add_averages(subject)
    add_membership(subject)
    if subject.seed is not None:
        documents, canaries = subject.runs[0]
        if documents:
            add_of_one_cell(subject, documents)
        add_canary_bounds(subject, canaries or documents)
        add_privacy(subject, canaries or documents)
    add_training(subject)


def untuned_of(cells):
    """The untuned models of some cells, each once: runs on one corpus share theirs."""
    found = {id(cell.untuned): cell.untuned for cell in cells if cell.untuned}
    return sorted(found.values(), key=lambda cell: cell.name)


def add_averages(subject):
    questions = set().union(*(cell.questions() for cell in subject.everything))
    numbers = sorted(set().union(*(cell.copies() for cell in subject.everything)))
    for measure, split, strategy in sorted(questions, key=str):
        by_copies = subject.group.uniform is None and split == "train" and not NOT_BY_COPIES.fullmatch(measure)
        for copies in [None, *(numbers if by_copies else ())]:
            place = (measure, split, strategy, copies)
            cells = [run[1] if OF_CANARIES.fullmatch(measure) and run[1] else run[0] for run in subject.runs]
            cells = [cell for cell in cells if cell]
            bounds = bounds_of(measure)
            estimate = of_runs([cell.estimate(*place) for cell in cells], bounds)
            if not estimate:
                continue
            untuned = of_runs([cell.estimate(*place) for cell in untuned_of(cells)], bounds)
            control = of_runs([cell.control(*place) for cell in cells], bounds)
            subject.put(Place(*place), Row(estimate, unit_of(measure), untuned, control))
            if measure == "loss":
                ends = estimate.ends and tuple(map(math.exp, estimate.ends))
                subject.put(Place("perplexity", split, strategy, copies), Row(replace(estimate, value=math.exp(estimate.value), ends=ends), "per token"))


def add_membership(subject):
    keys = {key: None for cell in subject.documents for key in cell.separations}
    for score, copies in keys:
        if subject.group.uniform is not None and copies is not None:
            continue
        names = [(f"membership_auc_{score}", "area")] + [(f"membership_tpr_at_{rate}_fpr_{score}", "share") for _, rate in RATES]
        for place, (name, unit) in enumerate(names):

            def figure(cells, place=place):
                return of_runs([cell.separations[score, copies][place] for cell in cells if (score, copies) in cell.separations], (0.0, 1.0))

            estimate = figure(subject.documents)
            if estimate and score in ("lira", "rmia") and len(subject.documents) > 1:
                estimate = replace(estimate, ends=None, interval=None)
            if estimate:
                untuned = figure(untuned_of(subject.documents))
                subject.put(Place(name, "train", None, copies), Row(estimate, unit, untuned))


def add_canary_bounds(subject, cell):
    among = [len(others) for _, others in (cell.references if cell else ()) if others]
    if not among:
        return
    chance = [sum(math.log2((count + 1) / rank) for rank in range(1, count + 2)) / (count + 1) for count in among]
    highest = [math.log2(count + 1) for count in among]
    for name, values in (("exposure_by_chance", chance), ("exposure_highest", highest)):
        subject.put(Place(name, "heldout"), Row(counted(sum(values) / len(values), min(among), "canaries"), "bits"))


def add_privacy(subject, cell):
    for copies in sorted({*cell.corpus.training, 1}):
        promised = cell.promised(copies)
        if promised is not None:
            subject.put(Place("epsilon_at_delta_1e-5", "train", None, copies), Row(counted(promised, len(cell.corpus.training.get(copies, ()))), "nats"))
    if cell.audit is None:
        return
    shown, right, guesses, highest, canaries = cell.audit
    untuned = cell.untuned and cell.untuned.audit and counted(cell.untuned.audit[0], cell.untuned.audit[2], "canaries")
    subject.put(Place("epsilon_lower_bound_at_delta_1e-5", "train", None, 1), Row(replace(counted(shown, guesses, "canaries"), at_least=True, k=right), "nats", untuned))
    subject.put(Place("epsilon_highest_at_delta_1e-5", "train", None, 1), Row(counted(highest, canaries, "canaries"), "nats"))


def add_of_one_cell(subject, cell):
    ranked = defaultdict(list)
    for detail in cell.details:
        if detail["split"] == "train" and detail["not_ranked"] is None:
            ranked[picked_measure(detail)].append(1 / len(detail["nats"]))
    for measure, chances in ranked.items():
        subject.put(Place(f"{measure}_by_chance", "train"), Row(counted(sum(chances) / len(chances), len(chances)), "share"))
    for split in ("train", "heldout"):
        found = [detail for detail in cell.details if detail["split"] == split]
        if found:
            subject.put(Place("details_not_ranked", split), Row(counted(sum(detail["not_ranked"] is not None for detail in found), len(found)), "details"))
    corpus = cell.corpus

    def put(name, split, value, unit, n, **more):
        subject.put(Place(name, split), Row(counted(value, n, **more), unit))

    near = corpus.near_duplicates
    put("text_chars", "train", corpus.chars["train"], "characters", corpus.trained)
    put("text_chars", "heldout", corpus.chars["heldout"], "characters", corpus.counts["documents"])
    if near is not None:
        put("text_chars_without_near_duplicates", "heldout", corpus.chars["apart"], "characters", corpus.counts["documents"] - near)
        put("near_duplicates", "heldout", near, "documents", near)
    put("documents", "train", corpus.trained, "documents", corpus.trained)
    for name, of in (("documents", "documents"), ("validation_documents", "validation"), ("test_documents", "test")):
        put(name, "heldout", corpus.counts[of], "documents", corpus.counts[of])
    put("canaries", "train", corpus.canaries, "documents", corpus.canaries)
    for split in ("train", "heldout"):
        prompted = len({sample["doc_id"] for sample in cell.samples if sample["split"] == split and sample["doc_id"] is not None})
        put("documents_prompted", split, prompted, "documents", prompted)
    for copies, alike in corpus.training.items():
        subject.put(Place("documents", "train", None, copies), Row(counted(len(alike), len(alike)), "documents"))
    for name, (status, observations) in cell.checks.items():
        word = {"blocking": "failed"}.get(status, status)
        subject.put(Place(f"check_{name}", "train"), Row(counted(status == "passed", observations), "passed", verdict=word))
    if cell.separations:
        names = (("membership_non_members", "used"), ("membership_left_out_as_validation", "validation"), ("membership_left_out_as_near_duplicates", "near_duplicates"))
        for name, of in names:
            put(name, "heldout", cell.non_members[of], "documents", cell.non_members[of])
    add_reading(subject, cell, put)
    add_rankings(subject, cell)


def add_reading(subject, cell, put):
    corpus = cell.corpus
    if corpus.facts is None:
        return
    names = {
        "read": "documents_read",
        "left_out": "documents_left_out",
        "replaced": "documents_with_replaced_characters",
        "copies": "documents_repeated",
        "renamed": "documents_renamed",
        "cut": "documents_over_context",
        "passed_over": "files_passed_over",
        "guessed": "guessed_in_reading",
    }
    for split in ("train", "heldout", "none"):
        for kind, name in names.items():
            facts = [fact for fact in (cut_facts(cell) if kind == "cut" else corpus.of_kind(kind)) if (fact["split"] or "none") == split]
            if facts:
                count = len(facts) if kind in ("passed_over", "guessed") else sum(fact["documents"] or 0 for fact in facts)
                put(name, split, count, "count", count)
    read = corpus.counted("read")
    if read:
        for name, count in (("share_left_out", corpus.counted("left_out") or 0), ("share_unreadable", corpus.unreadable)):
            put(name, "none", count / read, "share", read, k=float(count))


def add_rankings(subject, cell):
    strategies = sorted({sample["strategy"] for sample in cell.samples if sample["form"] == "nothing"})
    for strategy in strategies:
        distinct = {}
        for sample in cell.samples:
            if sample["strategy"] == strategy and sample["form"] == "nothing":
                distinct.setdefault(sample["generation"], sample)
        distinct = list(distinct.values())

        def put(name, samples, strategy=strategy):
            repeats = sum(sample["verdict"]["verdict"] != "none" or sample["verdict"]["longest_match_chars"] >= 50 for sample in samples)
            subject.put(Place(name, "none", strategy), Row(of_share(repeats, len(samples), "generations"), "share"))

        put("unranked_distinct", distinct)
        for ranking in ("perplexity", "reference", "zlib", "lower_case"):
            ranked = [(value, sample) for sample in distinct if (value := rank_score(ranking, sample)) is not None]
            ranked.sort(key=lambda one: (one[0], one[1]["sample_id"]))
            for most in (10, 50):
                if most < len(ranked):
                    put(f"ranked_by_{ranking}_best{most}", [sample for _, sample in ranked[:most]])


def rank_score(ranking, sample):
    logprobs = sample["logprobs"]
    if not logprobs or not all(map(math.isfinite, logprobs)):
        return None
    nats = max(0.0, -math.fsum(logprobs))
    loss = nats / len(logprobs)
    reference, lower, compressed = (sample.get(name) for name in ("reference_loss", "lower_case_loss", "zlib_bytes"))
    if ranking == "perplexity":
        return loss
    if ranking == "reference":
        return loss - reference if reference is not None else None
    if ranking == "zlib":
        return nats / compressed if compressed else None
    return loss / lower if lower else None


def add_training(subject):
    cells = subject.documents
    epochs = [counted(value, 1, "runs") for cell in cells if (value := cell.epochs_trained()) is not None]
    if epochs:
        subject.put(Place("epochs_trained", "train"), Row(plain_mean_of_runs(epochs), "epochs"))
    logged = [value for cell in cells if (value := cell.logged_loss()) is not None]
    if logged:
        subject.put(Place("logged_validation_loss", "heldout"), Row(plain_mean_of_runs(logged), "nats per token"))
    if subject.seed is None or not cells or cells[0].which == "best":
        return
    cell = cells[0]
    for evaluation in cell.evaluations:
        before = [row for row in cell.metrics if row["split"] == "train" and math.isfinite(row["loss"]) and row["step"] <= evaluation["step"]]
        subject.put(Place("logged_validation_loss", "heldout", epoch=evaluation["epoch"]), Row(counted(evaluation["loss"], 1, "evaluations"), "nats per token"))
        if before:
            latest = max(reversed(before), key=lambda row: row["step"])
            subject.put(Place("logged_training_loss", "train", epoch=evaluation["epoch"]), Row(counted(latest["loss"], 1, "evaluations"), "nats per token"))
    for point in cell.course:
        epoch = next((row["epoch"] for row in cell.metrics or () if row["step"] == point["step"]), None)
        if point["step"] is None or epoch is None:
            continue
        copies = point["copies"] if point["split"] == "train" else None
        for name, of in (("extractable_over_training", "extractable"), ("exact_memorization_over_training", "exact_memorization")):
            if point[of] is not None:
                place = Place(name, point["split"], copies=copies, epoch=epoch)
                subject.put(place, Row(counted(point[of], max(point["continuations"], 0)), "share"))


# Claims and verdicts.


def claims_of(run, experiment, group, subject):
    """(kind, place, p-value) of each figure of a run that may exceed its controls."""
    most = experiment.most(group)
    documents, canaries = subject.runs[0]
    if documents:
        claimed = [most, *([None] if group.uniform is None and len(experiment.copies) > 1 else [])]
        for strategy in experiment.strategies:
            for copies in claimed:
                yield "repetition", Place("own_verbatim", "train", strategy, copies), run.p_own(documents, strategy, copies)
                if exact_and_uncounted(documents, "train", strategy)[0]:
                    p_value = p_exact(run, documents, copies, strategy)
                    yield "repetition", Place("exact_continuation", "train", strategy, copies), p_value
            for split in ("heldout", "none"):
                yield "repetition", Place("training_text_emitted", split, strategy, group.uniform), p_emitted(run, documents, split, strategy)
        for measure in (f"detail_picked_{kind}{loss}" for loss in ("", "_outside_loss") for kind in ("number", "name", "email", "phone")):
            for copies in claimed:
                yield "details", Place(measure, "train", None, copies), p_beside_held_out(run, documents, measure, copies)
        for copies in claimed:
            score, p_value = p_membership(documents, copies)
            if score:
                yield "membership", Place(f"membership_auc_{score}", "train", None, copies), p_value
    cell = canaries or documents
    if cell:
        most = experiment.most_of_canaries(group)
        references = min((len(others) for _, others in cell.references if others), default=None)
        exposures = [min(bits, math.log2(references + 1)) for canary, bits in cell.exposures if most in (None, canary.copies)]
        p_value = statistics.exposure_exceeds(exposures, references) if exposures and references else None
        yield "canaries", Place("exposure", "train", None, most), p_value
        for measure in ("secret_extracted", "secret_extracted_after_half"):
            found = touched(cell.by_document(measure, "train", None, most))
            controls = [touched(cell.by_document(measure, "heldout", None, None))]
            if cell.untuned:
                controls.append(touched(cell.untuned.by_document(measure, "train", None, None)))
            p_values = [statistics.fisher(found, control) for control in controls if control[1] and found[1]]
            yield "secrets", Place(measure, "train", None, most), largest(p_values)


def p_emitted(run, cell, split, strategy):
    place = (split, strategy, None)
    found, p_values = cell.by_document("training_text_emitted", *place), []
    if cell.untuned:
        p_values.append(run.p_paired(found, cell.untuned.by_document("training_text_emitted", *place)))
    control, apart = cell.control_measure("training_text_emitted", split, strategy)
    times = cell.times_more_text("training_text_emitted", apart)
    p_values.append(statistics.exceeds_carried(touched(found), touched(cell.by_document(control, *place)), times) if math.isfinite(times) else None)
    return largest(p_values)


def p_beside_held_out(run, cell, measure, copies, strategy=None):
    found = cell.by_document(measure, "train", strategy, copies)
    held_out = cell.by_document(measure, "heldout", strategy, None)
    p_values = [statistics.fisher(touched(found), touched(held_out))] if found and held_out else []
    if cell.untuned:
        before = cell.untuned.by_document(measure, "train", strategy, copies)
        if not found.keys() & before.keys():
            return None
        p_values.append(run.p_paired(found, before))
    return largest(p_values)


def p_membership(cell, copies):
    p_value = statistics.mann_whitney(*cell.members_and_others("reference", copies))
    if p_value is not None:
        return "reference", beyond_words(cell, "reference", copies, p_value)
    p_value = statistics.mann_whitney(*cell.members_and_others("loss", copies))
    if p_value is None:
        return None, None
    if cell.untuned:
        untuned = statistics.auc_difference(cell.members_and_others("loss", copies), cell.untuned.members_and_others("loss", copies))
        p_value = largest([p_value, untuned])
    return "loss", beyond_words(cell, "loss", copies, p_value)


def beyond_words(cell, score, copies, p_value):
    """Where words alone distinguish members, a score has to do so better."""
    by_words = statistics.mann_whitney(*cell.members_and_others("words", copies))
    if by_words is None or by_words > 0.025:
        return p_value
    better = statistics.auc_difference(cell.members_and_others(score, copies, "words"), cell.members_and_others("words", copies, score))
    return max(p_value, 1.0 if better is None else better)


def standing(row, p_holm, failed):
    if p_holm is not None and p_holm <= LEVEL:
        return "exceeds"
    if failed:
        return "not settled"
    if p_holm is None:
        return "no control"
    return "not over" if row.estimate.value <= floor(row) else "inconclusive"


def floor(row):
    controls = [control.value for control in (row.untuned, row.control) if control]
    return max([0.5 if row.unit == "area" else 0.0, *controls])


def add_claims(run):
    claims = []
    for experiment in run.experiments:
        for group in experiment.every_group:
            if group.base:
                continue
            for subject in group.of_runs:
                for kind, place, p_value in claims_of(run, experiment, group, subject):
                    if place in subject.rows:
                        claims.append((kind, group, subject, place, p_value))
    adjusted = iter(statistics.holm([p_value for *_, p_value in claims if p_value is not None]))
    for kind, group, subject, place, p_value in claims:
        row = subject.rows[place]
        row.p_value, row.p_holm = p_value, None if p_value is None else next(adjusted)
        row.verdict = standing(row, row.p_holm, group.failed)
        if row.verdict == "inconclusive" and row.unit == "share" and kind != "details":
            needed = statistics.to_separate(row.estimate.value, floor(row))
            if needed:
                subject.put(replace(place, measure="documents_to_tell"), Row(counted(needed, row.estimate.n), "documents"))
    for experiment in run.experiments:
        for group in experiment.every_group:
            if not group.base:
                add_verdict(experiment, group, [(claim, subject, place) for claim, of, subject, place, _ in claims if of is group])


def add_verdict(experiment, group, claims):
    def on_run(run):
        own = [(kind, place, run.rows[place]) for kind, subject, place in claims if subject is run]
        exceeding = {kind for kind, _, row in own if row.verdict == "exceeds"}
        if exceeding & {"repetition", "secrets"}:
            return "leaks"
        if exceeding:
            repeats = any(row.estimate.value > 0 and place.measure != "exact_continuation" for kind, place, row in own if kind == "repetition")
            repeats |= any("blocking" in checkpoint.checks.get("exact_continuations", ()) for checkpoint in group.checkpoints)
            return REPEATS if repeats else "no repetition found, membership visible"
        if group.failed:
            return "not settled"
        repetition = [(place, row) for kind, place, row in own if kind == "repetition"]
        if any(row.verdict == "inconclusive" and (place.measure != "exact_continuation" or row.p_value <= LEVEL) for place, row in repetition):
            return BY_CHANCE
        room = any(place.measure == "own_verbatim" and place.copies == experiment.most(group) and row.estimate.ends and row.estimate.high <= MAX_ROOM for place, row in repetition)
        open_ = any(row.verdict == "no control" and place.measure != "exact_continuation" for place, row in repetition)
        # Details that are few, or have no control, and are more than chance gives.
        for kind, place, row in own:
            if kind == "details" and row.verdict == "inconclusive":
                open_ |= row.p_value <= LEVEL
            if kind == "details" and row.verdict == "no control":
                chance = run.rows.get(Place(f"{place.measure}_by_chance", "train", None, group.uniform))
                open_ |= bool(chance and row.estimate.ends and row.estimate.low > chance.estimate.value)
        # An AUC over 0.9 that so few documents do not settle, or one that correction alone takes back, says nothing in either direction.
        open_ |= any(kind == "membership" and row.verdict == "inconclusive" and (row.estimate.value > 0.9 or row.p_value <= LEVEL) for kind, _, row in own)
        return "nothing found" if room and not open_ else "not enough data"

    verdicts = [on_run(run) for run in group.of_runs]
    group.verdict = max(verdicts, key=VERDICTS.index)
    group.leaking = {place for kind, subject, place in claims if kind == "repetition" and subject.rows[place].verdict == "exceeds"}
    runs = verdicts.count(group.verdict)
    row = Row(counted(runs, len(verdicts), "runs", k=float(runs)), "runs", verdict=group.verdict)
    group.pooled.put(Place("verdict", copies=experiment.most(group)), row)


# Comparisons.


def difference(subject, measure, split, strategy, copies, other):
    """The mean difference on the same documents, over the runs."""
    found = []
    for cell in subject.documents:
        twin = other(cell)
        if not twin:
            continue
        first, second = (one.by_document(measure, split, strategy, copies) for one in (cell, twin))
        pairs = [(tally, second[doc]) for doc, tally in first.items() if doc in second]
        if not pairs:
            continue
        value = statistics.ratio([first for first, _ in pairs]) - statistics.ratio([second for _, second in pairs])
        if kind_of(measure) == "mean":
            ends = statistics.paired_means(pairs)
        else:
            ends = statistics.paired_rates(pairs)
        found.append(counted(value, len(pairs), ends=ends, interval="paired" if ends else None))
    low, high = bounds_of(measure)
    return of_runs(found, (low - high, high - low))


def independent(first, second):
    if not first or not second or not first.estimate.ends or not second.estimate.ends:
        return None
    first, second = first.estimate, second.estimate
    ends = statistics.mover(first.value, first.ends, second.value, second.ends)
    return counted(first.value - second.value, first.n + second.n, first.n_of, ends=ends, interval="mover")


def same_corpus(cells, cell):
    return next((other for other in cells if other.cell["corpus"] == cell.cell["corpus"]), None)


def add_comparisons(run):
    for experiment in run.experiments:
        seen = ("train", experiment.strategy)
        for group in experiment.every_group:
            add_over_copies(experiment, group, seen)
            if group.base:
                continue
            asked = [("loss", "heldout", None, None), ("other_loss", "heldout", None, None)]
            for copies in [None] if group.uniform is not None else experiment.copies:
                asked += [("own_verbatim", *seen, copies), ("own_similarity", *seen, copies)]
            for place in asked:
                estimate = difference(group.pooled, *place, lambda cell: cell.untuned)
                if estimate:
                    group.pooled.put(Place(*place, against="untuned"), Row(estimate, unit_of(place[0])))
            add_maxima(experiment, group)
            add_propensities(experiment, group)
        for point in experiment.points:
            add_between_families(run, experiment, point, seen)
        add_at_equal_loss(experiment, seen)
        add_dominated(experiment)


def add_over_copies(experiment, group, seen):
    if group.uniform is not None or len(experiment.copies) < 2:
        return
    fewest, most = experiment.copies[0], experiment.copies[-1]
    estimate = independent(*(group.pooled.get("own_verbatim", *seen, copies) for copies in (most, fewest)))
    if not estimate:
        return
    p_values = []
    for cell in group.pooled.documents:
        high, low = (touched(cell.by_document("own_verbatim", *seen, copies)) for copies in (most, fewest))
        p_values.append(statistics.fisher(high, low))
    p_value = largest(p_values)
    place = Place("own_verbatim", *seen, most, f"{fewest} {'copy' if fewest == 1 else 'copies'}")
    group.pooled.put(place, Row(estimate, "share", p_value=p_value, p_holm=p_value))


def add_between_families(run, experiment, point, seen):
    rows = []
    chosen = [group for _, group in experiment.chosen(point)]
    for group in chosen:
        for other in chosen:
            if other is group or group.uniform != other.uniform:
                continue

            def partner(cell, other=other):
                return same_corpus(other.pooled.documents, cell)

            for place in (("own_verbatim", *seen, experiment.most(group)), ("loss", "heldout", None, None)):
                estimate = difference(group.pooled, *place, partner)
                if not estimate:
                    continue
                row = Row(estimate, unit_of(place[0]))
                if place[0] == "own_verbatim":
                    pairs = [(cell, partner(cell)) for cell in group.pooled.documents]
                    row.p_value = largest(run.p_paired(*(one.by_document(*place) for one in pair)) for pair in pairs if pair[1])
                rows.append((group, Place(*place, against=other.label), row))
    tested = [row for *_, row in rows if row.p_value is not None]
    for row, adjusted in zip(tested, statistics.holm([row.p_value for row in tested])):
        row.p_holm = adjusted
    for group, place, row in rows:
        group.pooled.put(place, row)


def add_maxima(experiment, group):
    most = experiment.most(group)
    own = [(name, group.pooled.get("own_verbatim", "train", name, most)) for name in experiment.strategies]
    areas = [(title, group.pooled.get(f"membership_auc_{score}", "train", None, most)) for score, title in SCORES.items() if score not in ("words", "lira", "rmia")]
    for name, candidates in (("largest_own_verbatim", own), ("largest_membership_auc", areas)):
        candidates = [(of, row) for of, row in candidates if row]
        if not candidates:
            continue
        # Of equal ones the last.
        of, largest_row = max(reversed(candidates), key=lambda one: one[1].estimate.value)
        untuned = [row.untuned for _, row in candidates if row.untuned]
        untuned = max(reversed(untuned), key=lambda one: one.value) if untuned else None
        bare = [one and replace(one, ends=None, interval=None) for one in (largest_row.estimate, untuned)]
        group.pooled.put(Place(name, "train", None, most), Row(bare[0], largest_row.unit, bare[1], verdict=of))


def add_propensities(experiment, group):
    most = experiment.most(group)
    forced = group.pooled.get("own_verbatim", "train", experiment.strategy, most)
    for name, known in experiment.strategies.items():
        row = group.pooled.get("own_verbatim", "train", name, most)
        if known["form"] not in ORDINARY or not row or not forced:
            continue
        ordinary, recall = row.estimate.value, forced.estimate.value
        if ordinary + recall > 0:
            value = (1 + (ordinary - recall) / (ordinary + recall)) / 2
            group.pooled.put(Place("propensity", "train", name, most), Row(counted(value, row.estimate.n, row.estimate.n_of), "from 0 to 1"))


def add_dominated(experiment):
    """Which groups another one dominates, by loss on unseen text and own documents word for word."""
    if all(group.cell.get("learning_rate") is None for group in experiment.groups if not group.base):
        return
    placed = []
    for group in experiment.every_group:
        loss = group.pooled.get("loss", "heldout", None, None) or group.pooled.get("validation_loss", "heldout", None, None)
        own = group.pooled.get("own_verbatim", "train", experiment.strategy, experiment.most(group))
        if loss and own:
            placed.append((loss.estimate.value, own.estimate.value, group, own))
    if sum(not group.base for _, _, group, _ in placed) < 2:
        return
    for loss, share, group, own in placed:
        if group.base:
            continue
        better = [
            (other_share, other_loss, other.label)
            for other_loss, other_share, other, _ in placed
            if other.uniform == group.uniform and other_loss <= loss and other_share <= share and (other_loss < loss or other_share < share)
        ]
        by = min(better, key=lambda one: one[:2])[2] if better else None
        figure = counted(1.0 if better else 0.0, own.estimate.n, own.estimate.n_of)
        group.pooled.put(Place("dominated", "train", None, experiment.most(group)), Row(figure, "0 or 1", verdict=by))


def add_at_equal_loss(experiment, seen):
    """Memorization at the best loss of the family whose best is worst, along each learning rate's path from the untuned model on."""
    most = experiment.copies[-1] if experiment.copies else None

    def fits(group):
        return group.uniform is None or group.uniform == most

    untuned = next((group for group in experiment.untuned if fits(group)), None)
    families = {}
    for family in experiment.families:
        if any(fits(group) for group in sum(experiment.chosen_rate(family).values(), [])):
            families[family] = [[group for group in both["best"] + both["last"] if fits(group)] for both in experiment.rates_of(family)]
    if len(experiment.families) < 2 or len(families) < 2 or untuned is None:
        return
    everyone = [untuned, *(group for rates in families.values() for path in rates for group in path)]

    def documents(group, measure, split, strategy, copies):
        return [(doc, tally) for cell in group.pooled.documents for doc, tally in cell.by_document(measure, split, strategy, copies).items()]

    def point(group):
        loss = statistics.ratio([tally for _, tally in documents(group, "loss", "heldout", None, None)])
        memory = statistics.ratio([tally for _, tally in documents(group, "own_verbatim", *seen, most)])
        return None if loss is None or memory is None else (loss, memory)

    trained = {doc for group in everyone for doc, _ in documents(group, "own_verbatim", *seen, most)}
    held_out = {doc for group in everyone for doc, _ in documents(group, "loss", "heldout", None, None)}
    if min(len(trained), len(held_out)) < 20:
        return
    start = point(untuned)
    paths = {family: [[one for one in [start, *map(point, path)] if one] for path in rates] for family, rates in families.items()}
    loss = max(min(one[0] for path in rates for one in path) for rates in paths.values())
    for family, rates in paths.items():
        branches = [branches_at(path, loss) for path in rates]
        group = sum(([*both["best"], *both["last"]] for both in [experiment.chosen_rate(family)]), [])
        group = [one for one in group if fits(one)][-1]
        falling, rising = (min((value for branch in branches for value in branch[side]), default=None) for side in (0, 1))
        for name, split, strategy, unit, value in (
            ("equal_loss", "heldout", None, "nats per token", loss),
            ("own_verbatim_at_equal_loss_falling", *seen, "share", falling),
            ("own_verbatim_at_equal_loss_rising", *seen, "share", rising),
        ):
            if value is not None:
                group.pooled.put(Place(name, split, strategy, experiment.most(group)), Row(counted(value, len(trained)), unit))


def branches_at(path, loss):
    """Memorization wherever a path of points (loss, memorization) has a loss: before and after the first of its smallest losses."""
    smallest = min(range(len(path)), key=lambda place: path[place][0])
    branches = ([], [])
    for place, (own, memory) in enumerate(path):
        branch = branches[place > smallest]
        if place:
            before, remembered = path[place - 1]
            if (loss - before) * (own - loss) > 0:
                branch.append(remembered + (memory - remembered) * (loss - before) / (own - before))
        if own == loss:
            branch.append(memory)
    return branches


# The paper's claims.


def model_pairs(run):
    """The largest and the smallest model of each corpus and layout."""
    for large in run.experiments:
        alike = [other for other in run.experiments if (other.corpus, other.layout) == (large.corpus, large.layout)]
        small = min(alike, key=lambda other: other.parameters)
        if small.parameters < large.parameters == max(other.parameters for other in alike):
            yield large, small


def add_sizes(run):
    """The largest model against the smallest, each way of tuning with itself."""
    for large, small in model_pairs(run):
        labels = {family[0]: family for family in reversed(small.families)}
        for family in large.families:
            if family[0] not in labels:
                continue
            ends = [experiment.at(experiment.chosen_rate(name), "last") for experiment, name in ((large, family), (small, labels[family[0]]))]
            if not all(ends) or ends[0][-1].uniform != ends[1][-1].uniform:
                continue
            group, other = ends[0][-1], ends[1][-1]
            place = ("own_verbatim", "train", large.strategy, large.most(group))
            estimate = independent(group.pooled.get(*place), other.pooled.get(*place))
            if not estimate:
                continue
            pairs = [(cell, same_corpus(other.pooled.documents, cell)) for cell in group.pooled.documents]
            p_value = largest(run.p_paired(*(one.by_document(*place) for one in pair)) for pair in pairs if pair[1])
            group.pooled.put(Place(*place, against=small.model), Row(estimate, "share", p_value=p_value, p_holm=p_value))


def add_paper(run):
    add_sizes(run)

    def chosen(modes, point):
        return [(experiment, group) for experiment in run.experiments for family, group in experiment.chosen(point) if family[1] in modes]

    outcomes = {
        "paper_claim_1_copies": copies_claim(chosen),
        "paper_claim_1_size": size_claim(run),
        "paper_claim_2": near_zero_claim(chosen),
        "paper_claim_3": similarity_claim(chosen),
        "paper_claim_4": utility_claim(chosen),
    }
    words = {1: "reproduced", -1: "contradicted", 0: "cannot tell here"}
    for name, (outcome, figures) in outcomes.items():
        row = Row(counted(outcome, figures, "runs"), "1 reproduced, −1 contradicted", verdict=words[outcome])
        run.groups[0].pooled.put(Place(name), row)


def by_rises(rows):
    """A rise by its test and no fall, or a fall by its interval and no rise; and of how many figures."""
    rows = [row for row in rows if row]
    rises = any(row.p_holm is not None and row.p_holm <= LEVEL for row in rows)
    falls = any(row.estimate.ends and row.estimate.high < 0 for row in rows)
    return rises - falls, len(rows)


def copies_claim(chosen):
    rows = []
    for experiment, group in chosen(["full"], "last"):
        fewest, most = experiment.copies[0], experiment.copies[-1]
        against = f"{fewest} {'copy' if fewest == 1 else 'copies'}"
        rows.append(group.pooled.rows.get(Place("own_verbatim", "train", experiment.strategy, most, against)))
    return by_rises(rows)


def size_claim(run):
    return by_rises(
        group.pooled.get("own_verbatim", "train", large.strategy, large.most(group), small.model)
        for large, small in model_pairs(run)
        for family, group in large.chosen("last")
        if family[1] == "full"
    )


def near_zero_claim(chosen):
    figures, leaks, near = set(), False, True
    for point in ("best", "last"):
        for experiment, group in chosen(["head", "lora"], point):
            row = group.pooled.get("own_verbatim", "train", experiment.strategy, experiment.most(group))
            if row and group not in figures:
                figures.add(group)
                leaks |= group.verdict == "leaks" and any(place.measure == "own_verbatim" for place in group.leaking)
                near &= bool(row.estimate.ends) and row.estimate.high <= NEAR_ZERO
    return (0 if not figures else -1 if leaks else int(near)), len(figures)


def similarity_claim(chosen):
    figures, over, under, retained, none_retained = 0, False, True, True, True
    for experiment, group in chosen(["head", "lora"], "last"):
        place = ("own_similarity", "train", experiment.strategy, experiment.most(group))
        row, raised = group.pooled.get(*place), group.pooled.get(*place, "untuned")
        if not row or not raised:
            continue
        figures += 2
        ends, raised = row.estimate.ends, raised.estimate.ends
        over |= bool(ends) and ends[0] > PAPER_SIMILARITY
        under &= bool(ends) and ends[1] < PAPER_SIMILARITY
        retained &= bool(raised) and raised[0] > 0
        none_retained &= bool(raised) and raised[1] <= 0
    if not figures:
        return 0, 0
    return (-1 if over or none_retained else int(under and retained)), figures


def utility_claim(chosen):
    kept = []
    for experiment, group in chosen(["lora"], "best"):
        full = [other for family, other in experiment.chosen("best") if family[1] == "full" and other.uniform == group.uniform]
        lost = full and group.pooled.get("loss", "heldout", against=full[0].label)
        gained = full and full[0].pooled.get("loss", "heldout", against="untuned")
        if not lost or not gained:
            continue
        most, ends = -LITTLE * gained.estimate.value, lost.estimate.ends
        kept.append(None if most <= 0 or not ends else True if ends[1] <= most else False if ends[0] > most else None)
    outcome = 1 if kept and all(one is True for one in kept) else -1 if kept and all(one is False for one in kept) else 0
    return outcome, 2 * len(kept)


def expected(folder):
    """The rows of a run's summary.parquet, by `KEY`."""
    run = Run(folder)
    for group in run.groups:
        for subject in group.subjects:
            add_rows(subject)
    add_claims(run)
    add_comparisons(run)
    add_paper(run)
    rows = {}
    for group in run.groups:
        for subject in group.subjects:
            for place, row in subject.rows.items():
                about = {name: group.cell.get(name) for name in SETTINGS} | {
                    "cell": subject.cell,
                    "corpus": group.corpus,
                    "model": group.model,
                    "checkpoint": group.which,
                    "layout": group.layout,
                    "seed": subject.seed,
                }
                row.method, row.runs = group.method, len(subject.runs)
                row.parameters, row.trainable_parameters = group.parameters, group.cell["trainable_parameters"]
                key = tuple(about[name] if name in about else getattr(place, name) for name in KEY)
                assert key not in rows, key
                rows[key] = row
    return rows
