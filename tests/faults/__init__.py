"""What a run has to withstand: one file for each kind of fault, all of them in the one table of `table.py`, run by `tests/test_faults.py`.

A kind has a NAME, the STAGES that it is tried on with a weight each (how many of a thousand), and `attempt(bench, stage, chooser)`, which
makes one fault with the random numbers of `chooser`, runs the same command once more without it, and gives a word for what came of it. It
raises `Failure` where something went wrong, and `Impossible` where this machine cannot make such a fault.
"""
