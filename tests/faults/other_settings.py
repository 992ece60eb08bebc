"""A run with other settings, killed at a random moment or left to end, in the folder of a finished run; then the first command again."""

from faults import moments
from faults.bench import Failure, kill_group

NAME = "other settings, killed"
STAGES = {"dupgen": 10, "tuner": 20, "extractor": 10, "plagiarism": 10, "report": 15, "check": 10, "make": 5}
OTHER = {
    "dupgen": "corpus.held_out=0.4",
    "tuner": "tuning.epochs=1",
    "extractor": "extraction.new_tokens=7",
    "plagiarism": 'detection.preset="pan2015"',
    "report": "report.examples=0",
    "check": "check.listed=1",
    "make": "tuning.epochs=1",
}


def attempt(bench, stage, chooser):
    seconds = bench.seconds(stage)
    with bench.copy(stage) as place:
        folders = [place.run / folder for folder in bench.stages[stage].folders]
        child = bench.start(bench.command(stage, place, "--set", OTHER[stage]))
        is_running = chooser.random() < 0.9 and moments.wait(chooser, child, folders, seconds)
        if is_running:
            kill_group(child)
            child.communicate()
        else:
            done = bench.end(child)
            if done.status != 0:
                raise Failure(f"with {OTHER[stage]}: {done.told()}")
        bench.expect_recovery(stage, place, "the first settings again")
    return "stopped" if is_running else "ended before"
