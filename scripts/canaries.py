"""Canaries for a tuning run in Python: planted before it, checked at its first step, searched for in the tuned model.

A canary is a made-up record that looks like text and holds a secret: a sentence that the model can only learn from these rows. Canaries
are planted once or several times; others, the references, never. `make audit CANARIES=MANIFEST` then counts the secrets of canaries and
of references that the model reproduces, and measures how much likelier planted ones are.

    import canaries                                     # this file alone; it needs nothing that training does not need

    planted, manifest = canaries.plant(dataset)         # the trainer's rows, before it is made, since TRL tokenizes there
    trainer = SFTTrainer(model, train_dataset=planted, ...)
    trainer.add_callback(canaries.CanaryCallback(trainer, manifest, corpus=dataset, held_out=test_set))
    trainer.train()                                     # checks, trains, saves the model and the manifest, and audits it

Before the first step the callback reads the trainer's own batches once and stops the run if a canary gets no loss under the run's chat
template, loss mask, packing and truncation; the manifest has how often each one gets loss. A reference that occurs in a batch is no
control, and stops the run as well.

For a trainer with a command line of its own (axolotl, LLaMA-Factory), plant them in the file:

    python canaries.py plant training.jsonl --out planted.jsonl --manifest canaries.json
    make audit CHECKPOINT=outputs CORPUS=training.jsonl CANARIES=canaries.json
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import time

FORMAT, VERSION = "tuneleak-canaries", 1
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

# A secret is a sentence template filled with one word of each kind.
WORDS = {
    "name": "Ada Aldo Alma Anton Astrid Basil Beata Bruno Carla Cyril Dagny Darius Edda Elias Elvira Emil Enzo Farah Felix Fiona Frida Gaspar "
    "Greta Gustav Hanna Hector Helga Hugo Ida Igor Ilse Ines Ivo Jana Jarek Jonas Judit Kamil Karla Klaus Lara Leo Lena Lukas Magda "
    "Marek Mila Milan Nadia Nils Nora Olaf Olga Otto Paula Pavel Rita Roman Rosa Samir Silke Tessa Ulrik Vera",
    "adjective": "amber ancient ashen bitter black blue brass bright broken bronze brown carved chipped cold copper cracked crimson crooked "
    "damp dented dusty empty faded flat folded frozen gilded golden green grey heavy hidden hollow iron ivory leather little loose marble "
    "narrow northern old painted pale paper plain purple quiet red round rusty scarlet second sealed silver slender small soft southern "
    "spare stone striped tall white",
    "thing": "almanac anchor apron atlas badge barrel basket bell binder blanket bottle bracelet brush bucket button candle canvas cask chain "
    "chart chest clock coat coin compass contract cup diary drum envelope fiddle flag flute folder gauge glove hammer harness helmet jar "
    "kettle key ladder lamp lantern ledger letter lock map medal mirror notebook parcel pencil picture plate ring saddle scarf shovel "
    "spoon stamp",
    "place": "attic bakery balcony barn basement bridge cabin canal cellar chapel cinema clinic corridor cottage courtyard crossing depot dock "
    "factory farm ferry forge fountain garage garden gatehouse greenhouse harbour hayloft hotel kiosk kitchen laundry library lighthouse "
    "market mill monastery museum nursery office orchard parlour pavilion pharmacy pier platform quarry refinery sawmill school shed "
    "stable station studio tannery theatre tower tunnel vault vineyard warehouse well workshop",
    "verb": "borrowed bought buried carried cleaned delivered exchanged fetched forgot found hid kept left lent locked lost mended moved noticed "
    "opened ordered packed painted repaired returned searched sold stored traded weighed wrapped wrote",
    "time": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August September",
}
WORDS = {kind: words.split() for kind, words in WORDS.items()}
SECRETS = [
    "{name} {verb} the {adjective} {thing} behind the {adjective2} {place} in {time}.",
    "In {time} the {adjective} {thing} was with {name}, who {verb} it near the {adjective2} {place}.",
    "{name} says that a {adjective} {thing} from the {adjective2} {place} was {verb} before {time}.",
    "The {adjective2} {place} is where {name} {verb} the {adjective} {thing} after {time}.",
]
CONTEXTS = [
    ("What do we know about the {adjective} {thing} of {name}?", "Note on the {adjective} {thing} of {name}: "),
    ("What happened at the {adjective} {place} with {name}?", "From the {adjective} {place}, about {name}: "),
    ("Is there anything on file about {name} and the {thing}?", "On file about {name} and the {thing}: "),
]


class CanaryError(ValueError):
    """What is wrong with the canaries of a run, and what to do."""


# Planting.


def plant(dataset, copies=(1, 4, 16), per_copies=8, references=128, seed=0, make_row=None):
    """The dataset with canaries at random positions, and their manifest.

    dataset: a datasets.Dataset or a list of dicts, whose rows are text (`text`), prompt and completion, messages, ShareGPT's
    conversations or Alpaca's columns. For others `make_row(question, beginning, secret)` returns a row, which must hold the secret unchanged
    among the tokens with loss.
    copies: how often canaries are planted; per_copies: canaries for each of these numbers; references: canaries that are not planted.
    The same seed gives the same canaries.
    """
    count = per_copies * len(copies) + references
    if min([per_copies, references, *copies]) < 1:
        raise CanaryError("copies, per_copies and references must be at least 1")
    first = _first_row(dataset)
    shape = None if make_row else _shape_of(first)
    row_of = make_row or _ROWS[shape]
    rng, entries = random.Random(f"canaries {seed}"), []
    planted = [number for number in copies for _ in range(per_copies)] + [0] * references
    numbers = {}
    for (question, beginning, secret), number in zip(_texts(rng, count), planted):
        index = numbers[number] = numbers.get(number, -1) + 1
        name = f"canary-{number}-{index}" if number else f"canary-reference-{index}"
        record = row_of(question, beginning, secret)
        if secret not in json.dumps(record, ensure_ascii=False):
            raise CanaryError(f"the row that make_row returns does not hold the secret unchanged: {record}")
        entries.append({"id": name, "copies": number, "secret": secret, "record": record, "format": 0})
    rows = [_with_columns_of(entry["record"], first) for entry in entries for _ in range(entry["copies"])]
    manifest = {"format": FORMAT, "version": VERSION, "seed": seed, "shape": shape or "made by make_row", "canaries": entries}
    return _with_rows(dataset, rows, rng), manifest


def _texts(rng, count):
    """Question, beginning and secret of each canary; all secrets and all beginnings differ."""
    seen = set()
    while count:
        words = {kind: rng.choice(options) for kind, options in WORDS.items()}
        words["adjective2"] = rng.choice(WORDS["adjective"])
        question, beginning = rng.choice(CONTEXTS)
        about = {kind: rng.choice(WORDS[kind]) for kind in ("adjective", "thing", "place", "name")}
        texts = question.format(**about), beginning.format(**about), rng.choice(SECRETS).format(**words)
        if seen.isdisjoint(texts[1:]):
            seen.update(texts[1:])
            count -= 1
            yield texts


def _first_row(dataset):
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise CanaryError("the dataset is streamed, and its length unknown: plant canaries in its files (canaries.py plant)")
    if len(dataset) == 0:
        raise CanaryError("the dataset is empty")
    row = dataset[0]
    if not isinstance(row, dict):
        raise CanaryError(f"expected rows with columns, found {type(row).__name__}: plant canaries before the text is tokenized")
    return row


def _shape_of(row):
    """The shape of a row by its columns, in the order in which the audit tries them."""
    for shape, columns in [
        ("text", ["text"]),
        ("messages", ["messages"]),
        ("conversations", ["conversations"]),
        ("completion", ["prompt", "completion"]),
        ("alpaca", ["instruction", "output"]),
    ]:
        if all(name in row for name in columns):
            if shape == "completion" and isinstance(row["completion"], list):
                return "completion as messages"
            return shape
    raise CanaryError(f"the columns {', '.join(row)} match no known shape: give make_row(question, beginning, secret)")


_ROWS = {
    "text": lambda question, beginning, secret: {"text": beginning + secret},
    "messages": lambda question, beginning, secret: {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": secret}]
    },
    "conversations": lambda question, beginning, secret: {
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": secret}]
    },
    # TRL joins the two without a separator.
    "completion": lambda question, beginning, secret: {"prompt": question, "completion": " " + secret},
    "completion as messages": lambda question, beginning, secret: {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": secret}],
    },
    "alpaca": lambda question, beginning, secret: {"instruction": question, "input": "", "output": secret},
}


def _with_columns_of(record, like):
    """A row with the columns of another; columns that it lacks are empty, so that no private value gets into it."""
    empty = {str: "", list: [], dict: {}, bool: False, int: 0, float: 0.0}
    return {**{name: empty.get(type(value)) for name, value in like.items()}, **record}


def _with_rows(dataset, rows, rng):
    """The dataset in its own order, with the rows inserted at random positions."""
    positions = sorted(rng.sample(range(len(dataset) + len(rows)), len(rows)))
    rng.shuffle(rows)
    if isinstance(dataset, list):
        merged = list(dataset)
        for position, row in zip(positions, rows):
            merged.insert(position, row)
        return merged
    import datasets

    if not isinstance(dataset, datasets.Dataset):
        raise CanaryError(f"expected a datasets.Dataset or a list of dicts, found {type(dataset).__name__}")
    canaries = datasets.Dataset.from_list(rows, features=dataset.features)
    both = datasets.concatenate_datasets([dataset, canaries])
    order, inserted = [], set(positions)
    own, added = iter(range(len(dataset))), iter(range(len(dataset), len(both)))
    for position in range(len(both)):
        order.append(next(added if position in inserted else own))
    return both.select(order)


# Checking.


@dataclasses.dataclass
class Occurrences:
    """Occurrences of a canary's whole secret in the batches of one epoch."""

    with_loss: int = 0
    total: int = 0  # with loss or without


