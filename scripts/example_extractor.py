"""The extraction stage in Python: an example of replacing a stage of the pipeline by another program.

    make run PIPELINE=pipelines/demo.toml EXTRACTOR="python3 scripts/example_extractor.py"

A stage must have this command line, the columns and types of SAMPLES and SCORES, files that are written atomically, and exit
status 2 for a wrong pipeline file, 3 for unusable input. How it computes is free: here transformers, peft and polars on the CPU,
one document at a time. It writes no provenance, so it always runs again.
"""

import argparse
import json
import os
import pathlib
import sys
import tomllib
import zlib

import peft
import polars as pl
import torch
import transformers

STRING, INTEGER, REALS = pl.String, pl.Int32, pl.List(pl.Float32)
SAMPLES = {
    "sample_id": pl.Int64, "doc_id": STRING, "split": STRING, "copies": INTEGER, "strategy": STRING, "prompt": STRING,
    "generation": STRING, "truth": STRING, "prompt_tokens": pl.List(INTEGER), "generated_tokens": pl.List(INTEGER),
    "logprobs": REALS, "temperature": pl.Float32, "top_p": pl.Float32, "top_k": INTEGER, "seed": pl.Int64, "finish": STRING,
}  # fmt: skip
SCORES = {
    "doc_id": STRING, "split": STRING, "copies": INTEGER, "kind": STRING, "prefix_tokens": INTEGER, "suffix_tokens": INTEGER,
    "logprobs": REALS, "scheme_logprobs": REALS, "argmax_hits": pl.List(pl.Boolean), "vocab_mean": REALS, "vocab_std": REALS,
    "zlib_bytes": INTEGER, "document_tokens": INTEGER, "canary_format": INTEGER,
}  # fmt: skip
EXTRACTABLE_TOKENS = 50  # tokens of a continuation that decide whether a document is k-extractable
# The defaults of the pipeline file's [[extraction.strategy]] and [extraction].
STRATEGY = {"name": "top-k 40", "temperature": 1.0, "top_k": 40, "top_p": 1.0, "samples": 10}
EXTRACTION = {
    "prompts": ["train", "heldout"], "prefix_tokens": 50, "new_tokens": 50, "documents": None, "unprompted": 100,
    "short_documents": "skip", "begin": "model", "strategy": [STRATEGY], "score": True, "scored_prefixes": [50, 100, 200],
    "context": None, "loss_on": None,
}  # fmt: skip


def main():
    options = parse_arguments()
    pipeline = read_pipeline(options.config, options.overrides)
    settings = with_tuning_defaults(EXTRACTION | pipeline.get("extraction", {}), pipeline)
    for strategy in settings["strategy"]:
        if strategy.get("prompt", "prefix") != "prefix" or strategy.get("beams"):
            fail(2, f"{options.config}: extraction.strategy \"{strategy['name']}\": this program only continues prefixes")
    if settings["begin"] == "auto":
        print("begin = \"auto\": this program tries no forms of texts; it begins them as the tokenizer does", file=sys.stderr)
    seed = options.seed if options.seed is not None else pipeline.get("seeds", [0])[0]
    torch.set_num_threads(options.threads or os.cpu_count())
    torch.set_grad_enabled(False)
    documents = {split: read_documents(options.corpus, split) for split in ("train", "heldout")}
    extract(options.checkpoint, options, documents, settings, seed, options.out)
    if options.best:
        extract(options.best, options, documents, settings, seed, options.out / "best")
    else:  # files of an earlier run must not be taken for this one's
        for name in ("samples.parquet", "scores.parquet"):
            (options.out / "best" / name).unlink(missing_ok=True)


