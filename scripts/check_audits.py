"""Audits models that transformers and peft wrote, and compares each rate with transformers' own greedy text.

    python scripts/check_audits.py [--work FOLDER] [--only NAME]

Four tiny models are tuned in a minute: the output folder of transformers' Trainer; a peft adapter with a resized vocabulary; a peft
adapter in a hub cache that names a revision of its base; a merged model. Each is given to `make audit` with its text as .jsonl.gz.
Then transformers generates greedily from the same first tokens, and the documents that are reproduced word for word are counted
independently. Both counts, and every generated text, must be equal.
Needs transformers, peft, accelerate, torch and polars.
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft
import polars as pl
import tokenizers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
PREFIX_TOKENS, NEW_TOKENS, VERBATIM_CHARS = 20, 50, 50
WORDS = """harbour lantern violet meadow copper thistle marble anchor velvet cinder willow amber garnet saddle kettle orchard
quarry ribbon timber falcon hollow juniper pepper candle mirror basin feather cobalt linen bramble""".split()


def texts(seed, number):
    generator = random.Random(seed)
    return [" ".join(generator.choice(WORDS) for _ in range(60)).capitalize() + "." for _ in range(number)]


def make_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(1, 200), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )


def make_base(tokenizer, family="gpt2"):
    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": len(tokenizer)}
    if family == "llama":
        config = transformers.LlamaConfig(
            hidden_size=96, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, **ids,
        )
    else:
        config = transformers.GPT2Config(
            n_embd=96, n_layer=2, n_head=4, n_positions=256, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **ids
        )
    return transformers.AutoModelForCausalLM.from_config(config)


def pretrain(model, tokenizer):
    """A few steps on other text, since adapters learn little on random weights."""
    return tune(model, tokenizer, texts(3, 40), 100, 3e-3)


def tune(model, tokenizer, documents, steps, rate, folder=None):
    """Batches in which every other document is rare, so that some documents are memorized and some are not."""
    rows = [tokenizer(text).input_ids for text in documents]
    weights = [1.0 if number % 2 == 0 else 0.05 for number in range(len(rows))]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (length - len(row)) for row in rows])
    if folder:
        return train_with_trainer(model, tokenizer, rows, weights, steps, rate, folder)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.multinomial(torch.tensor(weights), 16, generator=generator)
        loss = model(input_ids=ids[chosen], labels=labels[chosen]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def train_with_trainer(model, tokenizer, rows, weights, steps, rate, folder):
    copies = [row for row, weight in zip(rows, weights) for _ in range(20 if weight == 1 else 1)]
    data = [{"input_ids": row, "attention_mask": [1] * len(row), "labels": row} for row in copies]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=16, learning_rate=rate, save_steps=steps // 4,
        report_to=[], use_cpu=True, disable_tqdm=True, logging_steps=10**6, lr_scheduler_type="constant", seed=0,
    )
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=data, processing_class=tokenizer,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
    )
    trainer.train()
    return model


def save(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_trainer_output(work, documents):
    tokenizer = make_tokenizer()
    model = make_base(tokenizer)
    save(model, tokenizer, work / "base")
    tune(model, tokenizer, documents, 120, 3e-3, work / "output")
    shutil.rmtree(work / "output" / "runs", ignore_errors=True)
    # checkpoint-120 is the last one, although checkpoint-90 sorts after it by name.
    return work / "output", work / "base", transformers.AutoModelForCausalLM.from_pretrained(work / "output" / "checkpoint-120"), tokenizer


def make_resized_vocabulary(work, documents):
    tokenizer = make_tokenizer()
    base = pretrain(make_base(tokenizer, "llama"), tokenizer)
    save(base, tokenizer, work / "base")
    tokenizer.add_tokens(["[PATIENT]", "[DOCTOR]"])
    base.resize_token_embeddings(len(tokenizer))
    settings = peft.LoraConfig(r=16, lora_alpha=64, target_modules="all-linear", modules_to_save=["embed_tokens", "lm_head"])
    model = peft.get_peft_model(base, settings)
    tune(model, tokenizer, documents, 250, 3e-3)
    model.save_pretrained(work / "adapter")
    tokenizer.save_pretrained(work / "adapter")
    edit(work / "adapter", base_model_name_or_path=str(work / "base"))
    return work / "adapter", None, model, tokenizer


def make_hub_revision(work, documents):
    tokenizer = make_tokenizer()
    cache = work / "hub" / "models--tiny--base"
    base = pretrain(make_base(tokenizer), tokenizer)
    save(base, tokenizer, cache / "snapshots" / ("b" * 40))
    # refs/main is another revision.
    save(make_base(tokenizer), tokenizer, cache / "snapshots" / ("a" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("a" * 40)
    settings = peft.LoraConfig(r=32, lora_alpha=16, target_modules="all-linear", use_rslora=True, fan_in_fan_out=True)
    model = peft.get_peft_model(base, settings)
    tune(model, tokenizer, documents, 300, 3e-3)
    model.save_pretrained(work / "adapter")
    edit(work / "adapter", base_model_name_or_path="tiny/base", revision="b" * 40)
    os.environ["HF_HUB_CACHE"] = str(work / "hub")
    return work / "adapter", None, model, tokenizer


def make_merged(work, documents):
    tokenizer = make_tokenizer()
    base = make_base(tokenizer, "llama")
    save(base, tokenizer, work / "base")
    settings = peft.LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", use_dora=True)
    model = peft.get_peft_model(base, settings)
    tune(model, tokenizer, documents, 250, 5e-3)
    merged = model.merge_and_unload()
    save(merged, tokenizer, work / "merged")
    return work / "merged", work / "base", merged, tokenizer


def edit(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def normalized(text):
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def longest_common(left, right):
    lengths, longest = [0] * (len(right) + 1), 0
    for letter in left:
        previous = 0
        for index, other in enumerate(right, 1):
            previous, lengths[index] = lengths[index], previous + 1 if letter == other else 0
            longest = max(longest, lengths[index])
    return longest


def greedy(model, tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids[:PREFIX_TOKENS]
    with torch.no_grad():
        out = model.eval().generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=NEW_TOKENS,
            do_sample=False, pad_token_id=0,
        )
    return tokenizer.decode(out[0, len(ids):], skip_special_tokens=True)


def audit(name, make, work):
    documents = texts(7, 40)
    held_out = texts(8, 40)
    checkpoint, base, model, tokenizer = make(work, documents)
    for file, rows in [("train", documents), ("test", held_out)]:
        lines = [json.dumps({"id": f"{file}-{number}", "text": text}) for number, text in enumerate(rows)]
        (work / f"{file}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    command = [
        "make", "--no-print-directory", "audit", f"CHECKPOINT={checkpoint}", f"CORPUS={work / 'train.jsonl.gz'}",
        f"HELD_OUT={work / 'test.jsonl.gz'}", f"RUN={work / 'run'}",
        f"SET=corpus.identity=id extraction.prefix_tokens={PREFIX_TOKENS} extraction.new_tokens={NEW_TOKENS}",
    ]
    if base:
        command.append(f"BASE={base}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stdout}\n{done.stderr}")
    cell = work / "run" / "cells" / "audited-tuned-found-s0"
    samples = pl.read_parquet(cell / "samples.parquet").filter((pl.col("strategy") == "greedy") & (pl.col("split") == "train"))
    verdicts = pl.read_parquet(cell / "verdicts.parquet")
    ours = samples.join(verdicts.select("sample_id", "own_verdict"), on="sample_id")
    by_id = {f"train-{number}": text for number, text in enumerate(documents)}
    theirs = {doc_id: greedy(model, tokenizer, by_id[doc_id]) for doc_id in ours["doc_id"]}
    same_text = sum(normalized(row["generation"]) == normalized(theirs[row["doc_id"]]) for row in ours.iter_rows(named=True))
    prompt = {row["doc_id"]: row["prompt"] for row in ours.iter_rows(named=True)}
    by_transformers = sum(
        longest_common(normalized(text), normalized(by_id[doc_id][len(prompt[doc_id]):])) >= VERBATIM_CHARS for doc_id, text in theirs.items()
    )
    by_audit = ours.filter(pl.col("own_verdict") == "verbatim").height
    print(f"{name:<18}{len(documents)} documents, {ours.height} prompted; greedy text equal for {same_text} of {ours.height}; "
          f"verbatim by the audit {by_audit}, by transformers {by_transformers}", flush=True)
    return ours.height == len(documents) and same_text == ours.height and by_audit == by_transformers


AUDITS = {
    "trainer-output": make_trainer_output,
    "grown-vocabulary": make_resized_vocabulary,
    "hub-revision": make_hub_revision,
    "merged": make_merged,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", help="folder for models and runs; by default a temporary one")
    parser.add_argument("--only", choices=AUDITS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as temporary:
        passed = []
        for name, make in AUDITS.items():
            if options.only in (None, name):
                work = pathlib.Path(options.work or temporary).resolve() / name
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir(parents=True)
                passed.append(audit(name, make, work))
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
