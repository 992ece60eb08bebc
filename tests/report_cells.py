"""What each checkpoint of a run observed, document by document, read from the files that the report reads.

A figure is Σ part ÷ Σ whole over documents; `Checkpoint` has these sums by measure, split, strategy, copies and document, and the scores of
members and non-members. The formulas of intervals and tests are in report_statistics.py; report_figures.py makes the rows of
summary.parquet of it.
"""

import math
import re
import struct
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import groupby

import polars as pl

import report_statistics as statistics

CLASSES = ("none", "idea", "paraphrase", "verbatim")
RATES = ((0.01, "0.01"), (0.1, "0.1"))
SCORES = {
    "loss": "loss",
    "reference": "loss compared with the untuned model",
    "zlib": "loss compared with zlib",
    "min_k": "Min-K%",
    "min_k_plus_plus": "Min-K%++",
    "ratio": "loss ÷ the untuned model’s",
    "windows": "votes of windows",
    "error_zone": "error zone",
    "conditional": "loss ÷ loss behind other documents (ReCaLL)",
    "gradient_norm": "norm of the gradient",
    "lira": "LiRA, runs of other seeds as shadow models",
    "rmia": "RMIA, the same",
    "words": "words alone",
}


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval, and what it rests on."""

    value: float
    ends: tuple | None = None
    interval: str | None = None
    at_least: bool = False
    k: float | None = None
    observations: int = 0
    n: int = 0
    n_of: str = "documents"

    @property
    def low(self):
        return self.ends[0] if self.ends else None

    @property
    def high(self):
        return self.ends[1] if self.ends else None


def counted(value, n, n_of="documents", **more):
    return Estimate(float(value), observations=n, n=n, n_of=n_of, **more)


# What a measure is: its unit, what kind of average it is, its control.

UNITS = {
    "personal_details": "generations",
    "longest_match_chars": "characters",
    "loss": "nats per token",
    "validation_loss": "nats per token",
    "other_loss": "nats per token",
    "bits_per_byte": "bits per byte",
    "exposure": "bits",
    "own_verbatim_prompts": "prompts",
    "tokens_read": "tokens",
    "compression_ratio": "tokens per token",
    "rouge_l": "from 0 to 1",
    "bleu": "from 0 to 1",
    "edit_similarity": "from 0 to 1",
    "extraction_strength": "from 0 to 1",
    "max_similarity": "cosine",
    "comparable_similarity": "cosine",
    "own_similarity": "cosine",
    "heldout_similarity": "cosine",
}
SHARES_THAT_ARE_MEANS = re.compile(r"matched_chars_share|exact_memorization(_part\d_of_5)?")
CONTROLS = {
    "own_verbatim": "control_own_verbatim",
    "verbatim": "control_verbatim",
    "training_text_emitted": "control_verbatim",
    "own_any": "control_any",
    "any": "control_any",
    "comparable_similarity": "heldout_similarity",
}
# Shared with any training document, which may have other copies than the prompt's.
NOT_BY_COPIES = re.compile(
    r"training_text_emitted|verbatim|boilerplate|personal_details|paraphrase|idea|any|common_substring_50_chars|matched_chars_share"
    r"|longest_match_chars|without_sentence|(max|comparable|heldout)_similarity(_at_.*)?"
)


OF_CANARIES = re.compile(r"exposure|canary_tpr_at_.*|secret_extracted.*")


def without_end(truth):
    """What a document goes on with, without the tokens that a chat template ends it with."""
    return re.sub(r"(\s*(</s>|<eos>|<end_of_turn>|<\|[^<>\s]+?\|>|<｜[^<>\s]+?｜>))+$", "", (truth or "").strip()).rstrip()


def picked_measure(detail):
    return f"detail_picked_{detail['detail']}" + ("" if detail["in_loss"] else "_outside_loss")


def plain(measure):
    """The name without the length that it is about: rouge_l_60_tokens is ROUGE-L."""
    return re.sub(r"^(rouge_l|bleu|bleu_over_0\.75|edit_similarity)_\d+_tokens$", r"\1", measure)


def unit_of(measure):
    return UNITS.get(plain(measure), "share")


def kind_of(measure):
    if measure == "personal_details":
        return "count"
    measure = plain(measure)
    return "mean" if measure in UNITS or SHARES_THAT_ARE_MEANS.fullmatch(measure) else "rate"


def bounds_of(measure):
    unit = unit_of(measure)
    return (0.0, 1.0) if unit in ("share", "from 0 to 1") else (-1.0, 1.0) if unit == "cosine" else (0.0, math.inf)


def of_share(k, n, n_of="documents"):
    ends, kind = share_interval(k, n)
    return counted(k / n, n, n_of, ends=ends, interval=kind, k=float(k)) if n else None


def share_interval(k, n):
    """Exact at 0 and 1 where there are units enough, else Wilson's."""
    ends = statistics.mid_p(k, n) if k in (0, n) else None
    return (ends, "exact") if ends else (statistics.wilson(k / n, n), "wilson")


