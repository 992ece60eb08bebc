"""Every family on the device against the processor in float32: logits, packed documents, cached steps, gradients."""

import json
from collections import defaultdict

from harness import ROOT, Failed, Row, one_line
from settings import TOLERANCES

FAMILIES = ROOT / "crates/causal-lm/tests/fixtures/families"
PRECISIONS = ["float32", "bf16"]
FIGURES = ["logits", "packed documents", "cached steps", "gradients"]


def check(machine):
    families = sorted(file.parent.name for file in FAMILIES.glob("*/config.json"))
    if not families:
        raise Failed(f"{FAMILIES} holds no family: the repository's fixtures must be copied too")
    output = machine.program("examples/device_parity", machine.device, FAMILIES).output
    errors = defaultdict(dict)
    for line in filter(str.strip, output.splitlines()):
        figure = figure_of(line)
        errors[figure["precision"], figure["what"]][figure["family"]] = figure["error"]
    for precision in PRECISIONS:
        for what in FIGURES:
            yield from rows_of(precision, what, errors[precision, what], families)


def figure_of(line):
    """One figure; a number that is none (NaN or inf, as Rust writes them) is infinitely far."""
    try:
        figure = json.loads(line.replace(": inf}", ": Infinity}"))
        return {key: figure[key] for key in ("precision", "what", "family")} | {"error": float(figure["error"])}
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"expected a line of JSON with family, precision, what and error, found {one_line(line)[:200]}") from error


def rows_of(precision, what, errors, families):
    """The family that is furthest, then each other that is too far, then those that are missing."""
    tolerance, unit = TOLERANCES[precision], "of the largest"
    # Too far first, and among these what is no number.
    ranked = sorted(errors.items(), key=lambda item: (item[1] != item[1], item[1]), reverse=True)
    for place, (family, error) in enumerate(ranked):
        holds = error <= tolerance
        if place == 0 or not holds:
            note = f"{family}, the furthest of {len(errors)}" if place == 0 else family
            yield Row(f"{precision}: {what}", kind="correctness", ours=error, unit=unit, goal=tolerance, holds=holds, note=note)
    if missing := [family for family in families if family not in errors]:
        yield Row(f"{precision}: {what}", kind="correctness", unit=unit, goal=tolerance, holds=False, note=f"no figure of {', '.join(missing)}")
