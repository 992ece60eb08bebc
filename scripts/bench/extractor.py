"""Speed of generation against transformers' generate, with the same checkpoint, prompts and threads. Run by `make bench-extractor`.

    extractor.py [small] [large] [sampling]    (all of them without arguments)

small has 5.3 million parameters, large 124 million (GPT-2's shape), both with random weights. The peer decodes in float32 with batches of
16, or 4; greedy token ids must be equal. sampling compares the distributions of first sampled tokens by a chi-square test. THREADS,
BENCH_PAIRS, BENCH_PYTHON: see harness.py and setup.sh.
"""

import collections
import json
import os
import pathlib
import random
import sys

from harness import DATA, NEEDS_PYTHON, PYTHON, ROOT, THREADS, Missing, compare, example, finish, needs, row, run

BENCH = "extractor"
HERE = pathlib.Path(__file__).resolve().parent
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
PROMPT_TOKENS = NEW_TOKENS = 50
SHAPES = {
    # layers, width, heads, vocabulary, the peer's batch, ours, prompts
    "small": (4, 256, 8, 8192, 16, 128, 256),
    "large": (12, 768, 12, 50257, 4, 48, 48),
    "tiny": (2, 64, 4, 300, 500, 500, 20_000),
}
# Factor on the usual standard deviation of weights, so that greedy texts differ.
SCALE = 5.0


def model(name):
    folder = DATA / "models" / name
    if not (folder / "model.safetensors").exists():
        run([example("causal-lm", "random_model"), folder, *SHAPES[name][:4], 256, SCALE, ROOT / "data/models/4m"])
    return folder


def prompts(name):
    """Random prompts of one length; for the tiny model one prompt repeated."""
    *_, vocabulary, _, _, count = SHAPES[name]
    rng = random.Random(1)
    rows = [[rng.randrange(1, vocabulary) for _ in range(PROMPT_TOKENS)] for _ in range(1 if name == "tiny" else count)]
    file = DATA / "models" / f"{name}-prompts.json"
    file.write_text(json.dumps(rows * (count if name == "tiny" else 1)))
    return file


def ours(name, batch, precision="float32", new=NEW_TOKENS, decoding="greedy"):
    return generate([example("extractor", "generate")], name, batch, precision, new, decoding)


def theirs(name, batch, precision="float32", new=NEW_TOKENS, decoding="greedy"):
    peer = [needs(PYTHON, NEEDS_PYTHON), HERE / "peers/generate.py"]
    return generate(peer, name, batch, precision, new, decoding)


def generate(program, name, batch, precision, new, decoding):
    done = run([*program, model(name), prompts(name), new, batch, precision, THREADS, decoding])
    figures = done.figures()
    return figures["tokens_per_second"], done.peak_bytes, figures["ids"]


def speed(name):
    layers, width, _, vocabulary, their_batch, our_batch, _ = SHAPES[name]
    rows = []
    for batch, precision in [(their_batch, "float32"), (our_batch, "float32"), (our_batch, "bf16")]:
        same = (lambda mine, peer: mine == peer) if precision == "float32" else None
        rows.append(
            compare(
                BENCH, f"{name}: batch {batch}, {precision}", "tokens/s", lambda: ours(name, batch, precision),
                lambda: theirs(name, their_batch), pairs=PAIRS, higher=True, equal=same,
                note=f"peer: batch {their_batch}, float32; {PROMPT_TOKENS} + {NEW_TOKENS} tokens",
            )  # fmt: skip
        )
    float32, bf16 = rows[1]["ours"], rows[2]["ours"]
    if float32 and bf16:
        rows.append(row(BENCH, f"{name}: bf16 over float32, batch {our_batch}", "ratio", ours=bf16 / float32))
    return rows


def sampling():
    """The first tokens that both sample from one prompt: Pearson's chi-square test of two samples, with all tokens that were sampled
    fewer than ten times in one class."""
    try:
        ids = [run_side("tiny", 500, new=1, decoding="40")[2] for run_side in (ours, theirs)]
        sampled = [collections.Counter(generated[0] for generated in rows) for rows in ids]
    except Missing as missing:
        return [row(BENCH, "sampling: same distribution", "deviations", note=f"peer missing: {missing}")]
    classes = collections.defaultdict(lambda: [0, 0])
    for token in set(sampled[0]) | set(sampled[1]):
        counts = sampled[0][token], sampled[1][token]
        pair = classes[token if sum(counts) >= 10 else "rare"]
        pair[0] += counts[0]
        pair[1] += counts[1]
    statistic = sum((mine - peer) ** 2 / (mine + peer) for mine, peer in classes.values())
    degrees = len(classes) - 1
    # Wilson and Hilferty's normal approximation: 3.09 deviations have a probability of one in a thousand.
    deviations = ((statistic / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / (2 / (9 * degrees)) ** 0.5
    note = f"chi-square {statistic:.1f} at {degrees} degrees of freedom, {sum(sampled[0].values()):,} draws each, top-k 40"
    return [row(BENCH, "sampling: same distribution", "deviations", ours=deviations, equal=deviations < 3.09, note=note)]


def main():
    wanted = sys.argv[1:] or ["small", "large", "sampling"]
    rows = []
    for name in wanted:
        rows += sampling() if name == "sampling" else speed(name)
    finish(BENCH, rows)


if __name__ == "__main__":
    main()