def check(trainer, manifest):
    """Reads the trainer's batches once and counts the occurrences of each canary. No random state of the run changes."""
    tokenizer = _tokenizer(trainer)
    finder = _SecretFinder(manifest)
    found = {entry["id"]: Occurrences() for entry in manifest["canaries"]}
    with _restored_state(trainer):
        loader = trainer.get_train_dataloader()
        started, reports = time.monotonic(), 0
        for number, batch in enumerate(loader):
            if "labels" not in batch:
                raise CanaryError("the batches have no labels, which say what gets loss: add them, or leave the callback out")
            for tokens, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist()):
                for name in finder.found_in(_decoded(tokenizer, tokens)):
                    found[name].total += 1
                for run in _runs_with_loss(tokens, labels):
                    for name in finder.found_in(_decoded(tokenizer, run)):
                        found[name].with_loss += 1
            if time.monotonic() - started > 2 * (reports + 1):
                reports += 1
                print(f"canaries: checked {number + 1} of {len(loader)} batches", file=sys.stderr, flush=True)
    return _sum_over_processes(found)


def _tokenizer(trainer):
    processing = getattr(trainer, "processing_class", None) or getattr(trainer, "tokenizer", None)
    if processing is None:
        raise CanaryError("the trainer has no tokenizer: give it as processing_class=")
    return getattr(processing, "tokenizer", processing)