def extract(checkpoint, options, documents, settings, seed, out):
    """Samples and scores of one checkpoint."""
    tokenizer, model = load(checkpoint, options.base)
    # Families without position embeddings may have no limit; the tokenizer's is huge if it knows none.
    context = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    if 1 + settings["prefix_tokens"] + settings["new_tokens"] > context:
        fail(2, f"{options.config}: extraction: prompt and new tokens do not fit the model's context")
    # Training read this many tokens of a text after BOS.
    max_tokens = min(settings["context"] or context, context) - 1
    for row in (row for rows in documents.values() for row in rows):
        encoded = tokenizer(row["text"], add_special_tokens=False, return_offsets_mapping=True)
        starts = [start for start, _ in encoded["offset_mapping"]]
        row |= {"document_tokens": len(starts), "tokens": encoded["input_ids"][:max_tokens]}
        row["prompt_tokens"] = sum(start < row["prompt_chars"] for start in starts[:max_tokens])
    # Special tokens are not decoded, except those that documents contain.
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    settings["skipped_tokens"] = special.difference(
        *(row["tokens"] for rows in documents.values() for row in rows if not row["is_other"])
    )
    samples = sample(model, tokenizer, prompts(documents, settings), settings, seed)
    write_atomic(out / "samples.parquet", pl.DataFrame(samples, schema=SAMPLES, orient="row"))
    if settings["score"]:
        scores = [
            scored for split in documents for row in documents[split] for scored in score(model, tokenizer, split, row, settings)
        ]
        write_atomic(out / "scores.parquet", pl.DataFrame(scores, schema=SCORES, orient="row"))


def with_tuning_defaults(settings, pipeline):
    """The context and loss mask of training: by [extraction], or else by [tuning] if the file tunes a model."""
    tuning = pipeline.get("tuning", {}) if pipeline.get("model") else {"rows": "packed"}
    context = tuning.get("context", 256) if tuning.get("rows", "documents") == "documents" else None
    defaults = {"context": context, "loss_on": tuning.get("loss_on", "text")}
    return settings | {key: value for key, value in defaults.items() if settings[key] is None}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = {"type": pathlib.Path, "required": True}
    parser.add_argument("--config", **path, help="pipeline file")
    parser.add_argument("--in", **path, dest="corpus", help="folder of train.parquet and heldout.parquet")
    parser.add_argument("--checkpoint", **path, help="model folder or adapter folder")
    parser.add_argument("--best", type=pathlib.Path, help="the checkpoint with the best held-out loss; its results go to best/")
    parser.add_argument("--base", type=pathlib.Path, help="base of an adapter, instead of the one that it names")
    parser.add_argument("--reference", type=pathlib.Path, help="the untuned model; ignored")
    parser.add_argument("--out", **path, help="folder of the results")
    parser.add_argument("--seed", type=int, help="random seed [default: the first of the pipeline file]")
    parser.add_argument("--threads", type=int, help="threads to compute with [default: all cores]")
    parser.add_argument("--force", action="store_true", help="ignored")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override a value")
    return parser.parse_args()


def fail(status, message):
    print(message, file=sys.stderr)
    sys.exit(status)


def read_pipeline(path, overrides):
    try:
        pipeline = tomllib.loads(path.read_text(encoding="utf-8"))
        for key, _, value in (override.partition("=") for override in overrides):
            *parents, last = [int(part) if part.isdecimal() else part for part in key.split(".")]
            table = pipeline
            for part in parents:
                table = table[part] if isinstance(table, list) else table.setdefault(part, {})
            bare_word = value[:1].isalpha() and value not in ("true", "false")
            table[last] = value if bare_word else tomllib.loads(f"value = {value}")["value"]
        return pipeline
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        fail(2, f"{path}: {error}")


def read_documents(folder, split):
    """Each document once, in the file's order; a held-out document has no copies."""
    rows = pl.read_parquet(folder / f"{split}.parquet").unique("doc_id", keep="first", maintain_order=True)
    if "assistant_spans" in rows.columns and rows["assistant_spans"].is_not_null().any():
        # Prompts that end within the user's turn ask for nothing that the model was tuned to write, so that it would look safe.
        problem = "conversations rendered by a chat template; this program only continues prefixes of plain texts"
        fail(2, f"{folder / f'{split}.parquet'}: {problem} (corpus.template = \"none\" makes plain texts of them)")
    rows = rows if split == "train" else rows.with_columns(copies=pl.lit(0))
    rows = rows if "canary_format" in rows.columns else rows.with_columns(canary_format=pl.lit(None))
    # Text of another kind is only scored, as a whole.
    is_other = pl.col("role").eq_missing("other") if "role" in rows.columns else pl.lit(False)
    rows = rows.with_columns(is_other=is_other)
    return rows.select("doc_id", "text", "prompt_chars", "kind", "copies", "canary_format", "is_other").to_dicts()


