"""Time and memory of dupgen, of the indexes and of detection on corpora larger than memory.

    large_corpus.py FOLDER [--gigabytes 1 3 10] [--samples 1000] [--limit 4] [--keep]

For each size a corpus of so many gigabytes of made-up text, as JSON Lines, is written to FOLDER, and removed again unless --keep is
given. Words have the frequencies of a language (rank r has a share of about 1 / (r + 2.7)), and each document has words that occur in no
other, like names and numbers. One in a hundred documents occurs twice, and another one in a hundred is copied from another document by
three quarters. Of the samples, one third copies a passage of a training document, one third shuffles its words, and one third is unrelated.

Each stage is one process. The table has its seconds, its peak of anonymous memory (RssAnon in /proc), its peak with mapped files (VmHWM;
the system can reclaim those pages), and the bytes on disk at its end. With --limit a process that needs more gigabytes, mapped files
excluded (RLIMIT_DATA), fails.

DUPGEN and PLAGIARISM name the programs (target/debug without them), THREADS the threads of each.
"""

import argparse
import json
import math
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

import polars as pl

import corpora

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUPGEN = os.environ.get("DUPGEN", ROOT / "target/debug/dupgen")
PLAGIARISM = os.environ.get("PLAGIARISM", ROOT / "target/debug/plagiarism")
THREADS = os.environ.get("THREADS") or str(os.cpu_count())
VOCABULARY = 400_000
URN = 1 << 22  # words to sample from, each as often as its share says
DOCUMENTS = 4096  # generated at once
SENTENCES = 24  # of a document
PIPELINE = """name = "large"
[corpus]
files = "corpus.jsonl"
[duplication]
layout = "uniform"
copies = [1]
[canaries]
per_copies = 0
"""


