"""Nobody can be told anything: standard error and output are a full disk, or a pipe that nobody reads. The results are made all the same."""

import os
import subprocess

NAME = "full log"
STAGES = {"plan": 3, "dupgen": 5, "tuner": 5, "extractor": 4, "plagiarism": 4, "report": 5, "check": 3, "make": 3}


def attempt(bench, stage, chooser):
    way = chooser.choice(["full", "closed"])
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        # make itself gives up where it cannot write what it does; its errors it can lose.
        both = stage != "make"
        if way == "full":
            unread = os.open("/dev/full", os.O_WRONLY)
        else:
            read, unread = os.pipe()
            os.close(read)
        try:
            streams = {"stderr": unread, "stdout": unread if both else subprocess.DEVNULL}
            done = bench.run(bench.command(stage, place), **streams)
        finally:
            os.close(unread)
        bench.expect_right(stage, place, done, f"with a {way} log")
    return f"{way}"
