"""All kinds of faults, and how often each is made."""

import random

from faults import (
    at_once,
    clock,
    damaged_results,
    failing_calls,
    flipped,
    foreign_inputs,
    full_disk,
    full_log,
    full_tmp,
    interrupted,
    killed,
    moved,
    odd_names,
    odd_text,
    other_settings,
    read_only,
    sizes,
    truncated,
)

KINDS = [
    killed,
    interrupted,
    other_settings,
    failing_calls,
    full_disk,
    read_only,
    full_tmp,
    full_log,
    truncated,
    flipped,
    damaged_results,
    foreign_inputs,
    at_once,
    clock,
    moved,
    sizes,
    odd_text,
    odd_names,
]


def chosen(count, seed):
    """So many faults, as pairs of kind and stage: each kind before any comes twice, and in all as often as its weights say."""
    order = random.Random(f"order {seed}")
    ranked = []
    for kind in KINDS:
        whole = [stage for stage, weight in kind.STAGES.items() for _ in range(weight)]
        order.shuffle(whole)
        first = order.random()
        ranked += [((number + first) / len(whole), number, kind, stage) for number, stage in enumerate(whole)]
    # The first of each kind, then all others evenly over their kinds.
    ranked.sort(key=lambda entry: (entry[1] > 0, entry[0], entry[2].NAME))
    return [ranked[number % len(ranked)][2:] for number in range(count)]