def vocabulary(rng, count=VOCABULARY, size=URN):
    """An urn of words, with rank r in proportion to 1 / (r + 2.7); rarer words are longer."""
    letters = "etaoinshrdlucmfwypvbgk"
    words = set()
    ranked = []
    while len(ranked) < count:
        word = "".join(rng.choices(letters, k=2 + len(ranked).bit_length() // 3 + rng.randrange(4)))
        if word not in words:
            words.add(word)
            ranked.append(word)
    total = sum(1 / (rank + 2.7) for rank in range(count))
    shares = [size / total / (rank + 2.7) for rank in range(count)]
    counts = [math.floor(share) + (rng.random() < share % 1) for share in shares]
    return pl.DataFrame({"word": ranked, "count": counts}).select(pl.col("word").repeat_by("count").explode(empty_as_null=False))["word"]


def documents(urn, seed, first):
    """DOCUMENTS documents and the repeated ones, as one column of texts."""
    rng = random.Random(f"{seed} {first}")
    lengths = sorted(rng.choices(range(6, 26), k=20))
    sentences = []
    each = DOCUMENTS * SENTENCES // len(lengths) + 1
    for length in lengths:
        drawn = urn.sample(each * length, with_replacement=True, seed=rng.getrandbits(63))
        joined = drawn.reshape((each, length)).arr.join(" ")
        sentences.append(joined.str.head(1).str.to_uppercase() + joined.str.tail(-1) + ".")
    shuffled = pl.concat(sentences).sample(DOCUMENTS * SENTENCES, shuffle=True, seed=rng.getrandbits(63))
    bodies = shuffled.reshape((DOCUMENTS, SENTENCES)).arr.join(" ")
    # A number and a name that occur in no other document.
    own_words = pl.Series([f"Record {first + index} of {rng.getrandbits(48):x}. " for index in range(DOCUMENTS)])
    # Three quarters, since half of the sentences would be hard to distinguish from chance.
    copied = bodies.shift(1, fill_value="")
    texts = own_words + bodies
    marked = pl.Series([index % 100 == 50 for index in range(DOCUMENTS)])
    near = own_words + copied.str.slice(0, copied.str.len_chars() * 3 // 4) + " " + bodies.str.slice(0, bodies.str.len_chars() // 4)
    texts = near.zip_with(marked, texts)
    return pl.concat([texts, texts.gather_every(100)])


def write_corpus(file, gigabytes, seed=0):
    """Writes the corpus; returns its numbers of documents and bytes."""
    urn = vocabulary(random.Random(seed))
    count = size = 0
    with file.open("wb") as output:
        while size < gigabytes * 1e9:
            frame = documents(urn, seed, count).alias("text").to_frame()
            lines = frame.write_ndjson().encode()
            output.write(lines)
            size += len(lines)
            count += DOCUMENTS
    return count, size


def write_samples(corpus, file, count, seed=1):
    """Writes samples made from training documents, which are taken from 16 positions of the training set."""
    scan = pl.scan_parquet(corpus / "train.parquet").select("doc_id", "text")
    rows = scan.select(pl.len()).collect().item()
    rng = random.Random(seed)
    each = -(-count // 16)
    frames = [scan.slice(rng.randrange(max(1, rows - each)), each).collect() for _ in range(16)]
    known = pl.concat(frames).unique("doc_id", maintain_order=True)
    urn = vocabulary(random.Random(seed))
    unrelated = documents(urn, seed + 1, 0).to_list()
    texts, doc_ids = known["text"].to_list(), known["doc_id"].to_list()
    samples = list(corpora.generations(texts, unrelated, count, seed))
    for row in samples:
        row["doc_id"] = doc_ids[int(row["doc_id"][1:])]
    pl.DataFrame(samples, schema=corpora.SAMPLES, orient="row").write_parquet(file, row_group_size=4096)


def status(process):
    """Bytes of memory of a process by name, from /proc."""
    try:
        text = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    return {name: int(kilobytes) * 1024 for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}


def measure(command, limit):
    """Runs a command; returns its seconds, its peaks of anonymous and all memory, its status and its errors."""
    set_limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (int(limit * 1e9),) * 2) if limit else None
    start = time.perf_counter()
    # The seconds of its phases are told at this level.
    environment = {**os.environ, "RUST_LOG": "info,plagiarism=debug"}
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=set_limit, env=environment)
    peaks = {"RssAnon": 0, "VmHWM": 0}
    ended = threading.Event()

    def watch():
        while not ended.wait(0.05):
            found = status(process.pid)
            for name in peaks:
                peaks[name] = max(peaks[name], found.get(name, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors = process.stderr.read()
    code = process.wait()
    ended.set(), watcher.join()
    seconds = time.perf_counter() - start
    if code != 0:
        print(errors[-2000:], file=sys.stderr)
    return {"seconds": seconds, "own": peaks["RssAnon"], "whole": peaks["VmHWM"], "status": code, "errors": errors}


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(folder, gigabytes, samples, limit):
    """A row for each stage on a corpus of this size, until one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    count, size = write_corpus(folder / "corpus.jsonl", gigabytes)
    print(f"{gigabytes:g} GB: {count:,} documents, {size:,} bytes, written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    (folder / "large.toml").write_text(PIPELINE)
    corpus = folder / "corpus"
    common = ["--config", folder / "large.toml", "--threads", THREADS]

    def stage(name, command, prepare=None):
        if prepare:
            prepare()
        found = measure(command, limit)
        phases = ", ".join(re.findall(r"debug plagiarism\S*: ([a-z ]+: [\d.]+ s)$", found["errors"], re.M))
        row = {"gigabytes": gigabytes, "stage": name, **found, "disk": bytes_in(folder), "phases": phases}
        print(json.dumps({key: value for key, value in row.items() if key != "errors"}), file=sys.stderr)
        return row

    def detection(name, number):
        file = folder / name / "samples.parquet"
        file.parent.mkdir(exist_ok=True)
        write = lambda: write_samples(corpus, file, number)
        return [PLAGIARISM, *common, "--in", corpus, "--samples", file, "--out", file.parent], write

    stages = [
        lambda: stage("dupgen", [DUPGEN, *common, "--out", corpus]),
        # With a few samples most of the time is for the indexes, which the next run finds.
        lambda: stage("index", *detection("few", 16)),
        lambda: stage(f"detection of {samples:,}", *detection("many", samples)),
    ]
    rows = []
    for next_stage in stages:
        rows.append(next_stage())
        if rows[-1]["status"] != 0:
            break
        (folder / "corpus.jsonl").unlink(missing_ok=True)
    if len(rows) == len(stages) and rows[-1]["status"] == 0:
        print(verdicts_by_kind(folder / "many"), file=sys.stderr)
    return rows


def verdicts_by_kind(folder):
    """Counts of verdicts for each kind of samples."""
    samples = pl.read_parquet(folder / "samples.parquet", columns=["sample_id", "strategy"])
    verdicts = pl.read_parquet(folder / "verdicts.parquet", columns=["sample_id", "verdict"])
    counts = samples.join(verdicts, on="sample_id").group_by("strategy", "verdict").len().sort("strategy", "verdict")
    return ", ".join(f"{count} {kind} samples {verdict}" for kind, verdict, count in counts.rows())


def table(rows):
    head = ["GB", "stage", "seconds", "anonymous memory, MB", "with mapped files, MB", "disk after, MB", "exit status"]
    lines = [head] + [
        [
            f"{row['gigabytes']:g}", row["stage"], f"{row['seconds']:.0f}", f"{row['own'] / 1e6:,.0f}", f"{row['whole'] / 1e6:,.0f}",
            f"{row['disk'] / 1e6:,.0f}", str(row["status"]),
        ]  # fmt: skip
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--limit", type=float, help="gigabytes of memory that each process may have, without mapped files")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    rows = []
    for gigabytes in options.gigabytes:
        folder = options.folder / f"{gigabytes:g}"
        try:
            rows += run(folder, gigabytes, options.samples, options.limit)
        finally:
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
    print(table(rows))
    sys.exit(any(row["status"] != 0 for row in rows))


if __name__ == "__main__":
    main()
