"""A folder for temporary files that is full: nothing in a run depends on it."""

import os
import shutil

from faults.bench import mounted

NAME = "full /tmp"
STAGES = {"plan": 3, "dupgen": 5, "tuner": 5, "extractor": 4, "plagiarism": 4, "report": 5, "check": 3, "make": 5}


def attempt(bench, stage, chooser):
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        full = place.folder / "tmp"
        full.mkdir()
        is_of_files = chooser.random() < 0.5
        with mounted(full, size="8k", inodes=1 if is_of_files else 100):
            if not is_of_files:
                try:
                    (full / "filling").write_bytes(bytes(100_000))
                except OSError:
                    assert not os.statvfs(full).f_bavail
            done = bench.run(bench.command(stage, place), env={"TMPDIR": str(full), "TMP": str(full), "TEMP": str(full)})
        shutil.rmtree(full)
        bench.expect_right(stage, place, done, "with a full /tmp")
    return "done without it"
