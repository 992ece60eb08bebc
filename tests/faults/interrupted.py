"""SIGINT and SIGTERM at random moments: a message, the status 128 + signal, nothing half-written; then the same command once more."""

import signal

from faults import moments, results
from faults.bench import Failure, kill_group

NAME = "interrupted"
STAGES = {"plan": 4, "dupgen": 12, "tuner": 20, "extractor": 14, "plagiarism": 10, "report": 10, "check": 5, "make": 5}


def attempt(bench, stage, chooser):
    seconds = bench.seconds(stage)
    number = chooser.choice([signal.SIGINT, signal.SIGTERM])
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        folders = [place.run / folder for folder in bench.stages[stage].folders or ["."]]
        child = bench.start(bench.command(stage, place))
        is_running = moments.wait(chooser, child, folders, seconds)
        kill_group(child, number)
        done = bench.end(child)
        what = f"after {number.name}"
        if is_running and stage != "make":
            check_end(done, number, what, done.seconds < 0.7 * seconds)
        elif not is_running:
            bench.expect_success(done, "before any signal")
        left = results.leftovers(place.run)
        if left:
            raise Failure(f"{what}, {', '.join(left)} left; {done.told()}")
        bench.expect_whole(stage, place, what)
        bench.expect_recovery(stage, place)
    return "stopped" if is_running else "ended before"


def check_end(done, number, what, is_early):
    # The last results may have been written when the signal came.
    if done.status == 0:
        return
    # Before a program has come to its own first line, while LibTorch is loaded, nobody can be told.
    if done.status == -number and not done.said and is_early:
        return
    if done.status != 128 + number or number.name not in done.said:
        raise Failure(f"{what}: expected status {128 + number} and a message with {number.name}, found {done.told()}")
