"""What a stage itself wrote is damaged: run once more, it says so or makes it anew, and never takes it for done."""

import shutil
import time

from faults import damage
from faults.bench import Failure, Impossible, expect_refusal, kill_group

NAME = "damaged results"
STAGES = {"plan": 3, "dupgen": 8, "tuner": 10, "extractor": 6, "plagiarism": 6, "report": 6, "check": 4}
# Without a seal, since people and other programs read them, and no stage.
UNSEALED = (".html", ".json", ".txt", ".csv", ".md")


def attempt(bench, stage, chooser):
    if stage == "tuner" and chooser.random() < 0.3:
        return damaged_state(bench, chooser)
    with bench.copy(stage) as place:
        outputs = [name for name in bench.stages[stage].outputs if name.suffix not in UNSEALED or name.parent.name == "checkpoint"]
        name = chooser.choice(outputs)
        file = place.run / name
        way = chooser.choice([damage.flip, damage.cut])
        content, how = way(file.read_bytes(), chooser)
        file.write_bytes(content)
        done = bench.run(bench.command(stage, place))
        what = f"{how} of {name}"
        if done.status == 0:
            bench.expect_right(stage, place, done, what)
            return "made anew"
        try:
            expect_refusal(done, file.name, statuses=(2, 3))
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from None
        # What the message says: it is removed, and made anew.
        if name.parent.name == "checkpoint":
            shutil.rmtree(file.parent)
        else:
            file.unlink()
        bench.expect_recovery(stage, place, f"{what}, removed")
    return "found"


def damaged_state(bench, chooser):
    """The state from which a killed training goes on is damaged."""
    with bench.copy("tuner") as place:
        bench.stages["tuner"].remove_outputs(place)
        state = place.run / bench.stages["tuner"].folders[-1] / "training" / "state.safetensors"
        child = bench.start(bench.command("tuner", place))
        while not state.exists() and child.poll() is None:
            time.sleep(0.001)
        kill_group(child)
        child.communicate()
        if not state.exists():
            raise Impossible("training ended before it saved a state")
        content, how = chooser.choice([damage.flip, damage.cut])(state.read_bytes(), chooser)
        state.write_bytes(content)
        done = bench.run(bench.command("tuner", place))
        if done.status == 0:
            bench.expect_right("tuner", place, done, f"{how} of the saved state")
            return "made anew"
        try:
            expect_refusal(done, state.name, statuses=(3,))
        except Failure as failure:
            raise Failure(f"{how} of the saved state: {failure}") from None
        state.unlink()
        bench.expect_recovery("tuner", place, f"{how} of the saved state, removed")
    return "found"
