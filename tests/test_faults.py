"""What a run withstands: kills, full and failing disks, damaged files, odd texts and names, and more (tests/faults has each kind).

Run by `make test` on a few faults. FAULTS=1000 SEED=1 makes so many, and prints how many of each kind went wrong on each stage; every
fault is printed with a name, and FAULT="name" makes that one again. KIND=name makes faults of that kind alone. BIN names the folder of
the programs.
"""

import collections
import os
import random
import traceback
import unittest

from faults.bench import Bench, Failure, Impossible
from faults.table import KINDS, chosen

FAULTS = int(os.environ.get("FAULTS", "18"))
SEED = os.environ.get("SEED", "0")
ONE = os.environ.get("FAULT")
KIND = os.environ.get("KIND")


def listed():
    """The faults to make: kind, stage, and the seed of its random numbers."""
    if ONE:
        kind, stage, seed = (part.strip() for part in ONE.split("/"))
        return [(next(known for known in KINDS if known.NAME == kind), stage, seed)]
    faults = chosen(FAULTS, SEED)
    if KIND:
        kinds = [kind for kind in KINDS if kind.NAME == KIND]
        pairs = [(kind, stage) for kind in kinds for stage, weight in kind.STAGES.items() for _ in range(weight)]
        random.Random(SEED).shuffle(pairs)
        faults = [pairs[number % len(pairs)] for number in range(FAULTS)]
    return [(kind, stage, f"{SEED}-{number}") for number, (kind, stage) in enumerate(faults)]


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = Bench()

    @classmethod
    def tearDownClass(cls):
        cls.bench.close()

    def test_faults_are_withstood(self):
        counts = collections.defaultdict(collections.Counter)
        endings = collections.defaultdict(collections.Counter)
        wrong, impossible = [], collections.Counter()
        for kind, stage, seed in listed():
            name = f"{kind.NAME} / {stage} / {seed}"
            try:
                ending = kind.attempt(self.bench, stage, random.Random(name))
            except Impossible as reason:
                ending = f"impossible: {reason}"
                impossible[f"{kind.NAME}: {reason}"] += 1
            except Failure as failure:
                ending = f"FAILED: {failure}"
                wrong.append(f"{name}: {failure}")
            except Exception:
                ending = f"FAILED: {traceback.format_exc()}"
                wrong.append(f"{name}: {traceback.format_exc()}")
            what = "failures" if ending.startswith("FAILED") else "impossible" if ending.startswith("impossible") else "withstood"
            counts[kind.NAME, stage][what] += 1
            if what == "withstood":
                endings[kind.NAME][ending] += 1
            print(f"{name}: {ending}", flush=True)
        print_table(counts, endings, impossible)
        if wrong:
            self.fail("\n".join([f"{len(wrong)} faults were not withstood; FAULT='kind / stage / seed' makes one again:", *wrong]))


def print_table(counts, endings, impossible):
    print(f"\n{'kind of fault':24}{'stage':12}{'tries':>7}{'failures':>10}{'impossible':>12}   seed {SEED}")
    rows = {(kind.NAME, stage): counts.get((kind.NAME, stage)) for kind in KINDS for stage in kind.STAGES}
    total = collections.Counter()
    for (kind, stage), counted in rows.items():
        if counted:
            total.update(counted)
            tries = counted.total() - counted["impossible"]
            print(f"{kind:24}{stage:12}{tries:7}{counted['failures']:10}{counted['impossible']:12}")
    print(f"{'in all':36}{total.total() - total['impossible']:7}{total['failures']:10}{total['impossible']:12}")
    for kind, counted in endings.items():
        print(f"{kind}: " + ", ".join(f"{count} {ending}" for ending, count in counted.most_common()))
    for reason, count in impossible.items():
        print(f"not made here, {count} times: {reason}")


if __name__ == "__main__":
    unittest.main()
