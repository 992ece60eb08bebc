"""Makes the results of the study: python scripts/study collect RUN, then python scripts/study results.

collect writes documents.parquet, cells.parquet and followed.parquet of what a run has by now to data/results/<name of the run's folder>; results
writes the tables and sentences between the marks of RESULTS.md, and the pictures, from those files alone. `make study` does both.
"""

import json
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from study import collect, figures, results  # noqa: E402

RESULTS = ROOT / "data/results"


def core_hours(run):
    """Hours of processors that the stages of a run took, as each left them in its record."""
    records = [tomllib.loads(path.read_text()) for path in run.rglob(".done-*")]
    return sum(record.get("cpu_seconds", 0.0) for record in records) / 3600


def collected(run):
    place = RESULTS / run.name
    place.mkdir(parents=True, exist_ok=True)
    (place / "cost.json").write_text(json.dumps({"core_hours": round(core_hours(run), 2)}) + "\n")
    for name, frame in (("documents", collect.documents(run)), ("cells", collect.cells(run)), ("followed", collect.followed(run))):
        file = place / f"{name}.parquet"
        frame.write_parquet(file, compression="zstd", compression_level=19)
        print(f"study: {frame.height:,} rows in {file.relative_to(ROOT)}", file=sys.stderr)


def filled(text, name, content):
    """A text with what is between the marks of a name replaced."""
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    assert mark.search(text), f"RESULTS.md has no place for {name}"
    return mark.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)


def blocks():
    """What stands between the marks of RESULTS.md, by their names."""
    study = results.Study.read(RESULTS / "study")
    cost = json.loads((RESULTS / "study/cost.json").read_text())
    return {
        "setup": results.setup(study, cost["core_hours"]),
        "claims": results.claims(study),
        "methods": results.everything(study),
        "passes": results.passes(study),
        "what copies add": results.what_copies_add(study),
    }


def written():
    file = ROOT / "RESULTS.md"
    text = file.read_text()
    for name, content in blocks().items():
        text = filled(text, name, content)
    file.write_text(text)
    (RESULTS / "study/frontier.svg").write_text(figures.frontier(results.Study.read(RESULTS / "study")))


def main():
    match sys.argv[1:]:
        case ["collect", run]:
            collected(pathlib.Path(run))
        case ["results"]:
            written()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
