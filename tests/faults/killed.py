"""SIGKILL at random moments, up to three times; then the same command once more."""

from faults import moments
from faults.bench import kill_group

NAME = "killed"
STAGES = {"plan": 10, "dupgen": 30, "tuner": 40, "extractor": 30, "plagiarism": 20, "report": 30, "check": 15, "make": 15}


def attempt(bench, stage, chooser):
    seconds = bench.seconds(stage)
    hits = 0
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        folders = [place.run / folder for folder in bench.stages[stage].folders or ["."]]
        for _ in range(chooser.choice([1, 1, 2, 3])):
            child = bench.start(bench.command(stage, place))
            is_running = moments.wait(chooser, child, folders, seconds)
            kill_group(child)
            child.communicate()
            hits += is_running
            bench.expect_whole(stage, place, "after a kill")
        bench.expect_recovery(stage, place)
    return "stopped" if hits else "ended before"
