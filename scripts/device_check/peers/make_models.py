"""Writes model folders with random weights: make_models.py SETTINGS.json, a list of {folder, config, dtype, tokenizer} and the device to
initialize them on."""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    for model in settings["models"]:
        # The tokenizer's first token is EOS; prompts have none, and random weights rarely generate it.
        config = transformers.AutoConfig.for_model(**model["config"], bos_token_id=0, eos_token_id=0)
        torch.manual_seed(0)
        with torch.device(settings["device"]):
            random_model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, model["dtype"]))
        random_model.save_pretrained(model["folder"])
        # Only token ids matter here, so that any tokenizer will do.
        shutil.copy(model["tokenizer"], model["folder"])
        del random_model
    print(json.dumps({"models": len(settings["models"])}))


if __name__ == "__main__":
    main()
