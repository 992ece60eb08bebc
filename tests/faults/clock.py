"""Clocks that jump: files of the run with times far ahead, far back, or in any order, and a clock that is another for the program."""

import os
import shutil
import time

from faults import results
from faults.bench import Failure, Impossible, Place

NAME = "clock jumps"
STAGES = {"make": 20, "dupgen": 5, "tuner": 5, "extractor": 3, "plagiarism": 3, "report": 5, "check": 3}
YEAR = 365 * 86400
OTHER = "extraction.new_tokens=7"


def attempt(bench, stage, chooser):
    if stage != "make":
        return other_clock(bench, stage, chooser)
    with bench.copy(stage) as place:
        if chooser.random() < 0.5:
            bench.clear(stage, place, chooser)
        shift(place.run, chooser)
        if chooser.random() < 0.4:
            return other_settings(bench, place)
        done = bench.run(bench.command(stage, place))
        bench.expect_right(stage, place, done, "with other times")
        verified = bench.run([bench.command("report", place)[0], "verify", place.run])
        bench.expect_success(verified, "verify")
        bench.expect_recovery(stage, place)
    return "times changed"


def other_settings(bench, place):
    """Settings change while results have these times: what depends on them is made again."""
    done = bench.run(bench.make(place, settings=OTHER))
    bench.expect_success(done, "other settings with other times")
    expected = undisturbed(bench)
    wrong = expected.differences(place.run, bench.stages["make"].outputs, with_inputs=False)
    if wrong:
        raise Failure(f"other settings with other times: {'; '.join(wrong[:6])}; {done.told()}")
    bench.expect_recovery("make", place, "the first settings again")
    return "made with the other settings"


def undisturbed(bench):
    with bench.timing:
        if OTHER not in bench.durations:
            place = Place(bench.root / "other")
            done = bench.run(bench.make(place, settings=OTHER))
            bench.expect_success(done, "undisturbed, other settings")
            bench.durations[OTHER] = results.Results(place.run)
        return bench.durations[OTHER]


def shift(run, chooser):
    now = time.time()
    way = chooser.choice(["ahead", "back", "mixed", "equal", "1970"])
    common = {"ahead": now + chooser.uniform(1, 10 * YEAR), "back": now - chooser.uniform(1, 20 * YEAR), "equal": now, "1970": 0.0}
    for path in [path for path in run.rglob("*") if not path.is_symlink()]:
        own = path.stat().st_mtime
        then = {"ahead": own + common["ahead"] - now, "back": own + common["back"] - now, "equal": now, "1970": 0.0}.get(way)
        when = max(0.0, then if then is not None else now + chooser.uniform(-YEAR, YEAR))
        os.utime(path, (when, when))


def other_clock(bench, stage, chooser):
    faketime = shutil.which("faketime")
    if not faketime:
        raise Impossible("there is no faketime")
    # The rate of the clock too: a thousand times as fast, or ten times slower.
    clock = chooser.choice(["1970-01-02 00:00:00", "2038-01-19 03:14:07", "2199-12-31 23:59:59", "-3y", "+3y", "+0 x1000", "+0 x0.1"])
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        done = bench.run([faketime, "-f", clock if clock[0] in "+-" else f"@{clock}", *bench.command(stage, place)])
        try:
            bench.expect_right(stage, place, done, f"at {clock}")
        except Failure as failure:
            raise Failure(f"clock {clock}: {failure}") from None
        bench.expect_recovery(stage, place)
    return "another clock"