def of_documents(tallies, kind, bounds=None):
    """The figure of documents' tallies (part, whole), with the interval that belongs to its kind."""
    return _of_documents(tuple(tallies), kind, bounds)


@cache
def _of_documents(tallies, kind, bounds):
    value = statistics.ratio(tallies)
    if value is None:
        return None
    part, whole = sum(part for part, _ in tallies), sum(whole for _, whole in tallies)
    ends, name = None, None
    if kind == "rate" and all(whole == 1 and part in (0, 1) for part, whole in tallies):
        ends, name = share_interval(int(part), len(tallies))
    elif kind == "rate":
        ends, name = statistics.clustered(tallies), "clustered"
    elif kind == "mean":
        bounded = bounds is not None and math.isfinite(bounds[1])
        ends, name = statistics.bounded_mean(tallies, *bounds) if bounded else statistics.mean(tallies), "mean"
    return Estimate(
        part if kind == "count" else value,
        ends,
        name if ends else None,
        k=None if kind == "mean" else part,
        observations=len(tallies) if kind == "mean" else int(whole),
        n=len(tallies),
    )


def of_runs(runs, bounds):
    """The figure of several training runs: their mean, Student's interval over them."""
    runs = [run for run in runs if run is not None]
    if len(runs) < 2:
        return runs[0] if runs else None
    value = sum(run.value for run in runs) / len(runs)
    k = None if any(run.k is None for run in runs) else sum(run.k for run in runs)
    ends, name = statistics.over_runs([run.value for run in runs], bounds), "runs"
    if not ends and k is not None and runs[0].ends:
        documents = sum(run.n for run in runs)
        ends, name = share_interval(round(value * documents), documents)
    return Estimate(
        value,
        ends,
        name if ends else None,
        any(run.at_least for run in runs),
        k,
        sum(run.observations for run in runs),
        len(runs),
        "runs",
    )


def plain_mean_of_runs(runs):
    """The mean over runs, without an interval."""
    if not runs:
        return None
    several = len(runs) > 1
    value = sum(run.value for run in runs) / len(runs)
    observations = sum(run.observations for run in runs)
    return replace(runs[0], value=value, observations=observations, n=len(runs) if several else runs[0].n, n_of="runs" if several else runs[0].n_of)


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def rows_of(path):
    return pl.read_parquet(path).rows(named=True)


# A corpus and a cell, as read.


class Corpus:
    def __init__(self, folder):
        self.documents, self.training, self.canaries = {}, defaultdict(set), 0
        self.chars = {"train": 0, "heldout": 0, "apart": 0}
        self.counts = {"documents": 0, "validation": 0, "test": 0}
        self.near_duplicates = None
        for row in rows_of(folder / "train.parquet"):
            if row["copy"]:
                continue
            self.documents[row["doc_id"]] = row | {"role": None, "near_duplicate": False}
            if row["kind"] == "document":
                self.training[row["copies"]].add(row["doc_id"])
                self.chars["train"] += len(row["text"])
            else:
                self.canaries += 1
        for row in rows_of(folder / "heldout.parquet"):
            near = row["near_duplicate_of"] is not None
            self.documents[row["doc_id"]] = row | {"near_duplicate": near}
            if row["kind"] != "document" or row["role"] == "other":
                continue
            self.chars["heldout"] += len(row["text"])
            self.chars["apart"] += 0 if near else len(row["text"])
            self.counts["documents"] += 1
            if row["role"] in self.counts:
                self.counts[row["role"]] += 1
            if near or row["shared_8grams"] is not None:
                self.near_duplicates = (self.near_duplicates or 0) + near
        facts = folder / "corpus.parquet"
        self.facts = rows_of(facts) if facts.exists() else None

    @property
    def trained(self):
        return sum(map(len, self.training.values()))

    def of_kind(self, kind):
        return [fact for fact in self.facts or () if fact["fact"] == kind]

    def counted(self, kind):
        found = [fact["documents"] for fact in self.of_kind(kind) if fact["documents"] is not None]
        return sum(found) if found else None

    @staticmethod
    def _reason(fact):
        return (fact["reason"] or "").lower().replace("_", " ").replace("-", " ")

    def _is_trained(self, fact):
        return "train" in self._reason(fact) or "corpus.files" in self._reason(fact)

    @property
    def unreadable(self):
        def chosen(fact):
            words = ("short", "long", "duplicate", "variant", "over")
            return self._is_trained(fact) or any(word in self._reason(fact) for word in words)

        return sum(fact["documents"] or 0 for fact in self.of_kind("left_out") if not chosen(fact))

    @property
    def also_trained(self):
        facts = [fact for fact in self.of_kind("left_out") if fact["split"] == "heldout" and self._is_trained(fact)]
        return sum(fact["documents"] or 0 for fact in facts)


def distinct_words(text):
    """Runs of letters and digits in lower case, and each character of scripts without blanks."""

    def alone(character):
        code = ord(character)
        return 0xE00 <= code <= 0xEFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF or code >= 0x2E80

    spaced = "".join(f" {character} " if alone(character) else character for character in text.lower())
    return {"".join(run) for is_word, run in groupby(spaced, str.isalnum) if is_word}


