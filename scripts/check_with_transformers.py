"""Logits of a model folder, or of a LoRA adapter folder on its base, as Hugging Face transformers and peft compute them.

    python scripts/check_with_transformers.py CHECKPOINT --tokens 464,6076,318 --out logits.safetensors
    python scripts/check_with_transformers.py --base MODEL --adapter ADAPTER --tokens rows.txt --out logits.safetensors

--tokens is one row of ids, or a file with one row per line, all of the same length. `logits` in the written file is
float32 [rows, tokens, vocabulary]; without --out, each row's most probable next token is printed. Exit status 1 if weights of
the folder are missing, unexpected or of another shape, for which transformers and peft only warn.
"""

import argparse
import os
import pathlib
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import save_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="model folder")
    parser.add_argument("--adapter", help="adapter folder; needs --base")
    parser.add_argument("--base", help="model folder that the adapter belongs to")
    parser.add_argument("--tokens", required=True, help="ids joined by commas, or a file with one row of them per line")
    parser.add_argument("--out", help="safetensors file to write")
    options = parser.parse_args()
    if bool(options.model) == bool(options.adapter) or bool(options.adapter) != bool(options.base):
        parser.error("expected a model folder, or --adapter together with --base")

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load_model(options.model or options.base)
    if options.adapter:
        model = load_adapter(model, options.adapter)
    with torch.no_grad():
        logits = model.eval()(read_tokens(options.tokens)).logits.float()
    if options.out:
        save_file({"logits": logits.contiguous()}, options.out)
    else:
        for row in logits[:, -1].argmax(-1).tolist():
            print(row)


def load_model(folder):
    model, loaded = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        # Old GPT-2 files also hold the attention mask.
        keys = sorted(str(key) for key in loaded.get(problem) or [] if not str(key).endswith(".masked_bias"))
        if keys:
            sys.exit(f"{folder}: {problem.replace('_', ' ')}: {', '.join(keys)}")
    return model


def load_adapter(base, folder):
    import peft

    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base, folder)
    for warning in raised:
        if "adapter keys" in str(warning.message):
            sys.exit(f"{folder}: {warning.message}")
    return model


def read_tokens(argument):
    path = pathlib.Path(argument)
    lines = path.read_text().split() if path.is_file() else [argument]
    return torch.tensor([[int(token) for token in line.split(",")] for line in lines])


if __name__ == "__main__":
    main()
