"""Writes the results of the study: python scripts/study collect RUN [REPORT], then python scripts/study results.

keep RUN copies the figures of the runs remedies, privacy and shadows that RESULTS.md shows.

collect writes small tables of the finished cells of a run, and of its report, to data/results/<name of the run's folder>; results writes the tables and sentences between the marks of RESULTS.md, the figure and the page, from those files alone. `make study` does both.
"""

import json
import pathlib
import re
import sys
import tomllib

import polars as pl

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from study import attacks, bits, collect, figures, page, remedies, results, weight_changes  # noqa: E402

RESULTS = ROOT / "data/results"


def core_hours(run):
    """Processor hours of a run, by the records of its stages."""
    records = [tomllib.loads(path.read_text()) for path in run.rglob(".done-*")]
    return sum(record.get("cpu_seconds", 0.0) for record in records) / 3600


def write_data(run, report):
    folder = RESULTS / run.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cost.json").write_text(json.dumps({"core_hours": round(core_hours(run), 2)}) + "\n")
    tables = {
        "documents": collect.documents(run), "cells": collect.cells(run), "followed": collect.followed(run), "generations": attacks.generations(run),
        "memberships": attacks.memberships(report), "weight_changes": weight_changes.measure(run),
    }  # fmt: skip
    for name, frame in tables.items():
        file = folder / f"{name}.parquet"
        frame.write_parquet(file, compression="zstd", compression_level=19)
        print(f"study: {frame.height:,} rows in {file.relative_to(ROOT)}", file=sys.stderr)


def replace_block(text, name, content):
    """The text with new content between the marks of a block."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    assert block.search(text), f"RESULTS.md has no marks of {name}"
    return block.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)


def blocks():
    """The generated blocks of RESULTS.md, by name."""
    study = results.Study.read(RESULTS / "study")
    generations = pl.read_parquet(RESULTS / "study/generations.parquet")
    cost = json.loads((RESULTS / "study/cost.json").read_text())
    return {
        "setup": results.setup(study, cost["core_hours"]),
        "claims": results.claims(study),
        "methods": results.method_tables(study),
        "prompts": attacks.prompts_block(study, generations),
        "membership": attacks.membership_block(study, pl.read_parquet(RESULTS / "study/memberships.parquet")),
        "usefulness": attacks.usefulness_block(study, generations),
        "passes": results.passes(study),
        "what copies add": results.loss_decrease_by_copies(study),
        "bits": bits.block(study),
        "weight changes": weight_changes.block(study, pl.read_parquet(RESULTS / "study/weight_changes.parquet")),
        **{name: block(RESULTS / f"{name}.parquet") for name, block in remedies.BLOCKS.items()},
    }


def write_results():
    file = ROOT / "RESULTS.md"
    text = file.read_text()
    for name, content in blocks().items():
        text = replace_block(text, name, content)
    file.write_text(text)
    (RESULTS / "study/frontier.svg").write_text(figures.frontier(results.Study.read(RESULTS / "study")))
    (RESULTS / "study/results.html").write_text(page.page(text, ROOT))


def main():
    match sys.argv[1:]:
        case ["collect", run, *report]:
            write_data(pathlib.Path(run), pathlib.Path(*report or [run, "report"]))
        case ["keep", run]:
            run = pathlib.Path(run)
            rows = remedies.keep(run / "report", RESULTS / f"{run.name}.parquet")
            print(f"study: {rows:,} rows in data/results/{run.name}.parquet", file=sys.stderr)
        case ["results"]:
            write_results()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
