"""Files that users bring, cut short or with a turned bit: their corpora in every format, their models and their pipeline files.

These have no seal, so a turned bit may give another text. But nothing crashes or hangs, every refusal names the file, and what is cut
short is never a short corpus where the format can tell.
"""

import shutil

from faults import corpora, damage
from faults.bench import Failure, expect_refusal

NAME = "damaged inputs"
STAGES = {"dupgen": 40, "plan": 15, "tuner": 15}


def attempt(bench, stage, chooser):
    folder_of = {"dupgen": corpus, "plan": pipeline, "tuner": model}
    return folder_of[stage](bench, chooser)


def corpus(bench, chooser):
    ending = chooser.choice(list(corpora.FORMATS))
    texts = [f"Text {number} has {chooser.getrandbits(60):x} in it; nobody else does." for number in range(60)]
    content = corpora.FORMATS[ending](texts)
    with bench.copy() as place:
        file = place.folder / f"corpus.{ending}"
        way = chooser.choice([damage.flip, damage.cut, damage.cut])
        damaged, how = way(content, chooser)
        file.write_bytes(damaged)
        settings = corpora.settings(place.folder, file.name, models=corpora.NO_MODELS)
        done = bench.run(corpora.dupgen(settings, place.folder / "out"))
        if done.status != 0:
            return refused(done, f"{how} of a {ending} file", file, settings)
        found = corpora.texts(place.folder / "out")
        is_cut_text = way is damage.cut and ending in corpora.WHOLE_ONLY
        if is_cut_text and found != set(texts):
            raise Failure(f"SILENT: {how} of a {ending} file: {len(found)} of {len(texts)} texts")
        if way is damage.cut and ending == "jsonl" and not found <= set(texts):
            raise Failure(f"SILENT: {how} of a {ending} file: half a text was taken for one")
    return "as it would be whole" if found == set(texts) else "taken as it is"


def pipeline(bench, chooser):
    with bench.copy() as place:
        settings = place.folder / "pipeline.toml"
        for name in ("corpus.jsonl", "tiny-gpt2"):
            (place.folder / name).symlink_to(bench.inputs / name)
        way = chooser.choice([damage.flip, damage.cut])
        damaged, how = way((bench.inputs / "pipeline.toml").read_bytes(), chooser)
        settings.write_bytes(damaged)
        done = bench.run([bench.command("plan", place)[0], "--config", settings, "--out", place.folder / "out"])
        if done.status != 0:
            return refused(done, f"{how} of a pipeline file", settings)
    return "taken as it is"


def model(bench, chooser):
    with bench.copy() as place:
        copy = place.folder / "tiny-gpt2"
        shutil.copytree(bench.inputs / "tiny-gpt2", copy)
        file = chooser.choice([path for path in sorted(copy.iterdir()) if path.stat().st_size])
        way = chooser.choice([damage.flip, damage.cut, damage.cut])
        damaged, how = way(file.read_bytes(), chooser)
        file.write_bytes(damaged)
        settings = place.folder / "pipeline.toml"
        shutil.copy(bench.inputs / "pipeline.toml", settings)
        (place.folder / "corpus.jsonl").symlink_to(bench.inputs / "corpus.jsonl")
        what = f"{how} of a model's {file.name}"
        planned = bench.run([bench.command("plan", place)[0], "--config", settings, "--out", place.folder / "out"])
        if planned.status != 0:
            return refused(planned, f"{what}, plan", file, copy)
        tuner = bench.stages["tuner"].command(place)
        config = place.folder / "out" / (bench.stages["tuner"].folders[-1]) / "tuner.toml"
        tuner[tuner.index("--config") + 1] = str(config)
        tuner[tuner.index("--out") + 1] = str(place.folder / "tuned")
        done = bench.run(["bash", "-c", 'ulimit -v 64000000; exec "$@"', "_", *tuner])
        if done.status != 0:
            return refused(done, what, file, copy)
        if file.suffix == ".safetensors" and way is damage.cut:
            raise Failure(f"SILENT: {what} was taken for whole")
    return "taken as it is"


def refused(done, what, *names):
    try:
        expect_refusal(done, *names)
    except Failure as failure:
        raise Failure(f"{what}: {failure}") from None
    return "found"