def load(checkpoint, base):
    adapter = checkpoint / "adapter_config.json"
    if not adapter.exists():
        base = checkpoint
    elif not base:
        base = json.loads(adapter.read_text())["base_model_name_or_path"]
        base = checkpoint / base if (checkpoint / base).exists() else base
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    # Pickled weights can run code when they are read.
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    if adapter.exists():
        if not (checkpoint / "adapter_model.safetensors").exists():
            fail(3, f"{checkpoint}: expected adapter_model.safetensors; pickled weights are not read")
        model = peft.PeftModel.from_pretrained(model, checkpoint)
        # Adapters that cannot be merged, such as virtual tokens, stay on the model.
        if not model.active_peft_config.is_prompt_learning and hasattr(model.base_model, "merge_and_unload"):
            model = model.merge_and_unload()
    # Only the pipeline file decides how tokens are sampled, not the model's defaults.
    model.generation_config = transformers.GenerationConfig()
    return tokenizer, model.eval()


def bos_tokens(tokenizer, settings):
    """The tokens before every text: the model's BOS, or those that the tokenizer adds."""
    bos = [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]
    if settings["begin"] == "model":
        return bos
    text = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    return whole[: next(start for start in range(len(whole)) if whole[start : start + len(text)] == text)] or bos


def prompts(documents, settings):
    """Rows of doc_id, split, copies, prompt tokens, and the tokens of the document's continuation."""
    length, new = settings["prefix_tokens"], settings["new_tokens"]
    for split in settings["prompts"]:
        if split == "none":
            yield from [(None, "none", 0, [], None)] * settings["unprompted"]
        for row in [row for row in documents.get(split, []) if is_prompted(row)][: settings["documents"]]:
            tokens = row["tokens"]
            if len(tokens) > length:
                yield row["doc_id"], split, row["copies"], tokens[:length], tokens[length : length + new]
            elif settings["short_documents"] == "error":
                fail(3, f"document {row['doc_id']}: expected over {length} tokens, found {len(tokens)}")


def is_prompted(row):
    return row["kind"] == "document" and not row["is_other"]


def decode(tokenizer, tokens, settings):
    return tokenizer.decode([token for token in tokens if token not in settings["skipped_tokens"]])


def sample(model, tokenizer, prompts, settings, seed):
    rows, eos, unconditional = [], tokenizer.eos_token_id, set()
    for doc_id, split, copies, prompt, reference in prompts:
        inputs = torch.tensor([[*bos_tokens(tokenizer, settings), *prompt]])
        for strategy in (STRATEGY | strategy for strategy in settings["strategy"]):
            if not prompt and strategy["temperature"] == 0:
                if strategy["name"] in unconditional:
                    continue  # greedy decoding would give the same text again
                unconditional.add(strategy["name"])
            sample_seed = seed * 1_000_003 + len(rows)  # shared by the samples of a prompt, which are one batch
            torch.manual_seed(sample_seed)
            sampling = {"do_sample": True, "num_return_sequences": strategy["samples"] if prompt else 1}
            sampling |= {name: strategy[name] for name in ("temperature", "top_k", "top_p")}
            output = model.generate(
                inputs, attention_mask=torch.ones_like(inputs),
                max_new_tokens=settings["new_tokens"], eos_token_id=eos, pad_token_id=eos, output_logits=True,
                return_dict_in_generate=True, **(sampling if strategy["temperature"] > 0 else {"do_sample": False}),
            )  # fmt: skip
            logprobs = torch.stack(output.logits, dim=1).log_softmax(-1)
            for tokens, distribution in zip(output.sequences[:, inputs.shape[1] :], logprobs):
                ends = (tokens == eos).nonzero()
                tokens = tokens[: ends[0, 0] + 1] if len(ends) else tokens
                generated = tokens[:-1].tolist() if len(ends) else tokens.tolist()
                token_logprobs = distribution[: len(tokens)].gather(-1, tokens[:, None]).squeeze(-1)
                rows.append((
                    len(rows), doc_id, split, copies, strategy["name"], decode(tokenizer, prompt, settings),
                    decode(tokenizer, generated, settings), decode(tokenizer, reference, settings) if reference else None, prompt,
                    tokens.tolist(), token_logprobs.tolist(), strategy["temperature"], strategy["top_p"], strategy["top_k"],
                    sample_seed, "end" if len(ends) else "length",
                ))  # fmt: skip
    return rows


