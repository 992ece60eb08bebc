"""Tuning with transformers and peft: the peer of the program `tuner`, on the same batches.

    tune.py SETTINGS.json

The settings have the model folder, the mode, the batches (a list of steps, each a list of rows of token ids), for LoRA the folder of the
initial adapter, and the settings of the optimizer. AdamW is PyTorch's fused one, as in the Trainer. Prints one line of JSON: tokens per
second, seconds, and the loss of each step.
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

IGNORED = -100  # the target that cross-entropy ignores


def load(settings):
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
    if settings["mode"] == "lora":
        import peft

        model = peft.PeftModel.from_pretrained(model, settings["adapter"], is_trainable=True)
    elif settings["mode"] == "head":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    # Neither side has dropout.
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
    """Token ids and targets, right-padded to the longest row."""
    longest = max(map(len, rows)) - 1
    inputs = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), IGNORED)
    for index, row in enumerate(rows):
        inputs[index, : len(row) - 1] = torch.tensor(row[:-1])
        targets[index, : len(row) - 1] = torch.tensor(row[1:])
    return inputs, targets


def main():
    settings = json.load(open(sys.argv[1]))
    torch.set_num_threads(settings["threads"])
    transformers.logging.set_verbosity_error()
    model = load(settings)
    trainable, optimizer = optimizer_of(model, settings)
    steps = json.load(open(settings["batches"]))
    losses, times, tokens = [], [time.perf_counter()], [0]
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
        # EOS is trained, but excluded from reported losses.
        text = (targets != IGNORED) & (targets != model.config.eos_token_id)
        losses.append(each.detach()[text].mean().item())
        times.append(time.perf_counter())
        tokens.append(tokens[-1] + sum(len(row) - 1 for row in rows))
    first = min(settings["warm_steps"], len(steps) - 1)
    speed = (tokens[-1] - tokens[first]) / (times[-1] - times[first])
    print(json.dumps({"tokens_per_second": speed, "seconds": times[-1] - times[0], "losses": losses}))


if __name__ == "__main__":
    main()
