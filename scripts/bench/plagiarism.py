"""Speed of the plagiarism stage and its parts against the programs that people use. Run by `make bench-plagiarism`.

    plagiarism.py [align] [index] [encode] [stage]    (all of them without arguments)

BENCH_TEXTS is a folder or pattern of Parquet files with a column `text` (by default random words); THREADS the threads of both
sides; BENCH_PAIRS the pairs of turns after the warm-up; BENCH_MEGABYTES and BENCH_GENERATIONS the sizes of the stage, separated by
blanks, and BENCH_PRECISION the precision of its encoder (float32 or bf16). Peers: see setup.sh.
"""

import collections
import json
import math
import os
import pathlib
import re
import sys

import polars as pl

import corpora
from harness import DATA, NEEDS_PYTHON, PYTHON, ROOT, THREADS, Missing, compare, example, finish, needs, row, run

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = os.environ.get("BENCH_TEXTS", "made-up")
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
MEGABYTES = [int(size) for size in os.environ.get("BENCH_MEGABYTES", "10 50 200").split()]
PRECISION = os.environ.get("BENCH_PRECISION", "float32")
GENERATIONS = [int(count) for count in os.environ.get("BENCH_GENERATIONS", "1000 10000").split()]
ENCODER = pathlib.Path(os.environ.get("BENCH_ENCODER", ROOT / "data/toolchain/all-MiniLM-L6-v2"))
DEDUPLICATE = pathlib.Path(os.environ.get("BENCH_DEDUPLICATE") or DATA / "deduplicate-text-datasets")
DETECTOR = pathlib.Path(os.environ.get("BENCH_DETECTOR") or DATA / "plagiarism_detection_pan2015")
BENCH = "plagiarism"
TARGET_SECONDS = 180  # 10,000 generations against 200 MB


def deduplicate():
    """The program dedup_dataset: BENCH_DEDUPLICATE itself, or the one built in that folder."""
    advice = "set BENCH_DEDUPLICATE to the program dedup_dataset, or to the folder of its source (google-research/deduplicate-text-datasets)"
    return needs(DEDUPLICATE / "target/release/dedup_dataset" if DEDUPLICATE.is_dir() else DEDUPLICATE, advice)


def detector():
    """The published detector's program."""
    return needs(DETECTOR / "PAN2015.py", "set BENCH_DETECTOR to the folder of CubasMike/plagiarism_detection_pan2015")


def python():
    return needs(PYTHON, NEEDS_PYTHON)


def texts(megabytes):
    """Texts of this many megabytes, in a seeded order."""
    size = 0
    for text in corpora.read(TEXTS, seed=1):
        size += len(text.encode())
        yield " ".join(text.split())
        if size >= megabytes * 1e6:
            return


def text_file(name, megabytes):
    """A file with one text per line."""
    file = DATA / "texts" / f"{name}.txt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{text}\n" for text in texts(megabytes)), encoding="utf-8")
    return file


def figures(command, key, environment=None):
    """(figure `key` of the last line of output, peak memory, all figures)"""
    finished = run(command, environment)
    found = finished.figures()
    return found[key], finished.peak_bytes, found


