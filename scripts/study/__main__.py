"""Writes the results of the study: python scripts/study collect RUN [REPORT], then python scripts/study results.

keep RUN [RUN] copies the figures of the runs attacks, remedies, privacy, shadows and capacity that RESULTS.md shows, those of several runs together. add NAME RUN [RUN] adds to them what runs say of other ways of tuning and strategies.

details RUN CELL [CELL] copies what the last checkpoints of cells say of personal details.

collect writes small tables of the finished cells of a run, and of its report, to data/results/study, where those of other runs stay: each seed may have a run folder of its own, on a machine of its own. results writes the tables and sentences between the marks of RESULTS.md, the figure and the page, from those files alone. `make study` does both.
"""

import pathlib
import re
import sys

import polars as pl

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from study import attack_table, attacks, bits, capacity, collect, details, figures, gradient_overlaps, page, remedies, results, weight_changes  # noqa: E402

RESULTS = ROOT / "data/results"


def write_data(run, report):
    """Writes the tables of a run. Of cells that it does not have, what the tables hold of earlier runs stays: a run folder may be gone long before
    the study is done."""
    folder = RESULTS / "study"
    folder.mkdir(parents=True, exist_ok=True)
    cells = collect.cells(run)
    tables = {
        "documents": collect.documents(run), "cells": cells, "followed": collect.followed(run), "generations": attacks.generations(run),
        "memberships": attacks.memberships(report, cells), "weight_changes": weight_changes.measure(run),
        "gradient_overlaps": gradient_overlaps.measure(run),
    }  # fmt: skip
    tables = {name: frame for name, frame in tables.items() if frame is not None}
    earlier = {name: pl.read_parquet(file) for name in tables if (file := folder / f"{name}.parquet").exists()}
    for name, frame in collect.added(earlier, tables).items():
        file = folder / f"{name}.parquet"
        frame.write_parquet(file, compression="zstd", compression_level=19)
        print(f"study: {frame.height:,} rows in {file.relative_to(ROOT)}, {tables[name].height:,} of them of this run", file=sys.stderr)


def replace_block(text, name, content):
    """The text with new content between the marks of a block."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    assert block.search(text), f"RESULTS.md has no marks of {name}"
    return block.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)


def blocks():
    """The generated blocks of RESULTS.md, by name."""
    study = results.Study.read(RESULTS / "study")
    generations = pl.read_parquet(RESULTS / "study/generations.parquet")
    return {
        "setup": results.setup(study),
        "claims": results.claims(study),
        "methods": results.method_tables(study),
        "prompts": attacks.prompts_block(study, generations),
        "membership": attacks.membership_block(study, pl.read_parquet(RESULTS / "study/memberships.parquet")),
        "usefulness": attacks.usefulness_block(study, generations),
        "passes": results.passes(study),
        "what copies add": results.loss_decrease_by_copies(study),
        "bits": bits.block(study),
        "weight changes": weight_changes.block(study, pl.read_parquet(RESULTS / "study/weight_changes.parquet")),
        "gradient overlaps": gradient_overlaps.block(study, pl.read_parquet(RESULTS / "study/gradient_overlaps.parquet")),
        "attacks": attack_table.block(RESULTS / "attacks.parquet"),
        "details": details.block(RESULTS / "details.parquet"),
        "capacity": capacity.block(RESULTS / "capacity.parquet"),
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
        case ["keep", run, *others]:
            runs = [pathlib.Path(run), *map(pathlib.Path, others)]
            name = runs[0].name
            rows = (capacity if name == "capacity" else remedies).keep(runs, RESULTS / f"{name}.parquet")
            print(f"study: {rows:,} rows in data/results/{name}.parquet", file=sys.stderr)
        case ["add", name, run, *others]:
            runs = [pathlib.Path(run), *map(pathlib.Path, others)]
            print(f"study: {remedies.add(runs, RESULTS / f'{name}.parquet'):,} rows in data/results/{name}.parquet", file=sys.stderr)
        case ["details", run, *cells] if cells:
            details.measure(pathlib.Path(run), cells).write_parquet(RESULTS / "details.parquet", compression="zstd", compression_level=19)
        case ["results"]:
            write_results()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
