"""One call to the operating system fails, as on a bad or full disk, or the program is killed at that very call: made by strace."""

import collections
import re
import shutil
import signal

from faults.bench import Failure, Impossible, expect_refusal

NAME = "a call fails"
STAGES = {"plan": 10, "dupgen": 25, "tuner": 30, "extractor": 25, "plagiarism": 20, "report": 20, "check": 10}
# How each call fails. `+`: it and all like it from then on.
FAILURES = {
    "write": ["EIO", "ENOSPC+"],
    "pwrite64": ["EIO", "ENOSPC+"],
    "fsync": ["EIO"],
    "rename": ["EIO", "ENOSPC"],
    "mkdir": ["ENOSPC", "EACCES"],
    "unlink": ["EIO", "EACCES"],
    "unlinkat": ["EIO"],
    "openat": ["EMFILE", "EIO", "EACCES+"],
    "read": ["EIO"],
    "pread64": ["EIO"],
    "getdents64": ["EIO"],
    "utimensat": ["EACCES"],
    "copy_file_range": ["EIO"],
}
# Calls that change something, at which a program may be killed.
CHANGES = "write pwrite64 fsync rename mkdir unlink unlinkat utimensat copy_file_range".split()


def attempt(bench, stage, chooser):
    if not shutil.which("strace"):
        raise Impossible("there is no strace")
    counts = calls(bench, stage)
    is_kill = chooser.random() < 0.4
    call = chooser.choice([name for name in (CHANGES if is_kill else FAILURES) if counts.get(name)])
    which = chooser.randint(1, counts[call])
    if is_kill:
        how = f"signal=KILL:when={which}"
    else:
        failure = chooser.choice(FAILURES[call])
        how = f"error={failure.rstrip('+')}:when={which}{'+' if failure.endswith('+') else ''}"
    what = f"{call}, {how}"
    with bench.copy(stage) as place:
        bench.stages[stage].remove_outputs(place)
        log = place.folder / "calls"
        done = bench.run(traced(log, call, bench.command(stage, place), "-e", f"inject={call}:{how}"))
        is_hit = done.status == -signal.SIGKILL or "INJECTED" in log.read_text(errors="replace")
        if done.status == 0:
            bench.expect_right(stage, place, done, what)
        elif not (is_kill and done.status == -signal.SIGKILL):
            check_message(place, bench, done, call, what)
        log.unlink()
        bench.expect_whole(stage, place, what)
        bench.expect_recovery(stage, place, f"after {what}")
    return "failed" if is_hit else "ended before"


def traced(log, call, command, *further):
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", log, "-e", f"trace={call}", *further, *command]


def check_message(place, bench, done, call, what):
    # What the program says is written too.
    if call == "write":
        return
    # The loader of programs speaks before any program does.
    if done.status == 127 and "error while loading shared libraries" in done.said:
        return
    if "error" not in done.said:
        raise Failure(f"{what}: no message: {done.told()}")
    try:
        expect_refusal(done, place.folder, bench.inputs, "/")
    except Failure as failure:
        raise Failure(f"{what}: {failure}") from None


def calls(bench, stage):
    """How often the undisturbed stage makes each call, in the thread that makes most: strace counts in each by itself."""
    with bench.timing:
        if ("calls", stage) not in bench.durations:
            with bench.copy(stage) as place:
                bench.stages[stage].remove_outputs(place)
                log = place.folder / "calls"
                done = bench.run(traced(log, ",".join(FAILURES), bench.command(stage, place)))
                bench.expect_success(done, "undisturbed, traced")
                called = re.findall(r"(?m)^(\d+)\s+(\w+)\(", log.read_text(errors="replace"))
            counts = {}
            for (_, call), count in collections.Counter(called).items():
                counts[call] = max(count, counts.get(call, 0))
            bench.durations["calls", stage] = counts
        return bench.durations["calls", stage]