def align():
    """Pairs of generation and document aligned per second on one thread, with their preparation."""
    folder = DATA / "texts"
    train, _, samples = corpora.write(folder / "align", TEXTS, 2, 1000)
    documents = pl.read_parquet(train)["text"].to_list()
    generations = pl.read_parquet(samples)["generation"].to_list()
    pairs = [(generation, documents[index]) for generation, found in candidates(generations, documents) for index in found]
    files = {}
    for side, rows in (("ours", pairs), ("peer", pairs[: len(pairs) // 10])):
        files[side] = folder / f"pairs-{side}.parquet"
        pl.DataFrame(rows, schema=["a", "b"], orient="row").write_parquet(files[side])

    def ours():
        return figures([example("text-align", "align_pairs"), files["ours"], "lee2023", "exact"], "pairs_per_second")

    def peer():
        script = [python(), HERE / "peers/published_detector.py", detector(), files["peer"], "lee2023"]
        return figures(script, "pairs_per_second")

    note = "published Python detector, same parameters; it gets the first tenth of the pairs, for time"
    return [compare(BENCH, "align", "pairs/s", ours, peer, pairs=PAIRS, higher=True, note=note)]


def candidates(generations, documents, limit=10):
    """Each generation with the indexes of the documents with the highest idf sum of common words."""
    words = lambda text: set(re.findall(r"\w+", text.lower()))
    postings = {}
    for index, document in enumerate(documents):
        for word in words(document):
            postings.setdefault(word, []).append(index)
    for generation in generations:
        scores = collections.Counter()
        for word in words(generation):
            found = postings.get(word, [])
            if len(found) < len(documents) / 4:
                for index in found:
                    scores[index] += math.log(len(documents) / len(found))
        yield generation, [index for index, _ in sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]]


def index():
    """Builds and writes the suffix array of 30 MB, and finds its duplicates of at least 100 characters."""
    file = text_file("30", 30)
    folder = DATA / "index"
    threads = {"RAYON_NUM_THREADS": str(THREADS)}

    def ours(arguments):
        def turn():
            finished = run([example("text-index", "index_texts"), *arguments], threads)
            return finished.seconds, finished.peak_bytes, None

        return turn

    def peer(*arguments):
        def turn():
            program = deduplicate()
            cache = folder / "peer-cache"
            cache.mkdir(parents=True, exist_ok=True)
            for left_over in cache.iterdir():
                left_over.unlink()
            copy = folder / "peer.txt"
            if not copy.exists():
                copy.write_bytes(file.read_bytes())
            finished = run([program, *(str(a).format(file=copy, cache=cache, threads=THREADS) for a in arguments)], folder=folder)
            return finished.seconds, finished.peak_bytes, None

        return turn

    folder.mkdir(parents=True, exist_ok=True)
    note = "google-research/deduplicate-text-datasets; whole process"
    search = ["self-similar", "--data-file", "{file}", "--length-threshold", "100", "--cache-dir", "{cache}", "--num-threads", "{threads}"]
    return [
        compare(
            BENCH, "index 30 MB", "s", ours(["exact", folder / "ours", "256", file]),
            peer("make", "--data-file", "{file}"), pairs=PAIRS, note=note,
        ),
        compare(
            BENCH, "duplicates in 30 MB", "s", ours(["repeats", folder / "ours", "100"]), peer(*search), pairs=PAIRS, note=note,
        ),
    ]  # fmt: skip


def encode():
    """Sentences encoded per second."""
    file = DATA / "texts/sentences.txt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        found = [sentence for text in texts(1) for sentence in re.split(r"(?<=[.!?]) ", text) if len(sentence.split()) > 2]
        file.write_text("".join(f"{sentence}\n" for sentence in found[:3000]), encoding="utf-8")
    vectors = {side: DATA / f"texts/vectors-{side}.safetensors" for side in ("ours", "peer")}

    def ours(*options):
        program = example("sentence-embed", "encode_sentences")
        command = [program, needs(ENCODER, "run make setup"), file, "--threads", THREADS, "--out", vectors["ours"], *options]
        return figures(command, "sentences_per_second")

    def peer():
        script = [python(), HERE / "peers/encode_sentences.py", ENCODER, file, THREADS, vectors["peer"]]
        return figures(script, "sentences_per_second")

    def equal(*_):
        """Whether every vector is within 1e-4 of the peer's, by cosine."""
        code = (
            "import sys; from safetensors.torch import load_file as load; a, b = (load(f)['vectors'] for f in sys.argv[1:]);"
            "print('[', float((1 - (a * b).sum(1)).max()), ']')"
        )
        return json.loads(run([PYTHON, "-c", code, vectors["ours"], vectors["peer"]]).output)[0] < 1e-4

    note = "sentence-transformers, batches of 32, all-MiniLM-L6-v2"
    return [
        compare(BENCH, "encode", "sentences/s", ours, peer, pairs=PAIRS, higher=True, equal=equal, note=note),
        compare(
            BENCH, "encode in bf16", "sentences/s", lambda: ours("--bfloat16"), peer, pairs=PAIRS, higher=True, equal=equal, note=note,
        ),
    ]  # fmt: skip


def stage():
    """The whole stage, from files to files, without caches of an earlier run; one run each, since nothing is compared."""
    program = pathlib.Path(os.environ.get("PLAGIARISM", ROOT / "target/debug/plagiarism"))
    rows = []
    for megabytes in MEGABYTES:
        for count in GENERATIONS:
            case = f"{count:,} generations, {megabytes} MB"
            try:
                needs(program, "run make build")
                folder = DATA / "texts" / str(megabytes)
                samples = corpora.write(folder, TEXTS, megabytes, count)[2]
                finished = stage_once(program, folder, samples)
            except (Missing, SystemExit) as missing:
                rows.append(row(BENCH, case, "s", note=f"missing: {missing}"))
                continue
            phases = re.search(r"^seconds: (.*)$", finished.errors, re.M)
            is_target = (megabytes, count) == (200, 10_000)
            rows.append(
                row(
                    BENCH, case, "s", ours=finished.seconds, peer=float(TARGET_SECONDS) if is_target else None,
                    ratio=TARGET_SECONDS / finished.seconds if is_target else None, ours_peak_bytes=finished.peak_bytes,
                    note=("peer is the target; " if is_target else "") + (phases.group(1) if phases else ""),
                )  # fmt: skip
            )
    return rows


def stage_once(program, folder, samples):
    cache = folder / "detection-cache"
    for file in sorted(cache.rglob("*"), reverse=True) if cache.exists() else []:
        file.rmdir() if file.is_dir() else file.unlink()
    pipeline = DATA / "stage.toml"
    pipeline.write_text(f'name = "bench"\n\n[corpus]\nfiles = "none"\n\n[detection]\nprecision = "{PRECISION}"\n')
    out = DATA / "stage"
    return run(
        [program, "--config", pipeline, "--in", folder, "--samples", samples, "--out", out, "--threads", THREADS, "--force"]
    )


if __name__ == "__main__":
    cases = {"align": align, "index": index, "encode": encode, "stage": stage}
    chosen = sys.argv[1:] or list(cases)
    if unknown := [name for name in chosen if name not in cases]:
        sys.exit(f"expected {', '.join(cases)}; found {', '.join(unknown)}")
    rows = []
    for name in chosen:
        try:
            rows += cases[name]()
        except (Missing, RuntimeError) as error:
            rows.append(row(BENCH, name, "", note=f"missing: {error}"))
    finish(BENCH, rows)
