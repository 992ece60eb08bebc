"""What a run folder holds, so that two of them can be compared: byte for byte, save when and how fast something was made."""

import hashlib
import re
from pathlib import Path

import polars as pl

# What a rerun on the same machine may change.
TIMINGS = ["tokens_per_second", "seconds", "peak_rss_bytes"]
# Made again where they are damaged; what is in one depends on which stage came first.
CACHES = ("token-cache", "detection-cache")
# Written by make's rules, or what only an unfinished run needs.
NO_RESULTS = ("exit_status",)
# What stages leave of their runs, by which a second one in the same folder is refused.
RECORDS = (".running-", ".done-", ".failed-", ".exit-")
DATE = re.compile(rb"\b\d{4}-\d\d-\d\d\b")


def is_cache(path):
    return any(part in CACHES for part in path.parts)


def is_unfinished(path):
    """Whether a name is one of a file or folder under way, or of something in such a folder."""
    return any(part.endswith((".partial", ".replaced")) for part in path.parts) or (is_cache(path) and path.suffix[1:].isdigit())


def files(run):
    """Every file of a run folder but caches, as seen from it; links are not followed."""
    found = (path.relative_to(run) for path in run.rglob("*") if path.is_symlink() or path.is_file())
    return sorted(path for path in found if not is_cache(path) and path.name not in NO_RESULTS and not path.name.startswith(RECORDS))


def leftovers(run):
    """Unfinished files and folders, in caches too."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if is_unfinished(path.relative_to(run)))


def fingerprint(file, with_inputs=True):
    """Equal for two files that say the same. Without inputs, whose digests change with the times in them, what is said of them is left out."""
    if file.is_symlink():
        return f"link to {file.readlink()}"
    if file.suffix == ".parquet":
        facts = pl.read_parquet_metadata(file)
        left_out = ("created", "seal", "places", "ARROW:schema") + (() if with_inputs else ("inputs",))
        facts = sorted((key, value) for key, value in facts.items() if key not in left_out)
        frame = pl.read_parquet(file)
        frame = frame.drop([name for name in TIMINGS if name in frame.columns]).rechunk()
        rows = frame.write_ipc(None).getvalue()
        return f"{facts} {hashlib.blake2b(rows).hexdigest()}"
    content = file.read_bytes()
    if file.suffix == ".html":
        content = DATE.sub(b"DATE", content)
        # Of the style, in which the date is, for print.
        content = re.sub(rb"sha256-[0-9A-Za-z+/]+=*", b"HASH", content)
        if not with_inputs:
            content = re.sub(rb"\b[0-9a-f]{32}\b", b"DIGEST", content)
    if file.name == "cells.mk":
        # It names the run folder, which is another here.
        content = re.sub(rb"(?m)^run := .*$", b"run := RUN", content)
    return hashlib.blake2b(content).hexdigest()


class Results:
    """The fingerprints of the files of a run, each made once."""

    def __init__(self, run):
        self.run = Path(run)
        self.files = files(self.run)
        self.known = {}

    def fingerprint(self, name, with_inputs=True):
        key = (name, with_inputs)
        if key not in self.known:
            self.known[key] = fingerprint(self.run / name, with_inputs)
        return self.known[key]

    def differences(self, run, names, with_inputs=True, must_exist=True):
        """What is wrong with the files of these names in another run folder."""
        wrong = []
        for name in names:
            file = run / name
            if not (file.exists() or file.is_symlink()):
                if must_exist:
                    wrong.append(f"{name} is missing")
                continue
            try:
                same = fingerprint(file, with_inputs) == self.fingerprint(name, with_inputs)
            except (OSError, pl.exceptions.PolarsError) as error:
                wrong.append(f"{name} cannot be read: {error}")
                continue
            if not same:
                wrong.append(f"{name} is another")
        return wrong
