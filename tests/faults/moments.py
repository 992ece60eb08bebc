"""When a program is stopped: at a random time, or as soon as it has changed something in the folders that it writes to."""

import os
import time

# Seconds between two looks at a folder.
STEP = 0.0005


def wait(chooser, child, folders, seconds):
    """Waits for a random moment of a program that takes so many seconds; false where the program ended before it."""
    if chooser.random() < 0.5:
        until = child.begun + chooser.uniform(0, 1.05 * seconds)
        while time.monotonic() < until and child.poll() is None:
            time.sleep(min(0.005, max(0, until - time.monotonic())))
        return child.poll() is None
    # Most of the time nothing is written, and what is written may go wrong: so half of the moments are those of changes.
    changes, seen = chooser.randint(1, 16), look(folders)
    while child.poll() is None:
        now = look(folders)
        if now != seen:
            seen = now
            changes -= 1
            if changes == 0:
                return child.poll() is None
        time.sleep(STEP)
    return False


def look(folders):
    """Names and sizes below some folders, two levels deep."""
    found = []
    for folder in folders:
        try:
            entries = list(os.scandir(folder))
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    entries += os.scandir(entry.path)
            found += [(entry.path, entry.stat(follow_symlinks=False).st_size) for entry in entries]
        except OSError:
            found.append((folder, None))
    return found
