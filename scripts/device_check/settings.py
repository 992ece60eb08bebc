"""Shapes, goals and tolerances of the device check. TINY has the shapes of the dry run on a processor."""

# Largest differences of the device from the processor.
TOLERANCES = {
    "float32": 1e-4,  # of the largest number compared, in device_parity
    "bf16": 0.1,
    "bf16 over the processor's": 2.0,  # times the processor's own error in bf16, if that is larger
    "loss": 1e-3,  # nats per token, in float32
    "estimate": 0.25,  # of the measured time or memory
}

# Goals of speed for the shape of GPT-2 124 M in bf16 on an H100 or H200; ratios are ours over the peer's.
GOALS = {
    "packed, full": 400_000,  # tokens/s
    "packed, LoRA": 550_000,
    "documents over packed": 0.8,
    "decoding over transformers": 2.0,
    "scoring": 1_000_000,  # tokens/s
}

LLAMA_3 = {
    "model_type": "llama", "rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "rope_theta": 500000.0,
    "vocab_size": 128256,
}  # fmt: skip
LLAMA_3_ROPE = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}

FULL = {
    # Seconds that each check takes on an H200, with loading; a check is left out if less time is left.
    "seconds": {"device": 10, "parity": 40, "greedy": 40, "tuning": 60, "decoding": 30, "scoring": 30, "models": 70},
    "gpt2": {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
    "speed": {"width": 768, "vocabulary": 50257},
    "greedy": {"documents": 60, "prefix_tokens": 30, "new_tokens": 50, "steps": 6, "rows": 8},
    "tuning": {"rows": 16, "context": 1024, "documents": 96, "rank": 16, "warm_steps": 10, "steps": 60},
    "decoding": {"prompts": 1024, "prompt_tokens": 50, "new_tokens": 50, "top_k": 40, "peer_batches": [256, 1024]},
    "scoring": {"documents": 4000, "fewer": 40, "tokens": 1000, "context": 1024},
    "models": {"rows": 8, "context": 1024, "rank": 16, "warm_steps": 5, "steps": 20, "documents": 512},
    # Models whose folders are written together.
    "groups": [{
        "Llama-3.2-1B": LLAMA_3 | {
            "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True, "rope_scaling": LLAMA_3_ROPE | {"factor": 32.0},
        },
        "Qwen3-1.7B": {
            "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
            "rms_norm_eps": 1e-6, "max_position_embeddings": 40960, "rope_theta": 1000000.0,
        },
    }],
    "large": {
        "Llama-3.1-8B": LLAMA_3 | {
            "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False, "rope_scaling": LLAMA_3_ROPE | {"factor": 8.0},
        },
    },
}  # fmt: skip

# Only sizes differ. The vocabulary stays larger than the tokenizer's.
TINY_LAYERS = {
    "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "vocab_size": 5000,
}  # fmt: skip
TINY = FULL | {
    "seconds": dict.fromkeys(FULL["seconds"], 1),
    "gpt2": FULL["gpt2"] | {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 5000, "n_positions": 128},
    "speed": {"width": 64, "vocabulary": 512},
    "greedy": FULL["greedy"] | {"documents": 8, "new_tokens": 8, "steps": 2, "rows": 4},
    "tuning": FULL["tuning"] | {"rows": 2, "context": 32, "documents": 2, "rank": 4, "warm_steps": 2, "steps": 4},
    "decoding": FULL["decoding"] | {"prompts": 8, "prompt_tokens": 10, "new_tokens": 4, "peer_batches": [4, 8]},
    "scoring": {"documents": 40, "fewer": 4, "tokens": 80, "context": 128},
    "models": FULL["models"] | {"rows": 2, "context": 32, "rank": 4, "warm_steps": 2, "steps": 6, "documents": 4},
    "groups": [{name: shape | TINY_LAYERS for name, shape in group.items()} for group in FULL["groups"]],
    "large": {name: shape | TINY_LAYERS for name, shape in FULL["large"].items()},
}