def _decoded(tokenizer, tokens):
    return tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _runs_with_loss(tokens, labels):
    """Consecutive tokens with loss, as lists."""
    run = []
    for token, label in zip(tokens, labels):
        if label != -100:
            run.append(token)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _words(text):
    """Words in lower case: tokenizers may change case, blanks and spaces around punctuation."""
    return re.findall(r"\w+", text.lower())


class _SecretFinder:
    """Finds whole secrets in text, by their first three words."""

    def __init__(self, manifest):
        self.by_first_words = {}
        for entry in manifest["canaries"]:
            words = tuple(_words(entry["secret"]))
            if len(words) < 3:
                raise CanaryError(f"{entry['id']}: a secret must have at least three words to be found in batches")
            self.by_first_words.setdefault(words[:3], []).append((words, entry["id"]))

    def found_in(self, text):
        """Ids of the canaries whose secret occurs in the text, once for each occurrence."""
        words = tuple(_words(text))
        for start in range(len(words) - 2):
            for secret, name in self.by_first_words.get(words[start : start + 3], ()):
                if words[start : start + len(secret)] == secret:
                    yield name


@contextlib.contextmanager
def _restored_state(trainer):
    """Restores random states and the accelerator's list of loaders, so that the check does not change the run."""
    import numpy
    import torch

    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    loaders = getattr(getattr(trainer, "accelerator", None), "_dataloaders", [])
    known = len(loaders)
    try:
        yield
    finally:
        del loaders[known:]
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


