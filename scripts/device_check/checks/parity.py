"""Every family on the device against the processor in float32: logits, packed documents, cached steps, gradients.

In bf16 the gradients of a tiny model with random weights are not within a tenth of those in float32 even where transformers computes them
(autocast, families ministral and qwen2-windowed: 0.33 and 0.09 of the largest). So in bf16 what the processor itself is off by, computing in
the way of a device, is measured beside it, and the device may be twice as far.
"""

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
    found = errors_on(machine, machine.device)
    own = found if machine.is_dry else errors_on(machine, "cpu")
    for precision in PRECISIONS:
        for what in FIGURES:
            key = precision, what
            yield from rows_of(precision, what, found[key], own[key] if precision == "bf16" else {}, families)


def errors_on(machine, device):
    """Errors by precision and figure, then by family."""
    errors = defaultdict(dict)
    for line in filter(str.strip, machine.program("examples/device_parity", device, FAMILIES).output.splitlines()):
        figure = figure_of(line)
        errors[figure["precision"], figure["what"]][figure["family"]] = figure["error"]
    return errors


def figure_of(line):
    """One figure; a number that is none (NaN or inf, as Rust writes them) is never within a tolerance."""
    try:
        figure = json.loads(line.replace(": inf}", ": Infinity}"))
        return {key: figure[key] for key in ("precision", "what", "family")} | {"error": float(figure["error"])}
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"expected a line of JSON with family, precision, what and error, found {one_line(line)[:200]}") from error


def rows_of(precision, what, errors, own, families):
    """The family that is furthest of its tolerance, then each other that is too far, then those that are missing."""
    unit = "of the largest"
    tolerances = {family: tolerance_of(precision, own.get(family)) for family in errors}
    # Too far first, and among these what is no number.
    shares = {family: error / tolerances[family] for family, error in errors.items()}
    ranked = sorted(errors, key=lambda family: (shares[family] != shares[family], shares[family]), reverse=True)
    for place, family in enumerate(ranked):
        holds = errors[family] <= tolerances[family]
        if place == 0 or not holds:
            note = f"{family}, nearest to its goal of {len(errors)} families" if place == 0 and holds else family
            yield Row(
                f"{precision}: {what}", kind="correctness", ours=errors[family], peer=own.get(family), unit=unit,
                goal=tolerances[family], holds=holds, note=note,
            )  # fmt: skip
    if missing := [family for family in families if family not in errors]:
        yield Row(f"{precision}: {what}", kind="correctness", unit=unit, holds=False, note=f"no figure of {', '.join(missing)}")


def tolerance_of(precision, own):
    """How far a family may be; `own` is what the processor is off by in that precision. An error that is no number excuses none."""
    tolerance = TOLERANCES[precision]
    if own is None or own != own or own == float("inf"):
        return tolerance
    return max(tolerance, TOLERANCES["bf16 over the processor's"] * own)
