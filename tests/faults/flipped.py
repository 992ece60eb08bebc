"""One bit is turned in a file of the run; `tests/test_bit_flips.py` counts the same by kind of file."""

from faults import damage

NAME = "turned bit"
STAGES = {"tuner": 12, "extractor": 16, "plagiarism": 12, "report": 25}


def attempt(bench, stage, chooser):
    return damage.read_damaged(bench, chooser, chooser.choice(damage.kinds_read_by(stage)), stage, damage.flip)[0]
