"""Compares the canaries of an audit with transformers' own greedy text, and with memaudit's report if there is one.

    python scripts/compare_canaries.py data/runs/audit-out --checkpoint out [--base base-model] [--memaudit memaudit-report.json]

For each canary and reference whose secret the audit scored, transformers decodes greedily from the text before the secret, and from the
same with half of the secret; the continuation is compared token by token. One row for each number of copies (0: references, never
planted): `ours` counts secrets by scores.parquet, `transformers` by its continuations, `differ` those that only one of the two
reproduces, and `memaudit` what that program reports for the same canaries under its own prompts, which leave out the text before the
secret. Needs transformers, torch and polars; for an adapter, peft.
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
    has_tokenizer = (pathlib.Path(options.checkpoint) / "tokenizer.json").is_file()
    tokenizer_folder = pathlib.Path(options.checkpoint if has_tokenizer else options.base)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_folder / "tokenizer.json"))

    counts = collections.defaultdict(lambda: [0, 0, 0, 0])
    prefix = prefix_tokens(options.run, model, tokenizer)
    for text, (start, end), prompt_tokens, copies, ours in secrets(options.run):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        secret = [index for index, (left, right) in enumerate(encoded["offset_mapping"]) if right > start and left < end]
        first, stop = secret[0] + prompt_tokens, secret[-1] + 1
        ids = encoded["input_ids"]
        theirs = greedy(model.eval(), prefix + ids[:first], stop - first) == ids[first:stop]
        row = counts[prompt_tokens > 0, copies]
        for column, counted in enumerate((True, ours, theirs, ours != theirs)):
            row[column] += counted
    reported = read_memaudit(options.memaudit)
    print(f"{'prompt':<34}{'copies':>7}{'canaries':>10}{'ours':>6}{'transformers':>14}{'differ':>8}{'memaudit':>10}")
    for (half, copies), (canaries, ours, theirs, differ) in sorted(counts.items()):
        prompt = "text before, half of the secret" if half else "text before the secret"
        memaudit = reported.get(copies, "") if half else ""
        print(f"{prompt:<34}{copies:>7}{canaries:>10}{ours:>6}{theirs:>14}{differ:>8}{memaudit:>10}")


def secrets(run):
    """(text, span of the secret, its tokens in the prompt, copies, whether greedy decoding gives the rest by the scores) of each."""
    corpus = next((run / "corpus").iterdir())
    texts = {}
    for name in ("train", "heldout"):
        frame = polars.read_parquet(corpus / f"{name}.parquet").filter(polars.col("secret_span").is_not_null())
        texts |= {name: (text, span) for name, text, span in frame.select("doc_id", "text", "secret_span").iter_rows()}
    cell = next(path for path in sorted((run / "cells").iterdir()) if tomllib.loads((path / "cell.toml").read_text())["mode"] != "base")
    scores = polars.read_parquet(cell / "scores.parquet").filter(polars.col("secret_tokens_given").is_not_null())
    for name, copies, prompt_tokens, hits in scores.select("doc_id", "copies", "secret_tokens_given", "argmax_hits").iter_rows():
        yield *texts[name], prompt_tokens, copies, all(hits)


def prefix_tokens(run, model, tokenizer):
    """The tokens that the audit put before a text: none before a rendered conversation, else those of the form that it chose."""
    corpus = next((run / "corpus").iterdir())
    if polars.read_parquet(corpus / "train.parquet", columns=["assistant_spans"])["assistant_spans"].is_not_null().any():
        return []
    bos = model.config.bos_token_id if model.config.bos_token_id is not None else model.config.eos_token_id
    # The form was chosen with the audited model, for all cells.
    forms = [polars.read_parquet(path).filter("chosen") for path in run.glob("cells/*/forms.parquet")]
    if any(form["template"].is_not_null().any() for form in forms):
        raise SystemExit("the audit chose a template around prompts and responses, which this comparison does not support")
    chosen = {begin for form in forms for begin in form["begin"]} or {"model"}
    prefixes = {"model": [bos], "none": [], "tokenizer": tokenizer("a")["input_ids"][: -len(tokenizer("a", add_special_tokens=False)["input_ids"])]}
    return prefixes[chosen.pop()]


def greedy(model, prompt, count):
    tokens = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0)
    return out[0, len(prompt) :].tolist()


def read_memaudit(path):
    if path is None:
        return {}
    tiers = json.loads(path.read_text())["regurgitation"]["by_tier"]
    return {int(copies): tier["n_regurgitated"] for copies, tier in tiers.items() if copies.isdigit()}


if __name__ == "__main__":
    main()
