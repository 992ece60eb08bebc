"""transformers' own generation in bf16: generate.py SETTINGS.json, with the device, the model folder, a file of prompts of one length, the
batch sizes to try, new_tokens and top_k. Prints one line of JSON: tokens per second by batch size."""

import json
import sys
import time
from pathlib import Path

import torch
import transformers


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    device = torch.device(settings["device"])
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.bfloat16).to(device).eval()
    prompts = torch.tensor(json.loads(Path(settings["prompts"]).read_text()), device=device)
    # Without EOS, so that both sides take the same number of steps.
    sampling = {"do_sample": True, "top_k": settings["top_k"], "top_p": 1.0, "eos_token_id": None, "pad_token_id": 0}

    @torch.inference_mode()
    def generate(rows):
        output = model.generate(rows, attention_mask=torch.ones_like(rows), max_new_tokens=settings["new_tokens"], **sampling)
        return output.numel() - rows.numel()

    speeds = {}
    for batch in settings["batches"]:
        generate(prompts[:batch])
        wait()
        started, tokens = time.perf_counter(), 0
        for rows in prompts.split(batch):
            tokens += generate(rows)
        wait()
        speeds[batch] = tokens / (time.perf_counter() - started)
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
