"""Corpora that the other kinds make, as files of several formats, and what `dupgen` made of them."""

import csv
import gzip
import io
import json
import shutil
import subprocess

import polars as pl

from faults.bench import PROGRAMS

SETTINGS = """
name = "corpora"

[corpus]
files = {files}
text = "text"
held_out = 0.25
{corpus}

[duplication]
layout = "{layout}"
copies = [1]

[canaries]
per_copies = 0
references = 0

{models}
[tuning]
epochs = 1
batch_size = 32
context = 64
evaluate_documents = 20

[extraction]
prefix_tokens = 5
new_tokens = 5
batch_size = 64
documents = 20
scored_documents = 20

[[extraction.strategy]]
name = "greedy"
temperature = 0

[report]
examples = 0
resamples = 200
"""
MODELS = """
[[model]]
name = "tiny"
path = "../inputs/tiny-gpt2"

[[mode]]
kind = "full"
learning_rate = 1e-3
"""
NO_MODELS = """
[[model]]
name = "none"
path = "nowhere"
"""


def settings(folder, files, corpus="", layout="uniform", models=MODELS):
    """A pipeline file in the folder of an attempt."""
    file = folder / "pipeline.toml"
    file.write_text(SETTINGS.format(files=json.dumps(str(files)), corpus=corpus, layout=layout, models=models))
    return file


def dupgen(pipeline, out, *further):
    return [PROGRAMS / "dupgen", "--config", pipeline, "--out", out, "--threads", "1", *further]


def texts(out):
    """The distinct texts of a training set and of what is held out."""
    frames = [pl.read_parquet(out / f"{name}.parquet", columns=["text"]) for name in ("train", "heldout")]
    return set(pl.concat(frames)["text"])


def as_jsonl(texts, ascii_only=False):
    return "".join(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in texts).encode("utf-8", "surrogatepass")


def as_json(texts):
    return json.dumps([{"text": text} for text in texts], ensure_ascii=False).encode()


def as_csv(texts):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(["text"])
    writer.writerows([text] for text in texts)
    return file.getvalue().encode()


def as_parquet(texts):
    file = io.BytesIO()
    pl.DataFrame({"text": list(texts)}).write_parquet(file)
    return file.getvalue()


def as_arrow(texts):
    file = io.BytesIO()
    pl.DataFrame({"text": list(texts)}).write_ipc(file)
    return file.getvalue()


def as_gzip(texts):
    return gzip.compress(as_jsonl(texts))


def as_zstd(texts):
    return subprocess.run(["zstd", "-q", "-c"], input=as_jsonl(texts), capture_output=True, check=True).stdout


# By the ending of the file.
FORMATS = {"jsonl": as_jsonl, "json": as_json, "csv": as_csv, "parquet": as_parquet, "arrow": as_arrow, "jsonl.gz": as_gzip}
if shutil.which("zstd"):
    FORMATS["jsonl.zst"] = as_zstd
# Formats in which a file that was cut anywhere cannot be taken for a whole one.
WHOLE_ONLY = ("json", "parquet", "arrow", "jsonl.gz", "jsonl.zst")