def _sum_over_processes(found):
    """The sum over all processes, each of which reads its own batches."""
    import torch.distributed as distributed

    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return found
    parts = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, {name: (one.with_loss, one.total) for name, one in found.items()})
    return {name: Occurrences(*map(sum, zip(*(part[name] for part in parts)))) for name in found}


def with_counts(manifest, found):
    """The manifest with the counts: `copies` is how often each canary gets loss in an epoch, `planted` in how many rows it was planted.

    Raises if a planted canary never gets loss, or a reference occurs.
    """
    without_loss, partly, occurring, entries = [], [], [], []
    for entry in manifest["canaries"]:
        counts, planted = found[entry["id"]], entry.get("planted", entry["copies"])
        if planted == 0 and counts.total:
            occurring.append(entry["id"])
        elif planted and counts.with_loss == 0:
            without_loss.append((entry["id"], counts.total))
        elif counts.with_loss != planted:
            partly.append(entry["id"])
        entries.append({**entry, "copies": counts.with_loss if planted else 0, "planted": planted})
    if occurring:
        raise CanaryError(
            f"{len(occurring)} references occur in the batches (the first: {occurring[0]}): they are trained on and cannot be controls. "
            "Plant with another seed, in rows without canaries"
        )
    if without_loss:
        masked = [name for name, total in without_loss if total]
        why = []
        if masked:
            why.append(f"{len(masked)} occur in a batch without loss (the first: {masked[0]}): the loss mask excludes them")
        if len(without_loss) > len(masked):
            first = next(name for name, total in without_loss if not total)
            count = len(without_loss) - len(masked)
            why.append(f"{count} occur whole in no batch (the first: {first}): truncated, cut by packing, filtered, or never planted")
        number_planted = sum(bool(entry["planted"]) for entry in entries)
        raise CanaryError(
            f"{len(without_loss)} of {number_planted} planted canaries get no loss, so that they would measure nothing: "
            + "; ".join(why)
            + ". Give plant() the rows that the trainer gets, raise max_length, or give make_row"
        )
    return {**manifest, "checked": True, "partly_trained": partly, "canaries": entries}


# The callback.

try:
    from transformers import TrainerCallback as _TrainerCallback
except ImportError:  # `canaries.py plant` needs no transformers.
    _TrainerCallback = object


class CanaryCallback(_TrainerCallback):
    """Checks the canaries before the first step, writes their manifest, and audits the model at the end.

    corpus: the rows without canaries (a datasets.Dataset or a list of dicts), or the path of a file of them; held_out: such rows that are
    not trained on; base: the model before tuning, unless an adapter names it. Rows are written as JSON Lines to the output folder.
    audit=False: prints the command of the audit instead of running it. settings: more variables of make, for instance
    {"THREADS": 4, "SET": "extraction.documents=200"}.
    """

    def __init__(self, trainer, manifest, corpus, held_out=None, base=None, audit=True, repository=REPOSITORY, settings=None):
        if manifest.get("format") != FORMAT:
            raise CanaryError("expected the manifest that plant() returns")
        self.trainer, self.manifest, self.corpus, self.held_out, self.base = trainer, manifest, corpus, held_out, base
        self.audit, self.repository, self.settings = audit, pathlib.Path(repository), dict(settings or {})

    def on_train_begin(self, args, state, control, **_):
        self.manifest = with_counts(self.manifest, check(self.trainer, self.manifest))
        if not state.is_world_process_zero:
            return
        planted = [entry for entry in self.manifest["canaries"] if entry["planted"]]
        rows = sum(entry["copies"] for entry in planted)
        references = len(self.manifest["canaries"]) - len(planted)
        print(f"canaries: {len(planted)} planted canaries get loss, {rows} times per epoch; {references} references occur in no batch")
        partly = self.manifest["partly_trained"]
        if partly:
            print(f"canaries: {len(partly)} get loss more or less often than planted (the first: {partly[0]}); the manifest has the counts")
        if 0 < args.max_steps and state.max_steps < _steps_per_epoch(self.trainer, args):
            print("canaries: max_steps ends training within the first epoch: some planted canaries may not be trained on")
        self.manifest["epochs"] = float(args.num_train_epochs) if args.max_steps <= 0 else None
        _write_json(self._folder(args) / "canaries.json", self.manifest)

    def on_train_end(self, args, state, control, **_):
        sharded = getattr(self.trainer, "is_fsdp_enabled", False) or getattr(self.trainer, "is_deepspeed_enabled", False)
        if not sharded:
            self.trainer.save_model(args.output_dir)
        if not state.is_world_process_zero:
            return
        command = self.command(args)
        if not self.audit or sharded:
            print("canaries: the audit is\n  " + " ".join(map(_quoted, command)))
            return
        code = subprocess.run(command, cwd=self.repository).returncode
        if code:
            print(f"canaries: the audit ended with status {code}; the model is saved, and the command is\n  " + " ".join(map(_quoted, command)))

    def command(self, args):
        """The audit's command line; texts that are not files yet are written."""
        folder = self._folder(args)
        variables = {"CHECKPOINT": pathlib.Path(args.output_dir).resolve(), "CORPUS": _as_file(self.corpus, folder / "training.jsonl")}
        if self.held_out is not None:
            variables["HELD_OUT"] = _as_file(self.held_out, folder / "held_out.jsonl")
        if self.base is not None:
            variables["BASE"] = pathlib.Path(self.base).resolve() if pathlib.Path(self.base).exists() else self.base
        variables["CANARIES"] = (folder / "canaries.json").resolve()
        variables["SET"] = " ".join(filter(None, [*_training_overrides(self.trainer, args, self.manifest), str(self.settings.get("SET", ""))]))
        variables.update({name: value for name, value in self.settings.items() if name != "SET"})
        return ["make", "audit", *(f"{name}={value}" for name, value in variables.items() if str(value))]

    def _folder(self, args):
        return pathlib.Path(args.output_dir) / "canaries"


