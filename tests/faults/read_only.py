"""Folders that cannot be written to: the output folder, the whole run, or the corpus beside which caches would be kept."""

import shutil
import subprocess

from faults.bench import Impossible, expect_refusal, remount

NAME = "read-only folder"
STAGES = {"plan": 3, "dupgen": 8, "tuner": 8, "extractor": 8, "plagiarism": 6, "report": 8, "check": 4, "make": 5}


def attempt(bench, stage, chooser):
    way = chooser.choice(["missing outputs", "whole outputs", "corpus"])
    if way == "corpus" and stage in ("tuner", "extractor", "plagiarism"):
        return read_only_corpus(bench, stage, chooser)
    with bench.copy(stage, tmpfs=True) as place:
        if stage == "make":
            # Its rules name the run folder, which is another here.
            bench.expect_recovery(stage, place, "before")
        if way != "whole outputs":
            bench.clear(stage, place, chooser)
        remount(place.folder, "ro")
        done = bench.run(bench.command(stage, place))
        if done.status != 0 or way == "missing outputs":
            expect_refusal(done, place.folder, statuses=(1, 2) if stage == "make" else (1,))
        bench.expect_whole(stage, place, "on a read-only disk")
        remount(place.folder, "rw")
        bench.expect_recovery(stage, place, "on a disk that can be written")
    return "refused" if done.status else "nothing to do"


def read_only_corpus(bench, stage, chooser):
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        for cache in place.run.glob("corpus/*/*-cache"):
            shutil.rmtree(cache)
        corpus = next((place.run / "corpus").iterdir())
        for options in (["--bind", corpus, corpus], ["-o", "remount,bind,ro", corpus]):
            done = subprocess.run(["mount", *options], capture_output=True, text=True)
            if done.returncode:
                raise Impossible(f"no folder can be mounted read-only: {done.stderr.strip()}")
        try:
            bench.expect_recovery(stage, place, "beside a read-only corpus")
        finally:
            subprocess.run(["umount", "-l", corpus], capture_output=True)
    return "done without a cache"
