"""The few statistics that the results of the study need, from counts. Documents are what is independent; seeds repeat the same documents."""

import math
import random
import zlib
from collections import defaultdict

RESAMPLES = 2000


def wilson(k, n, z=1.959963984540054):
    """The 95% interval of a share (Wilson 1927)."""
    if not n:
        return None
    centre, room = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, (centre - room) / (n + z * z)), min(1.0, (centre + room) / (n + z * z))


def resampled(by_document, statistic, name):
    """The ends of the 95% interval of a statistic of documents, which are drawn again with all that is known of each (percentiles)."""
    chance = random.Random(zlib.crc32(name.encode()))
    documents = list(by_document)
    found = sorted(statistic([by_document[chance.choice(documents)] for _ in documents]) for _ in range(RESAMPLES))
    return found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES) - 1]


def share(rows, name):
    """k, n and interval of documents that were repeated, over the runs of several seeds: rows of (doc_id, repeated)."""
    by_document = defaultdict(list)
    for doc_id, out in rows:
        by_document[doc_id].append(out)
    k, n = sum(map(sum, by_document.values())), sum(map(len, by_document.values()))
    if not n:
        return None
    runs = max(map(len, by_document.values()))
    if runs == 1 or k in (0, n):
        # Where all agree, resampling would leave no room; the documents alone count then.
        low, high = wilson(k / runs, n / runs)
    else:
        low, high = resampled(by_document, lambda drawn: sum(map(sum, drawn)) / max(1, sum(map(len, drawn))), name)
    return k, n, low, high


def auc(members, others):
    """Probability that a member's score is above another's, ties counting half."""
    if not members or not others:
        return None
    return sum((one > other) + 0.5 * (one == other) for one in members for other in others) / (len(members) * len(others))


def sign_test(more, fewer):
    """Two-sided exact p-value that as many documents changed one way as the other (McNemar's exact test)."""
    n = more + fewer
    if not n:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(more, fewer) + 1)) / 2**n
    return min(1.0, 2 * tail)


def power(n, share, base=0.0, level=0.05, draws=2000):
    """How often so many documents would show a share over a base by the sign test, if each were repeated by itself."""
    chance = random.Random(0)
    shown = 0
    for _ in range(draws):
        more = fewer = 0
        for _ in range(n):
            one, other = chance.random() < share, chance.random() < base
            more, fewer = more + (one > other), fewer + (other > one)
        shown += sign_test(more, fewer) < level and more > fewer
    return shown / draws