class Score:
    """What a row of scores.parquet says of one continuation."""

    def __init__(self, row):
        self.__dict__.update({name: row[name] for name in ("doc_id", "split", "copies", "kind", "prefix_tokens", "zlib_bytes", "canary_format", "document_tokens")})
        self.given = row.get("secret_tokens_given")
        self.conditional_loss, self.gradient_norm = row.get("conditional_loss"), row.get("gradient_norm")
        logprobs, hits = row["logprobs"], row["argmax_hits"]
        self.tokens = len(logprobs)
        self.nats = max(0.0, -math.fsum(logprobs))
        self.loss = self.nats / self.tokens
        self.exact = sum(hits) / len(hits)
        self.strength = next((place for place, hit in enumerate(reversed(hits)) if not hit), len(hits)) / len(hits)
        self.extractable = all(hits)
        self.by_place = []
        for place in range(5):
            own = [hit for token, hit in enumerate(hits) if token * 5 // len(hits) == place]
            self.by_place.append(sum(own) / len(own) if own else None)
        scheme = row["scheme_logprobs"]
        self.log_probability = min(0.0, math.fsum(scheme)) if scheme and -math.inf not in scheme else (-math.inf if scheme else None)
        self.near_probability = row.get("near_verbatim_logprob")
        self.min_k = self._lowest([min(value, 0.0) for value in logprobs])
        self.min_k_plus_plus = None
        if len(row["vocab_mean"]) == len(row["vocab_std"]) == len(logprobs):
            standardised = []
            for value, centre, deviation in zip(logprobs, row["vocab_mean"], row["vocab_std"]):
                bound = math.exp(-value / 2)
                standardised.append(max(-bound, min(bound, (value - centre) / max(deviation, 2.0**-23))))
            self.min_k_plus_plus = self._lowest(standardised)
        self.whole = self.kind == "document" and self.prefix_tokens == 0
        self.logprobs, self.hits = logprobs, hits

    def windows(self, untuned):
        """Of windows of ten lengths, the mean share that is no likelier than under the untuned model."""
        shares = []
        for length in (2, 3, 4, 6, 9, 13, 18, 25, 32, 40):
            places = range(max(1, self.tokens - length + 1))
            sums = [[math.fsum(tokens[place : place + length]) for place in places] for tokens in (self.logprobs, untuned.logprobs)]
            shares.append(sum(own <= other for own, other in zip(*sums)) / len(places))
        return sum(shares) / len(shares)

    def error_zone(self, untuned):
        """What wrong guesses lost, as a share of what they lost and gained; of all tokens where none is wrong or changed."""
        changes = [own - other for own, other in zip(self.logprobs, untuned.logprobs)]
        for chosen in ([change for change, hit in zip(changes, self.hits) if not hit], changes):
            if any(chosen):
                return math.fsum(-change for change in chosen if change < 0) / math.fsum(map(abs, chosen))
        return 0.5

    @staticmethod
    def _lowest(values):
        lowest = sorted(values)[: max(1, int(len(values) * 0.2))]
        return -sum(lowest) / len(lowest)


def discoverable(log_probability, samples):
    """Whether so many samples hold the continuation with probability ½: 1 − (1 − p)^n ≥ ½."""
    if log_probability == 0:
        return samples >= 1
    if log_probability == -math.inf:
        return False
    # ln(1 − e^x), so that a small probability keeps its digits.
    miss = math.log1p(-math.exp(log_probability)) if log_probability < -0.69 else math.log(-math.expm1(log_probability))
    return miss != 0 and samples >= math.log(0.5) / miss * (1 - 1e-12)


def bisected(too_low):
    """The least number from which on it is no longer too low."""
    low, high = 0.0, 1.0
    if not too_low(0.0):
        return 0.0
    while too_low(high):
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return high


def coin_epsilon(canaries, guesses, correct, level):
    """Steinke, Nasr and Jagielski 2023: the ε below which so many right guesses have a probability of at most `level`, at δ = 1e-5."""

    def ruled_out(epsilon):
        right = 1 / (1 + math.exp(-epsilon))
        exactly = [math.comb(guesses, count) * right**count * (1 - right) ** (guesses - count) for count in range(guesses + 1)]
        reached = math.fsum(exactly[correct:])
        steepest = max((math.fsum(exactly[correct - fewer : correct]) / fewer for fewer in range(1, correct + 1)), default=0.0)
        return reached + 2 * canaries * 1e-5 * steepest <= level

    return bisected(ruled_out)


class Checkpoint:
    """A checkpoint of a cell: its tallies by measure, and all else that figures are made of."""

    def __init__(self, folder, which, corpora):
        asked = folder / "best" if which == "best" else folder
        self.cell = tomllib.loads((folder / "cell.toml").read_text())
        self.which, self.corpus, self.name = which, corpora(self.cell["corpus"]), self.cell["name"]
        self.apart = self.cell.get("canaries_apart", False)
        self.untuned, self.of_corpus, self.other_seeds = None, [self], []
        settings = folder / "extractor.toml"
        told = tomllib.loads(settings.read_text()) if settings.exists() else {}
        self.extraction = told.get("extraction")
        loss_on = told.get("extraction", {}).get("loss_on") or told.get("tuning", {}).get("loss_on") or "text"
        self.loss_on_response = loss_on == "response"
        # Part of the names of what compares a generation with a document's continuation.
        self.length = f"_{told['extraction']['new_tokens']}_tokens" if told else ""
        self.metrics = rows_of(folder / "metrics.parquet") if (folder / "metrics.parquet").exists() else None
        self.course = rows_of(folder / "course.parquet") if (folder / "course.parquet").exists() else []
        self.forms = rows_of(asked / "forms.parquet") if (asked / "forms.parquet").exists() else None
        self._read_samples(asked)
        self._read_scores(asked / "scores.parquet")
        details = asked / "details.parquet"
        self.details = pl.read_parquet(details).to_dicts() if details.exists() else []
        self.sums = defaultdict(lambda: defaultdict(dict))
        self.emitted = None
        self._contributions()

    @property
    def base(self):
        return self.cell["mode"] == "base"

    def _read_samples(self, asked):
        verdicts = {row["sample_id"]: row for row in rows_of(asked / "verdicts.parquet")}
        matches = defaultdict(list)
        for row in rows_of(asked / "matches.parquet"):
            matches[row["sample_id"]].append(row)
        self.samples = []
        for sample in sorted(rows_of(asked / "samples.parquet"), key=lambda row: row["sample_id"]):
            document = self.corpus.documents.get(sample["doc_id"])
            if document is not None and document["kind"] != "document":
                continue
            sample["form"] = sample.get("prompt_form") or ("prefix" if sample["doc_id"] is not None else "nothing")
            sample["verdict"], sample["matches"] = verdicts[sample["sample_id"]], matches[sample["sample_id"]]
            sample["trained"] = [match for match in sample["matches"] if match["doc_split"] == "train"]
            self.samples.append(sample)

    def _read_scores(self, path):
        self.scores, self.not_finite = None, 0
        if path.exists():
            self.scores = []
            for row in rows_of(path):
                if not all(map(math.isfinite, row["logprobs"])):
                    self.not_finite += 1
                elif row["logprobs"] and row["argmax_hits"]:
                    self.scores.append(Score(row))

    # Contributions: a part and a whole of each document to each measure.

    def add(self, measure, split, strategy, copies, document, part, whole=1.0):
        documents = self.sums[measure, split, strategy][copies]
        before = documents.get(document, (0.0, 0.0))
        documents[document] = (before[0] + part, before[1] + whole)

    def _contributions(self):
        for canary, bits in self.exposures:
            self.add("exposure", "train", None, canary.copies, canary.doc_id, bits)
        for canary, among in self.references:
            rank = 1 + sum(other <= canary.nats for other in among)
            for rate in (0.01, 0.1):
                if len(among) + 1 >= 1 / rate:
                    self.add(f"canary_tpr_at_{rate}_fpr", "train", None, canary.copies, canary.doc_id, float(rank / (len(among) + 1) <= rate))
        for score in self.scores or ():
            if score.given is not None and score.kind != "coin_canary":
                measure = "secret_extracted" if score.given == 0 else "secret_extracted_after_half"
                self.add(measure, score.split, None, score.copies, score.doc_id, float(score.extractable))
        if self.apart:
            return
        for detail in self.details:
            if detail["not_ranked"] is None:
                self.add(picked_measure(detail), detail["split"], None, detail["copies"], detail["doc_id"], float(all(detail["nats"][0] < other for other in detail["nats"][1:])))
        # What a detector did not look for it did not find.
        judged = [sample["verdict"] for sample in self.samples]
        self.tells_boilerplate = all(verdict["boilerplate"] is not None for verdict in judged if verdict["verdict"] == "verbatim")
        self.tells_details = all(match["personal_details"] is not None for sample in self.samples for match in sample["trained"])
        self.tells_own = any(verdict["own_verdict"] is not None for verdict in judged)
        for sample in self.samples:
            self._of_sample(sample)
        scores = [score for score in self.scores or () if score.kind == "document"]
        self.longest = max((score.tokens for score in scores if score.prefix_tokens == 0), default=0)
        whole = defaultdict(int)
        asked = defaultdict(lambda: defaultdict(bool))
        for sample in self.samples:
            own = self._own_class(sample)
            if sample["doc_id"] is not None and own is not None:
                asked[sample["split"], sample["copies"], sample["doc_id"]][sample["prompt"]] |= own == "verbatim"
        for (split, copies, document), prompts in asked.items():
            if len(prompts) > 1:
                self.add("own_verbatim_prompts", split, None, copies, document, float(sum(prompts.values())))
        for score in scores:
            whole[score.prefix_tokens] = max(whole[score.prefix_tokens], score.tokens)
        for score in scores:
            if score.prefix_tokens == 0:
                self._of_whole(score)
                continue
            if score.tokens == 50:
                self.add(f"extractable_50_tokens_after_{score.prefix_tokens}", score.split, None, score.copies, score.doc_id, score.extractable)
            if score.tokens == whole[score.prefix_tokens]:
                self._of_continuation(score)
        if all(verdict.get("emitted_doc_ids") is not None for verdict in judged):
            self.emitted = defaultdict(set)
            for sample in self.samples:
                self.emitted[sample["strategy"]].update(sample["verdict"]["emitted_doc_ids"])

    def _own_class(self, sample):
        verdict = sample["verdict"]
        if self.tells_own or sample["split"] != "train":
            return verdict["own_verdict"]
        if sample["doc_id"] is None:
            return None
        return verdict["verdict"] if verdict["best_doc_id"] == sample["doc_id"] else "none"

    def _beyond(self, sample, counts):
        """Whether 50 characters in a row are the own document's, word for word, and in no passage of a held-out document that counts."""
        verbatim = [match for match in sample["matches"] if match["kind"] == "verbatim"]
        held_out = [match for match in verbatim if match["doc_split"] != "train" and counts(self.corpus.documents[match["doc_id"]])]
        taken = {place for match in held_out for place in range(match["gen_start"], match["gen_end"])}
        own = [match for match in verbatim if match["doc_split"] == "train" and match["doc_id"] == sample["doc_id"]]
        rest = ["".join("-+"[place not in taken] for place in range(match["gen_start"], match["gen_end"])) for match in own]
        return any("+" * 50 in kept for kept in rest)

    def _of_sample(self, sample):
        verdict, split, strategy = sample["verdict"], sample["split"], sample["strategy"]
        stands_for_itself = sample["form"] in ("nothing", "template-only", "self-made")
        document = sample["doc_id"] if sample["doc_id"] is not None else f"sample {sample['sample_id']}" if stands_for_itself else f"prompt {sample['prompt']}"

        def add(measure, part, whole=1.0):
            self.add(measure, split, strategy, sample["copies"], document, float(part), float(whole))

        own = self._own_class(sample)
        if own is not None:
            for kind in ("verbatim", "paraphrase", "idea"):
                add(f"own_{kind}", own == kind)
            add("own_any", own != "none")
        truth = without_end(sample["truth"])
        if truth and (split == "train" or not self.corpus.documents.get(sample["doc_id"], {}).get("near_duplicate")):
            add("exact_continuation", sample["generation"].lstrip().startswith(truth[:60]))
        control = verdict.get("control_verdict")
        if control is not None:
            add("control_verbatim", control == "verbatim")
            add("control_any", control != "none")
            if own is not None:
                add("control_own_verbatim", control == "verbatim" and not self._beyond(sample, lambda document: True))
            if self.corpus.near_duplicates and self.corpus.chars["apart"]:
                found = [match["kind"] for match in sample["matches"] if match["doc_split"] == "heldout"
                         and not self.corpus.documents[match["doc_id"]]["near_duplicate"]]
                apart = max(found, key=CLASSES.index, default="none")
                add("control_verbatim_without_near_duplicates", apart == "verbatim")
                add("control_any_without_near_duplicates", apart != "none")
                if own is not None:
                    beyond = self._beyond(sample, lambda document: not document["near_duplicate"])
                    add("control_own_verbatim_without_near_duplicates", apart == "verbatim" and not beyond)
        came_out = verdict.get("emitted_doc_ids")
        if came_out is None:
            came_out = verdict["verdict"] == "verbatim" and verdict["boilerplate"] is not True
        add("training_text_emitted", bool(came_out))
        for kind in ("verbatim", "paraphrase", "idea"):
            add(kind, verdict["verdict"] == kind)
        add("any", verdict["verdict"] != "none")
        if self.tells_boilerplate:
            add("boilerplate", verdict["boilerplate"] is True)
        if self.tells_details:
            of_class = [match for match in sample["trained"] if match["kind"] == verdict["verdict"]]
            add("personal_details", any(match["personal_details"] for match in of_class or sample["trained"]))
        add("common_substring_50_chars", verdict["longest_match_chars"] >= 50)
        add("longest_match_chars", verdict["longest_match_chars"])
        inside = set()
        for match in sample["trained"]:
            inside.update(range(match["gen_start"], match["gen_end"]))
        add("matched_chars_share", len(inside), len(sample["generation"]))
        largest = verdict["max_similarity"]
        add("without_sentence", largest is None or not math.isfinite(largest))
        for name in ("max_similarity", "comparable_similarity", "own_similarity", "heldout_similarity"):
            cosine = verdict.get(name)
            if cosine is not None and math.isfinite(cosine):
                add(name, cosine)
                for least in (0.7, 0.8, 0.9):
                    add(f"{name}_at_{least}", cosine >= float32(least))
        if sample.get("tokens_read") is not None:
            add("tokens_read", sample["tokens_read"])
        if sample["form"] == "optimised":
            found = sample["truth"] == sample["generation"] and sample["prompt_tokens"] and sample["generated_tokens"]
            shorter = len(sample["generated_tokens"]) / len(sample["prompt_tokens"]) if found else 0.0
            add("compressed", shorter > 1)
            add("compression_ratio", shorter)
        for name in ("bleu", "rouge_l", "edit_similarity"):
            if verdict[name] is not None:
                add(name + self.length, verdict[name])
        if verdict["bleu"] is not None:
            add("bleu_over_0.75" + self.length, verdict["bleu"] > 0.75)
        if verdict.get("final_answer_right") is not None:
            add("final_answer_right", verdict["final_answer_right"])

    def _of_whole(self, score):
        document = self.corpus.documents[score.doc_id]

        def add(measure, part, whole=1.0):
            self.add(measure, score.split, None, score.copies, score.doc_id, float(part), float(whole))

        if document["role"] == "other":
            add("other_loss", score.nats, score.tokens)
            return
        # Of a response alone the prompt's tokens are not scored, so that nothing is known of a cut.
        hidden = self.loss_on_response and document["prompt_chars"] > 0
        cut = None if hidden or score.document_tokens is None else score.document_tokens > score.tokens
        may_be_cut = hidden or (score.tokens == self.longest if cut is None else cut)
        if document["role"] != "validation":
            add("loss", score.nats, score.tokens)
            if not may_be_cut:
                add("bits_per_byte", score.nats / math.log(2), len(document["text"].encode()))
        if score.split == "heldout" and document["role"] != "test":
            add("validation_loss", score.nats, score.tokens)
        if cut is not None:
            add("documents_cut", cut)
        add("exact_memorization", score.exact)
        add("extraction_strength", score.strength)
        for place, share in enumerate(score.by_place):
            if share is not None:
                add(f"exact_memorization_part{place + 1}_of_5", share)

    def _of_continuation(self, score):
        for name, probability in (("discoverable", score.log_probability), ("nearly_discoverable", score.near_probability)):
            if probability is None or probability > 0:
                continue
            for samples in (1, 10, 100, 1000):
                measure = f"{name}_{score.tokens}_tokens_after_{score.prefix_tokens}_n{samples}_p0.5"
                self.add(measure, score.split, None, score.copies, score.doc_id, float(discoverable(probability, samples)))

    # Canaries.

    def _shortest(self, kind):
        of_kind = [score for score in self.scores or () if score.kind == kind and score.given is None]
        least = min((score.prefix_tokens for score in of_kind), default=None)
        return [score for score in of_kind if score.prefix_tokens == least]

    def _format(self, score):
        if score.canary_format is not None:
            return score.canary_format
        return self.corpus.documents.get(score.doc_id, {}).get("canary_format")

    @cached_property
    def references(self):
        """For each canary the scores of the strings that it is ranked among."""
        by_format = defaultdict(list)
        for score in self._shortest("canary_reference"):
            by_format[self._format(score)].append(score.nats)
        everyone = [nats for alike in by_format.values() for nats in alike]
        canaries = self._shortest("canary")
        return [(score, everyone if self._format(score) is None else by_format.get(self._format(score), [])) for score in canaries]

    @cached_property
    def exposures(self):
        found = []
        for score, among in self.references:
            if among:
                rank = 1 + sum(other < score.nats for other in among) + sum(other == score.nats for other in among) / 2
                found.append((score, math.log2((len(among) + 1) / rank)))
        return found

    # Differential privacy.

    def guesses(self):
        """Canaries by coin flip in the order of their names, each as how likely it is to be in, and whether it is."""
        whole = [score for score in self.scores or () if score.kind == "coin_canary" and score.given is None and not score.prefix_tokens]
        return [(score.nats, score.split == "train") for score in sorted(whole, key=lambda score: score.doc_id)]

    def promised(self, copies):
        """ε at δ = 1e-5 of a text with so many copies in each pass."""
        if self.cell.get("noise_multiplier") is None or self.cell.get("epochs") is None:
            return None
        passes = max([self.cell["epochs"], *(row["epoch"] for row in self.metrics or ())])
        mu = math.sqrt(max(math.ceil(passes), 1)) * copies / self.cell["noise_multiplier"]

        def delta(epsilon):
            above = lambda z: math.erfc(z / math.sqrt(2)) / 2  # noqa: E731
            return above(epsilon / mu - mu / 2) - math.exp(epsilon) * above(epsilon / mu + mu / 2)

        return bisected(lambda epsilon: delta(epsilon) > 1e-5)

    @cached_property
    def audit(self):
        """The ε that guesses at coins show, from how many of how many guesses, and the most that they could show."""
        ranked = [used for _, used in sorted(self.guesses(), key=lambda guess: guess[0])]
        if len(ranked) < 20:
            return None
        sides, side = [], len(ranked) // 2
        while 2 * side >= 10:
            sides.append(side)
            side //= 2
        found = []
        for side in sides:
            right = sum(ranked[:side]) + side - sum(ranked[-side:])
            found.append((*(coin_epsilon(len(ranked), 2 * side, count, 0.05 / len(sides)) for count in (right, 2 * side)), right, 2 * side))
        shown, _, right, guesses = max(found, key=lambda bound: bound[0])
        return shown, right, guesses, max(highest for _, highest, *_ in found), len(ranked)

    # Asking.

    def copies(self, of=lambda measure: True):
        return {copies for (measure, split, _), by_copies in self.sums.items() if split == "train" and of(measure) for copies in by_copies}

    def questions(self):
        found = set(self.sums)
        if self.emitted is not None:
            found |= {("documents_emitted", "train", strategy) for strategy in self.emitted}
        return found

    def by_document(self, measure, split, strategy, copies):
        """(part, whole) of each document, in the order of their identities."""
        if measure == "documents_emitted":
            if self.emitted is None or split != "train" or strategy not in self.emitted:
                return {}
            # Of the documents that the strategy asked for; of a strategy that asks for none, all.
            documents = self.by_document("training_text_emitted", split, strategy, copies) or {
                doc for of, alike in self.corpus.training.items() if copies in (None, of) for doc in alike
            }
            return {doc: (float(doc in self.emitted[strategy]), 1.0) for doc in sorted(documents)}
        sums = {}
        for of, documents in self.sums.get((measure, split, strategy), {}).items():
            if copies in (None, of):
                for doc, (part, whole) in documents.items():
                    before = sums.get(doc, (0.0, 0.0))
                    sums[doc] = (before[0] + part, before[1] + whole)
        return {doc: sums[doc] for doc in sorted(sums, key=str.encode) if sums[doc][1] > 0}

    def estimate(self, measure, split, strategy, copies):
        found = of_documents(self.by_document(measure, split, strategy, copies).values(), kind_of(measure), bounds_of(measure))
        if found is None:
            return None
        at_least = measure.startswith("nearly_discoverable")
        if re.fullmatch(r"(max|comparable|own|heldout)_similarity(_at_.*)?", measure):
            at_least = any(sample["verdict"].get("similarity_at_least") is True for sample in self.samples)
        if measure == "exposure":
            first = [all(score.nats < other for other in among) and among for score, among in self.references if copies in (None, score.copies)]
            return replace(found, at_least=any(first), n_of="canaries")
        if OF_CANARIES.fullmatch(measure):
            return replace(found, n_of="canaries")
        return replace(found, at_least=at_least)

    def control_measure(self, measure, split, strategy):
        """Name of the control, and whether near-duplicates are left out of it."""
        control = CONTROLS.get(measure)
        if self.corpus.near_duplicates and not self.corpus.chars["apart"]:
            return None, False
        apart = f"{control}_without_near_duplicates"
        if control and any(whole > 0 for _, whole in self.by_document(apart, split, strategy, None).values()):
            return apart, True
        return control, False

    def times_more_text(self, measure, apart):
        if measure.startswith("own_") or "similarity" in measure:
            return None
        held_out = self.corpus.chars["apart" if apart else "heldout"]
        return self.corpus.chars["train"] / held_out if held_out else math.inf

    def control(self, measure, split, strategy, copies):
        if measure.startswith("detail_") or measure == "exact_continuation":
            return self.estimate(measure, "heldout", strategy, None) if split == "train" else None
        control, apart = self.control_measure(measure, split, strategy)
        found = control and of_documents(self.by_document(control, split, strategy, copies).values(), kind_of(control), bounds_of(control))
        if not found:
            return None
        times = self.times_more_text(measure, apart)
        if times is None:
            return found
        if not math.isfinite(times):
            return None
        ends = found.ends and tuple(statistics.carried_over(end, times) for end in found.ends)
        return replace(found, value=statistics.carried_over(found.value, times), ends=ends)

    # Membership.

    @cached_property
    def sides(self):
        """For each score the members by document, with their copies, and the non-members."""
        untuned = {}
        if self.untuned is not None:
            untuned = {score.doc_id: score for score in self.untuned.scores or () if score.whole}
        self.non_members = {"used": 0, "validation": 0, "near_duplicates": 0}
        sides = {name: ({}, {}) for name in SCORES}
        for score in (() if self.apart else self.scores or ()):
            if not score.whole:
                continue
            if score.split != "train":
                document = self.corpus.documents[score.doc_id]
                if document["role"] in ("validation", "other"):
                    self.non_members["validation"] += document["role"] == "validation"
                    continue
                if document["near_duplicate"]:
                    self.non_members["near_duplicates"] += 1
                    continue
                self.non_members["used"] += 1
            other = untuned.get(score.doc_id)
            same = other is not None and other.tokens == score.tokens
            values = {
                "loss": score.loss,
                "reference": score.loss - other.loss if other else None,
                "ratio": score.loss / other.loss if other and other.loss > 0 else None,
                "windows": score.windows(other) if same else None,
                "error_zone": score.error_zone(other) if same else None,
                "conditional": score.loss / score.conditional_loss if score.conditional_loss else None,
                "gradient_norm": score.gradient_norm,
                "lira": self.lira(score),
                "rmia": self.rmia(score),
                "words": self.words.get(score.doc_id),
                "zlib": score.nats / score.zlib_bytes if score.zlib_bytes > 0 else None,
                "min_k": score.min_k,
                "min_k_plus_plus": score.min_k_plus_plus,
            }
            for name, value in values.items():
                if value is not None and score.split == "train":
                    sides[name][0][score.doc_id] = (score.copies, value)
                elif value is not None:
                    sides[name][1][score.doc_id] = value
        return sides

    @cached_property
    def shadows(self):
        """Losses of each document in runs of other seeds that were trained with it, and without, and how far they lie apart within a document."""
        losses = defaultdict(lambda: ([], []))
        for other in self.other_seeds:
            for score in (score for score in other.scores or () if score.whole):
                losses[score.doc_id, score.tokens][score.split != "train"].append(score.loss)

        def deviation(side):
            of_each = [sides[side] for sides in losses.values()]
            freedom = sum(max(len(values) - 1, 0) for values in of_each)
            squares = sum((value - sum(values) / len(values)) ** 2 for values in of_each for value in values)
            return max(math.sqrt(squares / freedom), 1e-3) if freedom else None

        apart = [deviation(0), deviation(1)]
        return losses, [apart[0] or apart[1], apart[1] or apart[0]]

    def lira(self, score):
        losses, apart = self.shadows
        sides = losses.get((score.doc_id, score.tokens), ([], []))
        if not all(sides) or not all(apart):
            return None
        with_it, without = (-((score.loss - sum(values) / len(values)) ** 2) / (2 * width**2) - math.log(width) for values, width in zip(sides, apart))
        return without - with_it

    def rmia(self, score):
        sides = self.shadows[0].get((score.doc_id, score.tokens), ([], []))
        return score.loss + math.log(sum(math.exp(-value) for value in sides[1]) / len(sides[1])) if all(sides) else None

    def members_and_others(self, score, copies, also=None):
        """The scores of both sides, in the order of the documents' identities; only of documents that have the score `also`, if one is named."""
        members, others = self.sides[score]
        has = self.sides[also or score]
        chosen = [value for doc, (of, value) in sorted(members.items()) if copies in (None, of) and doc in has[0]]
        return chosen, [value for doc, value in sorted(others.items()) if doc in has[1]]

    @cached_property
    def words(self):
        """Naive Bayes over the words of the documents that any cell of the corpus scored whole, in five parts."""
        sides = ({}, {})
        for cell in self.of_corpus:
            for score in (() if cell.apart else cell.scores or ()):
                document = self.corpus.documents[score.doc_id]
                if score.whole and (score.split == "train" or document["role"] not in ("validation", "other") and not document["near_duplicate"]):
                    sides[score.split != "train"][score.doc_id] = distinct_words(document["text"])
        if min(map(len, sides)) < 5:
            return {}
        parts = [{doc: number % 5 for number, doc in enumerate(sorted(side))} for side in sides]
        held, total = ([[Counter() for _ in range(5)] for _ in sides] for _ in range(2))
        for side, of in enumerate(sides):
            for doc, words in of.items():
                held[side][parts[side][doc]].update(words)
                total[side][parts[side][doc]][""] += 1
        found = {}
        for side, of in enumerate(sides):
            for doc, words in of.items():
                rest = [part for part in range(5) if part != parts[side][doc]]

                def log_probability(word, which):
                    holders = sum(held[which][part][word] for part in rest)
                    return math.log((holders + 1) / (sum(total[which][part][""] for part in rest) + 2))

                if words:
                    found[doc] = math.fsum(log_probability(word, 1) - log_probability(word, 0) for word in words) / len(words)
        return found

    @cached_property
    def separations(self):
        """AUC and true-positive rates by score and copies."""
        found = {}
        for score in SCORES:
            for copies in [None, *sorted({of for of, _ in self.sides[score][0].values()})]:
                members, others = self.members_and_others(score, copies)
                if not members or not others:
                    continue
                ends = statistics.auc_interval(members, others)
                area = Estimate(statistics.auc(members, others), ends, "delong" if ends else None, observations=len(members) + len(others), n=len(members))
                found[score, copies] = (area, *(self._true_positives(members, others, rate) for rate, _ in RATES))
        return found

    @staticmethod
    def _true_positives(members, others, rate):
        if int(rate * len(others) + 1e-9) == 0:
            return None
        threshold = sorted(others)[int(rate * (len(others) + 1) + 1e-9) - 1]
        k, n = sum(score < threshold for score in members), len(members)
        ends = statistics.mid_p(k, n)
        return counted(k / n, n, k=float(k), ends=ends, interval="exact" if ends else None)

    # Training.

    @property
    def evaluations(self):
        return [row for row in self.metrics or () if row["split"] == "heldout" and math.isfinite(row["loss"])]

    def epochs_trained(self):
        if self.metrics is None:
            return None
        last = max((row["epoch"] for row in self.metrics), default=None)
        if self.which != "best" or not self.evaluations:
            return last
        return min(self.evaluations, key=lambda row: row["loss"])["epoch"]

    def logged_loss(self):
        found = self.evaluations
        if not found:
            return None
        row = min(found, key=lambda row: row["loss"]) if self.which == "best" else found[-1]
        return counted(row["loss"], len(found), "evaluations")