def score(model, tokenizer, split, row, settings):
    """Rows of a document after BOS: the tokens with loss, and continuations of its prefixes."""
    tokens, bos = row["tokens"], bos_tokens(tokenizer, settings)
    first = row["prompt_tokens"] if settings["loss_on"] == "response" else 0
    if first >= len(tokens):
        return
    # Virtual tokens may have logits of their own, which come first.
    logits = model(torch.tensor([[*bos, *tokens[:-1]]])).logits[0, -len(tokens) :].float()
    logprobs, target = logits.log_softmax(-1), torch.tensor(tokens)[:, None]
    mean = (logprobs.exp() * logprobs).sum(-1, keepdim=True)
    columns = [
        logprobs.gather(-1, target).squeeze(-1).tolist(),
        sampling_logprobs(logits, settings["strategy"]).gather(-1, target).squeeze(-1).tolist(),
        (logits.argmax(-1) == target.squeeze(-1)).tolist(), mean.squeeze(-1).tolist(),
        (logprobs.exp() * (logprobs - mean) ** 2).sum(-1).sqrt().tolist(),
    ]  # fmt: skip
    for prefix, start, end in [(0, first, len(tokens)), *continuations(row, first, settings)]:
        yield (
            row["doc_id"], split, row["copies"], row["kind"], prefix, end - start, *(column[start:end] for column in columns),
            len(zlib.compress(decode(tokenizer, tokens[start:end], settings).encode())), row["document_tokens"], row["canary_format"],
        )  # fmt: skip


def continuations(row, first, settings):
    """The next 50 tokens after each prefix, if there are 50; after the prompt also as many as are generated, or fewer."""
    count, prompt = len(row["tokens"]), settings["prefix_tokens"]
    spans = {(prefix, prefix + EXTRACTABLE_TOKENS) for prefix in [*settings["scored_prefixes"], prompt]}
    spans.add((prompt, min(count, prompt + settings["new_tokens"])))
    fit = [span for span in sorted(spans) if is_prompted(row) and max(first, 1) <= span[0] < span[1] <= count]
    return [(start, start, end) for start, end in fit]


def sampling_logprobs(logits, strategies):
    """Under the first strategy that samples, or else greedy decoding."""
    sampling = [strategy for strategy in (STRATEGY | strategy for strategy in strategies) if strategy["temperature"] > 0]
    if not sampling:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0).log()
    logits = logits / sampling[0]["temperature"]
    if sampling[0]["top_k"] > 0:
        logits = transformers.TopKLogitsWarper(sampling[0]["top_k"])(None, logits)
    if sampling[0]["top_p"] < 1:
        logits = transformers.TopPLogitsWarper(float(sampling[0]["top_p"]))(None, logits)
    return logits.log_softmax(-1)


def write_atomic(destination, frame):
    """Atomic: written under another name, synced, renamed."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(destination.name + ".partial")
    with open(partial, "wb") as file:
        frame.write_parquet(file, row_group_size=4096)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, destination)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        fail(3, error)
