"""Tuning as transformers and peft do it on a GPU, eager: tune.py SETTINGS.json.

Weights in float32, autocast to bf16, PyTorch's fused AdamW, rows of random tokens without padding, no dropout. The settings have the
device, the model folder, and cases: {name, lora_rank (0: every parameter), lora_targets, rows, context, warm_steps, steps}. Prints one line
of JSON: for each case its tokens per second after the warm steps, and the peak memory of tensors on the GPU.
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers


def load(settings, case):
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
    if case["lora_rank"]:
        import peft

        adapter = peft.LoraConfig(r=case["lora_rank"], lora_alpha=2 * case["lora_rank"], target_modules=case["lora_targets"], fan_in_fan_out=True)
        model = peft.get_peft_model(model, adapter)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.to(settings["device"]).train()


def measure(settings, case):
    device = torch.device(settings["device"])
    is_gpu = device.type == "cuda"
    wait = torch.cuda.synchronize if is_gpu else lambda: None
    if is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = load(settings, case)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.01, fused=True)
    generator = torch.Generator(device).manual_seed(0)
    size = (case["rows"], case["context"])
    for step in range(case["steps"]):
        if step == case["warm_steps"]:
            wait()
            started = time.perf_counter()
        tokens = torch.randint(model.config.vocab_size, size, device=device, generator=generator)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    wait()
    tokens = (case["steps"] - case["warm_steps"]) * case["rows"] * case["context"]
    peak = torch.cuda.max_memory_allocated() if is_gpu else None
    return {"tokens_per_second": tokens / (time.perf_counter() - started), "peak_bytes": peak}


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    transformers.logging.set_verbosity_error()
    print(json.dumps({case["name"]: measure(settings, case) for case in settings["cases"]}))


if __name__ == "__main__":
    main()