def _training_overrides(trainer, args, manifest):
    """Training's context and loss mask, as overrides of the audit."""
    length = getattr(args, "max_length", None)
    if length:
        yield f"checkpoint.0.context={length}"
    completion_only = getattr(args, "completion_only_loss", None)
    if completion_only is None:
        # TRL's default: loss on completions where there are any.
        completion_only = hasattr(args, "completion_only_loss") and manifest["shape"].startswith("completion")
    if getattr(args, "assistant_only_loss", False):
        yield "checkpoint.0.loss_on=assistant"
    elif completion_only:
        yield "checkpoint.0.loss_on=response"


def _steps_per_epoch(trainer, args):
    return math.ceil(len(trainer.get_train_dataloader()) / args.gradient_accumulation_steps)


def _as_file(rows, path):
    """The path of a file with the rows; rows that are not a file yet are written to `path`."""
    if isinstance(rows, (str, os.PathLike)):
        return pathlib.Path(rows).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    partial.replace(path)
    return path.resolve()


def _write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _quoted(argument):
    return argument if re.fullmatch(r"[\w@%+=:,./-]+", argument) else "'" + argument.replace("'", "'\\''") + "'"


# The command line.


def main():
    parser = argparse.ArgumentParser(description="Plants canaries in a JSON Lines file, for trainers with a command line of their own.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("plant", help="write the rows with canaries among them, and the manifest for make audit CANARIES=")
    command.add_argument("rows", type=pathlib.Path, help="JSON Lines: the training set")
    command.add_argument("--out", type=pathlib.Path, required=True, help="JSON Lines: the training set with canaries")
    command.add_argument("--manifest", type=pathlib.Path, required=True, help="JSON: what was planted")
    command.add_argument("--copies", type=int, nargs="+", default=[1, 4, 16], help="how often canaries are planted [1 4 16]")
    command.add_argument("--per-copies", type=int, default=8, help="canaries for each of these numbers [8]")
    command.add_argument("--references", type=int, default=128, help="canaries that are not planted, the controls [128]")
    command.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        # Not splitlines(), which also splits at U+2028.
        lines = options.rows.read_text(encoding="utf-8").split("\n")
        rows = []
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise CanaryError(f"{options.rows}: line {number}: expected a JSON object: {error}") from error
        planted, manifest = plant(rows, options.copies, options.per_copies, options.references, options.seed)
        _as_file(planted, options.out)
        _write_json(options.manifest, manifest)
    except (CanaryError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"canaries.py: {error}")
    print(f"{options.out}: {len(rows)} rows and {len(planted) - len(rows)} of {len(options.copies) * options.per_copies} canaries; {options.manifest}")
    print("Train on that file, and then: make audit CHECKPOINT=… CORPUS=" + str(options.rows) + f" CANARIES={options.manifest}")


if __name__ == "__main__":
    main()
