"""A file of the run is cut short at a random place."""

from faults import damage

NAME = "cut short"
STAGES = {"tuner": 12, "extractor": 16, "plagiarism": 12, "report": 25}


def attempt(bench, stage, chooser):
    return damage.read_damaged(bench, chooser, chooser.choice(damage.kinds_read_by(stage)), stage, damage.cut)[0]
