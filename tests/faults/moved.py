"""A run folder that was moved or copied elsewhere: it is verified there, nothing is made again, and the page is the same."""

import shutil

from faults import results
from faults.bench import Failure, Place

NAME = "moved or copied"
STAGES = {"make": 20}


def attempt(bench, stage, chooser):
    with bench.copy(stage) as place:
        elsewhere = Place(place.folder / "/".join(chooser.choice("abcdefgh") for _ in range(chooser.randint(0, 5))) / "moved")
        elsewhere.run = elsewhere.folder
        elsewhere.folder.parent.mkdir(parents=True, exist_ok=True)
        is_copy = chooser.random() < 0.5
        if is_copy:
            # Without times, as many copies are made.
            keep = shutil.copy2 if chooser.random() < 0.5 else shutil.copyfile
            shutil.copytree(place.run, elsewhere.run, symlinks=True, copy_function=keep)
        else:
            shutil.move(place.run, elsewhere.run)
        verified = bench.run([bench.command("report", place)[0], "verify", elsewhere.run])
        bench.expect_success(verified, "verify")
        if ", 0 are not; " not in verified.said:
            raise Failure(f"verify: {verified.told()}")
        before = {path: (elsewhere.run / path).read_bytes() for path in results.files(elsewhere.run) if path.suffix != ".mk"}
        done = bench.run(bench.command(stage, elsewhere))
        bench.expect_success(done, "elsewhere")
        # The settings of stages name files as seen from where they lie.
        changed = [str(path) for path, content in before.items() if path.suffix != ".toml" and (elsewhere.run / path).read_bytes() != content]
        if changed:
            raise Failure(f"made again elsewhere: {', '.join(changed[:6])}; {done.told()}")
    return "copied" if is_copy else "moved"
