"""A disk that fills up while a stage writes: a small one in memory, or a limit of a file's size. With room, the same command succeeds."""

from faults.bench import Impossible, expect_refusal, mounted, remount, used

NAME = "full disk"
STAGES = {"plan": 5, "dupgen": 12, "tuner": 18, "extractor": 12, "plagiarism": 8, "report": 12, "check": 5, "make": 8}
# What one file of a stage takes, at most, and what all of them do, in bytes.
LARGEST = 60_000


def attempt(bench, stage, chooser):
    way = chooser.choice(["size", "size", "files", "limit"])
    if way != "limit":
        try:
            return on_small_disk(bench, stage, chooser, way)
        except Impossible:
            pass
    return with_limit(bench, stage, chooser)


def on_small_disk(bench, stage, chooser, way):
    with bench.copy(stage, tmpfs=True) as place:
        outputs = bench.stages[stage].outputs
        before = used(place.folder)
        if stage == "make":
            # Its rules name the run folder, which is another here.
            bench.expect_success(bench.run(bench.command("plan", place)), "plan")
        bench.clear(stage, place, chooser)
        size, files = used(place.folder)
        if way == "size":
            remount(place.folder, f"size={size + 4096 * chooser.randint(0, max(1, (before[0] - size) // 4096))}")
        else:
            remount(place.folder, f"nr_inodes={files + chooser.randint(0, len(outputs))}")
        done = bench.run(bench.command(stage, place))
        what = end(bench, stage, place, done)
        remount(place.folder, "size=512m,nr_inodes=100000")
        bench.expect_recovery(stage, place, "with room")
    return what


def with_limit(bench, stage, chooser):
    with bench.copy(stage) as place:
        bench.clear(stage, place, chooser)
        blocks = chooser.randint(0, LARGEST // 1024)
        limited = ["bash", "-c", f"trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"", "_", *bench.command(stage, place)]
        done = bench.run(limited)
        what = end(bench, stage, place, done)
        bench.expect_recovery(stage, place, "with room")
    return what


def end(bench, stage, place, done):
    if done.status == 0:
        # What is not kept for the next stage is no result.
        bench.expect_right(stage, place, done, "with just enough room")
        return "enough room"
    # make and the shell around it write files too, and have statuses of their own.
    expect_refusal(done, place.folder, statuses=(1, 2) if stage == "make" else (1,))
    bench.expect_whole(stage, place, "on the full disk")
    return "full"
