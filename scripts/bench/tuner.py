"""Speed of tuning against transformers and peft, with the same initial weights, batches, learning rates, AdamW and threads, and without
dropout. Run by `make bench-tuner`.

    tuner.py [small] [large] [head] [curves] [padding] [memory]    (all of them without arguments)

small has 5.3 million parameters and steps of 16 rows of 128 tokens, large 124 million (GPT-2's shape) and steps of 4; both begin with
random weights. The peer computes in float32. head is ten whole epochs of head-only tuning. curves compares the losses of 200 steps, step
by step. padding has one document per row, of its own length. memory is ours alone: resident memory over 10,000 steps of a tiny model. A
floor is the time of the arithmetic alone at the rate of large matrix products, measured in the same run with the fastest library, which
the table names. THREADS, BENCH_PAIRS, BENCH_PYTHON: see harness.py and setup.sh; BENCH_PRECISIONS and BENCH_MODES select some of them.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile

import polars as pl

from harness import DATA, NEEDS_PYTHON, PYTHON, ROOT, THREADS, Missing, compare, example, finish, floor_rate, needs, row, run

BENCH = "tuner"
HERE = pathlib.Path(__file__).resolve().parent
PAIRS = int(os.environ.get("BENCH_PAIRS", 3))
TUNER = os.environ.get("TUNER", str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/tuner"))
CONTEXT, RANK, WARM_STEPS = 128, 16, 2
SHAPES = {
    # layers, width, heads, vocabulary, rows per step, steps timed, documents of the ten epochs
    "small": (4, 256, 8, 8192, 16, 40, 60),
    "large": (12, 768, 12, 50257, 4, 8, 12),
    "tiny": (1, 32, 2, 4096, 4, 10_000, 60),
}
# With the largest relative difference from the peer's losses that counts as equal.
PRECISIONS = {p: t for p, t in {"float32": 1e-3, "bf16": 1e-2}.items() if p in os.environ.get("BENCH_PRECISIONS", "float32 bf16")}
MODES = [mode for mode in ["full", "lora"] if mode in os.environ.get("BENCH_MODES", "full lora")]
RATES = {"full": 3e-4, "head": 1e-3, "lora": 1e-3}
# Goals of the ratio to the peer.
GOALS = {("small", "head"): 4.0, ("large", "head"): 4.0, ("large", "lora"): 1.25}


def python():
    return needs(PYTHON, NEEDS_PYTHON)


def model(name):
    folder = DATA / "models" / f"tuner-{name}"
    if not (folder / "model.safetensors").exists():
        run([example("causal-lm", "random_model"), folder, *SHAPES[name][:4], 1024, 1.0, ROOT / "data/models/4m"])
    return folder


def floor(precision, value):
    """A floor for `compare`: `value` of the rate, and its library."""

    def measured():
        rate, library = floor_rate(precision)
        return value(rate), library

    return measured


def operations(name, mode):
    """Multiplications and additions per token, with attention scores."""
    layers, width, _, vocabulary, *_ = SHAPES[name]
    body, head = 2 * layers * 12 * width**2 + layers * 2 * width * CONTEXT, 2 * vocabulary * width
    low_rank = 2 * layers * RANK * (width + 3 * width)
    match mode:
        case "full":
            return 3 * (body + head)
        case "lora":  # no gradients of frozen weights, and none before the first adapter
            return 2 * (body + head) - 2 * 3 * width**2 + 3 * low_rank
        case "head":  # the body once in ten epochs, without gradients
            return body / 10 + 2 * head


class Work:
    """One configuration of the tuner, with its initial state written for the peer."""

    def __init__(self, name, mode, *, steps=None, epochs=None, rows="packed", documents=None, log_every=1):
        layers, width, heads, vocabulary, batch, *_ = SHAPES[name]
        self.name, self.mode = name, mode
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-tuner-"))
        texts = [json.loads(line) for line in (ROOT / "data/demo/clinic.jsonl").read_text().splitlines()]
        texts = [f"{text['patient']}\n{text['clinic']}" for text in texts][:documents]
        fixed = {"prompt_chars": 0, "kind": "document", "copies": 1, "copy": 0}
        types = {"prompt_chars": pl.Int32, "copies": pl.Int32, "copy": pl.Int32}
        rows_of = lambda texts: [{"doc_id": f"d{n}", "text": text, **fixed} for n, text in enumerate(texts)]
        pl.DataFrame(rows_of(texts), schema_overrides=types).write_parquet(self.folder / "train.parquet")
        columns = ["doc_id", "text", "prompt_chars", "kind"]
        held_out = pl.DataFrame(rows_of(texts[:1]), schema_overrides=types)
        held_out.select(columns).clear().write_parquet(self.folder / "heldout.parquet")
        self.settings = {
            "rows": rows, "batch_size": batch, "context": CONTEXT, "max_grad_norm": 1.0, "weight_decay": 0.01, "schedule": "linear",
            "warmup": 0.05, "log_every": log_every, "betas": [0.9, 0.999], "save_seconds": 1e6,
        }  # fmt: skip
        self.epochs = epochs or 1
        if epochs is None:
            self.write_first_state()
            self.epochs = steps / len(json.loads((self.folder / "batches.json").read_text()))
        self.write_first_state()
        if epochs is not None:
            self.steps = len(json.loads((self.folder / "batches.json").read_text()))

    def configuration(self, precision):
        tuning = self.settings | {"epochs": self.epochs, "precision": precision}
        value = lambda value: json.dumps(value)
        lines = [
            'name = "bench"', "[corpus]", 'files = "none"', "[[model]]", f'name = "{self.name}"',
            f"path = {value(str(model(self.name)))}", "[[mode]]", f'kind = "{self.mode}"',
            f"learning_rate = {RATES[self.mode]}", "[tuning]", *(f"{key} = {value(setting)}" for key, setting in tuning.items()),
        ]  # fmt: skip
        file = self.folder / f"{precision}.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    def write_first_state(self):
        run([example("tuner", "first_state"), self.configuration("float32"), self.folder, self.folder])

    def ours(self, precision):
        """(tokens per second, peak bytes, (losses, seconds))"""
        out = self.folder / f"out-{precision}"
        program = needs(TUNER, "make build")
        command = [program, "--config", self.configuration(precision), "--in", self.folder, "--out", out]
        done = run([*command, "--threads", THREADS, "--force"])
        metrics = pl.read_parquet(out / "metrics.parquet").filter(pl.col("split") == "train")
        first, last = metrics.row(min(WARM_STEPS, len(metrics) - 1) - 1, named=True), metrics.row(-1, named=True)
        speed = (last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"])
        return speed, done.peak_bytes, (metrics["loss"].to_list(), last["seconds"], metrics)

    def theirs(self):
        settings = {
            "model": str(model(self.name)), "mode": self.mode, "adapter": str(self.folder / "adapter"),
            "batches": str(self.folder / "batches.json"), "threads": THREADS, "clip": self.settings["max_grad_norm"],
            "learning_rates": json.loads((self.folder / "learning_rates.json").read_text()),
            "betas": self.settings["betas"], "weight_decay": self.settings["weight_decay"], "warm_steps": WARM_STEPS,
        }  # fmt: skip
        file = self.folder / "peer.json"
        file.write_text(json.dumps(settings))
        done = run([python(), HERE / "peers/tune.py", file])
        figures = done.figures()
        return figures["tokens_per_second"], done.peak_bytes, (figures["losses"], figures["seconds"])

    def close(self):
        shutil.rmtree(self.folder)


def loss_differences(mine, theirs):
    """The largest relative difference of two loss curves, and the last one."""
    differences = [abs(a - b) / b for a, b in zip(mine, theirs, strict=True)]
    return max(differences), differences[-1]


def same(tolerance):
    return lambda mine, theirs: loss_differences(mine[0], theirs[0])[0] <= tolerance


def speed(name):
    rows = []
    for mode in MODES:
        work = Work(name, mode, steps=SHAPES[name][5])
        for precision, tolerance in PRECISIONS.items():
            rows.append(
                compare(
                    BENCH, f"{name}: {mode}, {precision}", "tokens/s", lambda: work.ours(precision), work.theirs, pairs=PAIRS,
                    higher=True, floor=floor(precision, lambda rate: rate / operations(name, mode)), goal=GOALS.get((name, mode)),
                    equal=same(tolerance), note="peer: float32",
                )  # fmt: skip
            )
        work.close()
    return rows


def head(names=("small", "large")):
    rows = []
    for name in names:
        work = Work(name, "head", epochs=10, documents=SHAPES[name][6])
        whole = lambda side: (side[2][1], side[1], side[2])
        tokens = sum(len(line) - 1 for step in json.loads((work.folder / "batches.json").read_text()) for line in step)
        for precision, tolerance in PRECISIONS.items():
            rows.append(
                compare(
                    BENCH, f"{name}: head, ten epochs, {precision}", "s", lambda: whole(work.ours(precision)),
                    lambda: whole(work.theirs()), pairs=PAIRS, floor=floor(precision, lambda rate: tokens * operations(name, "head") / rate),
                    goal=GOALS.get((name, "head")), equal=same(tolerance), note=f"{work.steps} steps; peer: float32",
                )  # fmt: skip
            )
        work.close()
    return rows


def curves():
    rows = []
    work = Work("small", "full", steps=200)
    try:
        theirs, _ = work.theirs()[2]
    except Missing as missing:
        work.close()
        return [row(BENCH, "small: full, 200 steps: losses differ by", "%", note=f"peer missing: {missing}")]
    for precision in ["float32", "bf16"]:
        _, peak, (mine, *_) = work.ours(precision)
        largest, last = loss_differences(mine, theirs)
        note = f"at the end {100 * last:.4f}%: {mine[-1]:.4f}, peer {theirs[-1]:.4f}, at the start {theirs[0]:.4f}"
        rows.append(
            row(BENCH, f"small: full, {precision}, 200 steps: losses differ by", "%", ours=100 * largest, ours_peak_bytes=peak,
                equal=last < 0.01, note=note)  # fmt: skip
        )
    work.close()
    return rows


def padding():
    work = Work("small", "full", steps=32, rows="documents")
    compared = compare(
        BENCH, "small: full, float32, one document per row", "tokens/s", lambda: work.ours("float32"), work.theirs, pairs=PAIRS,
        higher=True, equal=same(1e-3), note="tokens without padding; peer: float32, padded to the longest",
    )  # fmt: skip
    work.close()
    return [compared]


def memory():
    rows = []
    for mode in ["full", "lora", "head"]:
        work = Work("tiny", mode, steps=SHAPES["tiny"][5], log_every=100)
        metrics = work.ours("float32")[2][2]
        resident = metrics["peak_rss_bytes"].to_list()
        growth = resident[-1] / resident[len(resident) // 10] - 1
        note = f"peak resident: {resident[len(resident) // 10] / 1e6:.1f} MB after 1,100 steps, {resident[-1] / 1e6:.1f} MB at the end"
        rows.append(row(BENCH, f"tiny: {mode}, 10,000 steps: memory grows by", "%", ours=100 * growth, note=note))
        work.close()
    return rows


def main():
    wanted = sys.argv[1:] or ["small", "large", "head", "curves", "padding", "memory"]
    rows = []
    for name in wanted:
        rows += speed(name) if name in SHAPES else {"head": head, "curves": curves, "padding": padding, "memory": memory}[name]()
    finish(BENCH, rows)


if __name__ == "__main__":
    main()
