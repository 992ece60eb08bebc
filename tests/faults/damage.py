"""Files of a run that are damaged, and what the stages that read them make of it: it is found and the file named, or nothing changes.

`tests/test_bit_flips.py` reads the same table.
"""

import shutil

from faults.bench import Failure, expect_refusal
from faults.results import fingerprint

# The kind of a file in a run folder, where it is, and the stages that read it.
KINDS = {
    "corpus": ("corpus/*/train.parquet", ["tuner", "extractor", "plagiarism", "report"]),
    "held-out": ("corpus/*/heldout.parquet", ["tuner", "extractor", "plagiarism", "report"]),
    "facts of the corpus": ("corpus/*/corpus.parquet", ["extractor", "report"]),
    "tokens of the corpus": ("corpus/*/token-cache/*", ["tuner", "extractor"]),
    "vectors of the corpus": ("corpus/*/detection-cache/*", ["plagiarism"]),
    "weights": ("cells/*/checkpoint/*.safetensors", ["extractor"]),
    "configuration of a model": ("cells/*/checkpoint/*config.json", ["extractor"]),
    "tokenizer": ("cells/*/checkpoint/tokenizer.json", ["extractor"]),
    "checksums": ("cells/*/checkpoint/checksums.json", ["extractor"]),
    "training log": ("cells/*/metrics.parquet", ["report"]),
    "samples": ("cells/*/samples.parquet", ["plagiarism", "report"]),
    "scores": ("cells/*/scores.parquet", ["report"]),
    "decoded": ("cells/*/decoded.parquet", ["plagiarism"]),
    "details": ("cells/*/details.parquet", ["report"]),
    "matches": ("cells/*/matches.parquet", ["report"]),
    "verdicts": ("cells/*/verdicts.parquet", ["report"]),
    "settings of tuning": ("cells/*/tuner.toml", ["tuner"]),
    "settings of extraction": ("cells/*/extractor.toml", ["extractor"]),
    "settings of detection": ("cells/*/plagiarism.toml", ["plagiarism"]),
    "settings of the report": ("report/report.toml", ["report"]),
    "facts of a cell": ("cells/*/cell.toml", ["report"]),
}


def kinds_read_by(stage):
    return [kind for kind, (_, readers) in KINDS.items() if stage in readers]


def read_damaged(bench, chooser, kind, reader, change):
    """Changes one file of this kind in a copy of the run, and has a stage read it: "found" or "harmless", and which file it was.

    `change` gives other bytes for those of the file, and says how they differ.
    """
    with bench.copy(reader) as place:
        stage = bench.stages[reader]
        pattern = KINDS[kind][0]
        files = [file for file in sorted(place.run.glob(pattern)) if file.stat().st_size]
        # Of the untuned model's cell, which has no checkpoint, the report alone reads files.
        if reader != "report" and pattern.startswith("cells/"):
            cell = place.run / stage.folders[-1]
            files = [file for file in files if cell in file.parents]
        file = chooser.choice(files)
        content, how = change(file.read_bytes(), chooser)
        file.write_bytes(content)
        what = f"{how} of {file.relative_to(place.run)}, read by {reader}"
        out = place.folder / "out"
        command = bench.command(reader, place)
        command[command.index("--out") + 1] = str(out)
        # A length that was read wrongly must not take the machine's memory.
        done = bench.run(["bash", "-c", 'ulimit -v 64000000; exec "$@"', "_", *command])
        if done.status == 0:
            folder = bench.base.run / stage.folders[-1]
            for name in stage.outputs:
                end = (bench.base.run / name).relative_to(folder)
                if fingerprint(out / end) != bench.results.fingerprint(name):
                    raise Failure(f"SILENT: {what}: {end} is another; it said: {done.said[-300:]}")
            shutil.rmtree(out)
            return "harmless", what
        try:
            expect_refusal(done, file.name, statuses=(2, 3))
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from None
        return "found", what


def flip(content, chooser):
    """One bit is another."""
    bit = chooser.randrange(len(content) * 8)
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged), f"bit {bit}"


def cut(content, chooser):
    """The end is missing, from a random place on."""
    length = chooser.choice([0, chooser.randrange(min(len(content), 200)), chooser.randrange(len(content)), len(content) - 1])
    return content[:length], f"the first {length} of {len(content)} bytes"
