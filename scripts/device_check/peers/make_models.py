"""Writes model folders with random weights: make_models.py SETTINGS.json, a list of {folder, config, dtype, tokenizer} and the device to
draw them on."""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    for model in settings["models"]:
        # What ends a text is never drawn first, so that lengths are those asked for; the tokenizer's own first token stands for it.
        config = transformers.AutoConfig.for_model(**model["config"], bos_token_id=0, eos_token_id=0)
        torch.manual_seed(0)
        with torch.device(settings["device"]):
            made = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, model["dtype"]))
        made.save_pretrained(model["folder"])
        # Only token ids matter here; any tokenizer makes some of texts.
        shutil.copy(model["tokenizer"], model["folder"])
        del made
    print(json.dumps({"models": len(settings["models"])}))


if __name__ == "__main__":
    main()
