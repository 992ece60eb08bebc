"""Every family on the device against the processor in float32: logits, packed documents, cached steps, gradients.

In bf16 the gradients of a tiny model with random weights may differ from those in float32 by more than a tenth even in transformers
(autocast, families ministral and qwen2-windowed: 0.33 and 0.09 of the largest). So device_parity prints beside each error that of the
processor in the same precision, and in bf16 the device's may be twice as large.
"""

import json
import re
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
    errors, references = defaultdict(dict), defaultdict(dict)
    for line in filter(str.strip, machine.program("examples/device_parity", machine.device, FAMILIES).output.splitlines()):
        figure = parse_figure(line)
        key = figure["precision"], figure["what"]
        errors[key][figure["family"]] = figure["error"]
        references[key][figure["family"]] = figure["reference"]
    for precision in PRECISIONS:
        for what in FIGURES:
            yield from rows_of(precision, what, errors[precision, what], references[precision, what], families)


def parse_figure(line):
    """One figure; NaN and inf, as Rust writes them, are outside every tolerance."""
    try:
        figure = json.loads(re.sub(r": inf\b", ": Infinity", line))
        numbers = {key: float(figure[key]) for key in ("error", "reference")}
        return {key: figure[key] for key in ("precision", "what", "family")} | numbers
    except (ValueError, KeyError, TypeError) as error:
        expected = "a line of JSON with family, precision, what, error and reference"
        raise Failed(f"expected {expected}, found {one_line(line)[:200]}") from error


def rows_of(precision, what, errors, references, families):
    """The family with the largest share of its tolerance, then each other that exceeds it, then the missing ones."""
    unit = "of the largest"
    tolerances = {family: tolerance_of(precision, references[family]) for family in errors}
    # NaN first, then the largest.
    shares = {family: error / tolerances[family] for family, error in errors.items()}
    ranked = sorted(errors, key=lambda family: (shares[family] != shares[family], shares[family]), reverse=True)
    for rank, family in enumerate(ranked):
        holds = errors[family] <= tolerances[family]
        if rank == 0 or not holds:
            note = f"{family}, nearest to its goal of {len(errors)} families" if rank == 0 and holds else family
            yield Row(
                f"{precision}: {what}", kind="correctness", ours=errors[family], peer=references[family], unit=unit,
                goal=tolerances[family], holds=holds, note=note,
            )  # fmt: skip
    if missing := [family for family in families if family not in errors]:
        yield Row(f"{precision}: {what}", kind="correctness", unit=unit, holds=False, note=f"no figure of {', '.join(missing)}")


def tolerance_of(precision, reference):
    """The largest error of a family; `reference` is the processor's error in that precision, ignored if it is NaN or infinite."""
    tolerance = TOLERANCES[precision]
    if precision == "float32" or reference != reference or reference == float("inf"):
        return tolerance
    return max(tolerance, TOLERANCES["bf16 over the processor's"] * reference)
