"""The same command twice at once, the second a random while after the first: one of them does the work, and no wrong result is left."""

import time

from faults.bench import Failure

NAME = "two at once"
STAGES = {"plan": 5, "dupgen": 15, "tuner": 25, "extractor": 10, "plagiarism": 8, "report": 12, "check": 5, "make": 10}


def attempt(bench, stage, chooser):
    seconds = bench.seconds(stage)
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        first = bench.start(bench.command(stage, place))
        time.sleep(chooser.choice([0, chooser.uniform(0, 0.05), chooser.uniform(0, seconds)]))
        second = bench.start(bench.command(stage, place))
        ends = [bench.end(first), bench.end(second)]
        for done in ends:
            if done.status != 0 and str(place.folder) not in done.said:
                raise Failure(f"refused without a name: {done.told()}")
        if all(done.status != 0 for done in ends):
            raise Failure(f"neither did the work: {ends[0].told()} | {ends[1].told()}")
        bench.expect_whole(stage, place, f"after two at once ({ends[0].told()} | {ends[1].told()})")
        bench.expect_recovery(stage, place)
    return "both" if all(done.status == 0 for done in ends) else "one refused"
