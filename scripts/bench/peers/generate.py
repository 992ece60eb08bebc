"""transformers' own generation: the peer of crates/extractor/examples/generate.rs, with the same arguments and the same line of JSON.

    generate.py MODEL PROMPTS.json NEW_TOKENS BATCH_SIZE float32|bf16 THREADS greedy|TOP_K
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers


def main():
    folder, prompts, new_tokens, batch_size, precision, threads, decoding = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    prompts, batch_size, new_tokens = json.load(open(prompts)), int(batch_size), int(new_tokens)
    # Without EOS, so that both sides take the same number of steps.
    settings = {"max_new_tokens": new_tokens, "eos_token_id": None, "pad_token_id": 0}
    settings |= {"do_sample": False} if decoding == "greedy" else {"do_sample": True, "top_k": int(decoding), "top_p": 1.0}

    def generate(rows):
        with torch.inference_mode():
            tokens = torch.tensor(rows)
            output = model.generate(tokens, attention_mask=torch.ones_like(tokens), **settings)
        return output[:, tokens.shape[1] :].tolist()

    generate(prompts[:batch_size])
    started, ids = time.perf_counter(), []
    for start in range(0, len(prompts), batch_size):
        ids += generate(prompts[start : start + batch_size])
    seconds = time.perf_counter() - started
    print(json.dumps({"tokens_per_second": sum(map(len, ids)) / seconds, "seconds": seconds, "ids": ids}))


if __name__ == "__main__":
    main()
