"""The canaries of an audit beside transformers' own greedy text, and beside memaudit's report where there is one.

    python scripts/compare_canaries.py data/runs/audit-out --checkpoint out [--base base-model] [--memaudit memaudit-report.json]

For each canary and reference whose secret the audit scored, transformers goes on greedily from what comes before the secret, and from the
first half of it as well; what it writes is compared token by token. One row for each number of copies (0: references, never planted):
`ours` counts secrets by scores.parquet, `transformers` by its text, `differ` those that one of the two has alone, and `memaudit` what that
program reports for the same canaries under its own prompts, which leave the record's own beginning out. Needs transformers, torch and
polars; where the checkpoint is an adapter, peft.
"""

import argparse
import collections
import json
import pathlib
import tomllib

import polars
import torch
import transformers
from check_with_transformers import load_adapter, load_model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path, help="run folder of the audit")
    parser.add_argument("--checkpoint", required=True, help="the audited model folder or adapter")
    parser.add_argument("--base", help="the model that an adapter belongs to")
    parser.add_argument("--memaudit", type=pathlib.Path, help="memaudit's report on the same canaries")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    is_adapter = (pathlib.Path(options.checkpoint) / "adapter_config.json").is_file()
    model = load_model(options.base if is_adapter else options.checkpoint)
    if is_adapter:
        model = load_adapter(model, options.checkpoint)
    holds_tokenizer = (pathlib.Path(options.checkpoint) / "tokenizer.json").is_file()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(options.checkpoint if holds_tokenizer else options.base) / "tokenizer.json"))

    found = collections.defaultdict(lambda: [0, 0, 0, 0])
    before = preamble(options.run, model, tokenizer)
    for secret, copies, ours in secrets(options.run):
        text, (start, end), given = secret
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        places = [place for place, (first, behind) in enumerate(encoded["offset_mapping"]) if behind > start and first < end]
        cut, behind = places[0] + given, places[-1] + 1
        theirs = greedy(model.eval(), before + encoded["input_ids"][:cut], behind - cut) == encoded["input_ids"][cut:behind]
        counts = found[given > 0, copies]
        for place, holds in enumerate((True, ours, theirs, ours != theirs)):
            counts[place] += holds
    reported = of_memaudit(options.memaudit)
    print(f"{'prompt':<34}{'copies':>7}{'canaries':>10}{'ours':>6}{'transformers':>14}{'differ':>8}{'memaudit':>10}")
    for (half, copies), (canaries, ours, theirs, differ) in sorted(found.items()):
        prompt = "its beginning, half of the secret" if half else "its own beginning"
        memaudit = reported.get(copies, "") if half else ""
        print(f"{prompt:<34}{copies:>7}{canaries:>10}{ours:>6}{theirs:>14}{differ:>8}{memaudit:>10}")


def secrets(run):
    """(text, span of the secret, tokens of it that are given), copies, and whether the scores say that greedy decoding gives the rest."""
    corpus = next((run / "corpus").iterdir())
    texts = {}
    for name in ("train", "heldout"):
        frame = polars.read_parquet(corpus / f"{name}.parquet").filter(polars.col("secret_span").is_not_null())
        texts |= {name: (text, span) for name, text, span in frame.select("doc_id", "text", "secret_span").iter_rows()}
    cell = next(path for path in sorted((run / "cells").iterdir()) if tomllib.loads((path / "cell.toml").read_text())["mode"] != "base")
    scores = polars.read_parquet(cell / "scores.parquet").filter(polars.col("secret_tokens_given").is_not_null())
    for name, copies, given, hits in scores.select("doc_id", "copies", "secret_tokens_given", "argmax_hits").iter_rows():
        yield (*texts[name], given), copies, all(hits)


def preamble(run, model, tokenizer):
    """What the audit put before a text: nothing before a rendered conversation, else what the form that it found says."""
    corpus = next((run / "corpus").iterdir())
    if polars.read_parquet(corpus / "train.parquet", columns=["assistant_spans"])["assistant_spans"].is_not_null().any():
        return []
    bos = model.config.bos_token_id if model.config.bos_token_id is not None else model.config.eos_token_id
    # The form was found out with the audited model, for all cells.
    forms = [polars.read_parquet(path).filter("chosen") for path in run.glob("cells/*/forms.parquet")]
    if any(form["template"].is_not_null().any() for form in forms):
        raise SystemExit("the audit found a template around prompts and responses: this comparison knows texts as the corpus has them")
    begins = {begin for form in forms for begin in form["begin"]} or {"model"}
    before = {"model": [bos], "none": [], "tokenizer": tokenizer("a")["input_ids"][: -len(tokenizer("a", add_special_tokens=False)["input_ids"])]}
    return before[begins.pop()]


def greedy(model, prompt, count):
    tokens = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0)
    return out[0, len(prompt) :].tolist()


def of_memaudit(path):
    if path is None:
        return {}
    tiers = json.loads(path.read_text())["regurgitation"]["by_tier"]
    return {int(copies): tier["n_regurgitated"] for copies, tier in tiers.items() if copies.isdigit()}


if __name__ == "__main__":
    main()
