"""Tuning as transformers and peft do it: the peer of the program `tuner`, on the very batches that it takes.

    tune.py SETTINGS.json

The settings name the model folder, the way of tuning, the batches (a list of steps, each a list of rows of token ids), for LoRA the
folder of the adapter to begin with, and what the optimizer is told. AdamW is PyTorch's fused one, the one that the Trainer takes. Prints
one line of JSON: tokens per second, seconds, and the loss of each step.
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

IGNORED = -100  # the target that cross-entropy leaves out


def load(settings):
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
    if settings["mode"] == "lora":
        import peft

        model = peft.PeftModel.from_pretrained(model, settings["adapter"], is_trainable=True)
    elif settings["mode"] == "head":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    # Neither side drops anything.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


def optimizer_of(model, settings):
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return trainable, torch.optim.AdamW([group for group in groups if group["params"]], betas=settings["betas"], fused=True)


def tensors(rows):
    """Token ids and targets, padded on the right to the longest row."""
    longest = max(map(len, rows)) - 1
    inputs = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), IGNORED)
    for place, row in enumerate(rows):
        inputs[place, : len(row) - 1] = torch.tensor(row[:-1])
        targets[place, : len(row) - 1] = torch.tensor(row[1:])
    return inputs, targets


def main():
    settings = json.load(open(sys.argv[1]))
    torch.set_num_threads(settings["threads"])
    transformers.logging.set_verbosity_error()
    model = load(settings)
    trainable, optimizer = optimizer_of(model, settings)
    steps = json.load(open(settings["batches"]))
    losses, moments, read = [], [time.perf_counter()], [0]
    for rows, rate in zip(steps, settings["learning_rates"], strict=True):
        inputs, targets = tensors(rows)
        logits = model(inputs, use_cache=False).logits
        targets = targets.flatten()
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORED, reduction="none")
        (each.sum() / (targets != IGNORED).sum()).backward()
        torch.nn.utils.clip_grad_norm_(trainable, settings["clip"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        # The end of a text is learned, and counts in no reported loss.
        text = (targets != IGNORED) & (targets != model.config.eos_token_id)
        losses.append(each.detach()[text].mean().item())
        moments.append(time.perf_counter())
        read.append(read[-1] + sum(len(row) - 1 for row in rows))
    first = min(settings["warm_steps"], len(steps) - 1)
    speed = (read[-1] - read[first]) / (moments[-1] - moments[first])
    print(json.dumps({"tokens_per_second": speed, "seconds": moments[-1] - moments[0], "losses": losses}))


if __name__ == "__main__":
    main()
