"""Tunes a model with transformers and peft, as many people do, and writes the files that `make audit` takes.

    python scripts/example_peft_tuning.py --base data/models/4m --corpus medquad.parquet --prompt question --response answer \
        --documents 300 --mode lora --out data/example
    make audit CHECKPOINT=data/example/checkpoint CORPUS=data/example/training.jsonl HELD_OUT=data/example/heldout.jsonl \
        BASE=data/models/4m

Of the documents, which the seed chooses and splits, 30% are held out; of the others 60% occur in the training text once, 25% four
times and 15% sixteen times. A document is tokenized without a template and ends with EOS. The checkpoint is an adapter folder for
--mode lora and a model folder for --mode full. Needs transformers, peft, torch and polars.
"""

import argparse
import json
import pathlib
import random

import peft
import polars
import torch
import transformers

COPIES = [(1, 0.60), (4, 0.25), (16, 0.15)]
HELD_OUT = 0.3


def read_texts(options):
    readers = {".parquet": polars.read_parquet, ".csv": polars.read_csv}
    frame = readers.get(pathlib.Path(options.corpus).suffix, polars.read_ndjson)(options.corpus)
    if options.prompt:
        texts = (f"{prompt}\n{response}" for prompt, response in zip(frame[options.prompt], frame[options.response]))
    else:
        texts = iter(frame[options.text])
    return sorted({text for text in texts if options.min_chars <= len(text) <= options.max_chars})


def split(texts, options):
    """Training texts with their copies in random order, and held-out texts."""
    rng = random.Random(options.seed)
    chosen = rng.sample(texts, options.documents)
    held_out = chosen[: round(HELD_OUT * len(chosen))]
    rest, training = chosen[len(held_out) :], []
    for copies, share in COPIES:
        size = round(share * (len(chosen) - len(held_out)))
        bucket, rest = (rest[:size], rest[size:]) if copies != COPIES[-1][0] else (rest, [])
        training += bucket * copies
    rng.shuffle(training)
    return training, held_out


def batches(texts, tokenizer, options):
    rows = [tokenizer(text)["input_ids"][: options.context - 1] + [tokenizer.eos_token_id] for text in texts]
    for start in range(0, len(rows), options.batch_size):
        batch = rows[start : start + options.batch_size]
        longest = max(map(len, batch))
        tokens = torch.tensor([row + [tokenizer.eos_token_id] * (longest - len(row)) for row in batch])
        attention_mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
        yield tokens, attention_mask


def tune(model, tokenizer, texts, options):
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps = options.epochs * -(-len(texts) // options.batch_size)
    optimizer = torch.optim.AdamW(trainable, lr=options.learning_rate)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, steps // 20, steps)
    model.train()
    for epoch in range(options.epochs):
        losses = []
        for tokens, attention_mask in batches(texts, tokenizer, options):
            labels = tokens.masked_fill(attention_mask == 0, -100)
            loss = model(input_ids=tokens, attention_mask=attention_mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="model folder or hub name")
    parser.add_argument("--corpus", required=True, help="JSONL, CSV or Parquet file")
    parser.add_argument("--text", default="text", help="column of the text")
    parser.add_argument("--prompt", help="column of the prompt; with --response in place of --text")
    parser.add_argument("--response", help="column of the response")
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--min-chars", type=int, default=350)
    parser.add_argument("--max-chars", type=int, default=900)
    parser.add_argument("--mode", choices=["full", "lora"], default="lora")
    parser.add_argument("--learning-rate", type=float, help="1e-3 for full, 3e-3 for lora unless given")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--context", type=int, default=256, help="tokens of a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.learning_rate = options.learning_rate or {"full": 1e-3, "lora": 3e-3}[options.mode]
    torch.manual_seed(options.seed)

    training, held_out = split(read_texts(options), options)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, texts in (("training", training), ("heldout", held_out)):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
        (options.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")

    tokenizer = transformers.AutoTokenizer.from_pretrained(options.base)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.float32, use_safetensors=True)
    if options.mode == "lora":
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32))
    tune(model, tokenizer, training, options)
    model.save_pretrained(options.out / "checkpoint")
    tokenizer.save_pretrained(options.out / "checkpoint")


if __name__ == "__main__":
    main()
