"""Statistics of the study. Documents are independent; seeds repeat the same documents."""

import math
import random
import zlib
from collections import defaultdict

RESAMPLES = 2000


def wilson(k, n, z=1.959963984540054):
    """The 95% interval of a proportion (Wilson 1927)."""
    if not n:
        return None
    centre, margin = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, (centre - margin) / (n + z * z)), min(1.0, (centre + margin) / (n + z * z))


def bootstrap_interval(by_document, statistic, name):
    """The 95% percentile interval of a statistic, by resampling documents with all their runs; `name` is the seed."""
    rng = random.Random(zlib.crc32(name.encode()))
    documents = list(by_document)
    values = sorted(statistic([by_document[rng.choice(documents)] for _ in documents]) for _ in range(RESAMPLES))
    return values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES) - 1]


def share(rows, name):
    """(k, n, low, high) of repeated documents over the runs of several seeds, from rows of (doc_id, repeated)."""
    by_document = defaultdict(list)
    for doc_id, is_repeated in rows:
        by_document[doc_id].append(is_repeated)
    k, n = sum(map(sum, by_document.values())), sum(map(len, by_document.values()))
    if not n:
        return None
    runs = max(map(len, by_document.values()))
    if runs == 1 or k in (0, n):
        # If all runs agree, resampling would give an empty interval; the documents alone count.
        low, high = wilson(k / runs, n / runs)
    else:
        low, high = bootstrap_interval(by_document, lambda sample: sum(map(sum, sample)) / max(1, sum(map(len, sample))), name)
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
    """How often the sign test on n documents distinguishes a share from a base, if documents are repeated independently."""
    rng = random.Random(0)
    significant = 0
    for _ in range(draws):
        more = fewer = 0
        for _ in range(n):
            one, other = rng.random() < share, rng.random() < base
            more, fewer = more + (one > other), fewer + (other > one)
        significant += sign_test(more, fewer) < level and more > fewer
    return significant / draws


def ranks(values):
    """Ranks from 1, those of equal values averaged."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + 1 + end) / 2
        start = end
    return found


def spearman(first, second):
    """Spearman's rank correlation, ties averaged; None where either is constant."""
    pairs = list(zip(ranks(first), ranks(second)))
    means = [sum(values) / len(pairs) for values in zip(*pairs)]
    spread = [sum((value - mean) ** 2 for value in values) for values, mean in zip(zip(*pairs), means)]
    if not pairs or 0 in spread:
        return None
    return sum((left - means[0]) * (right - means[1]) for left, right in pairs) / (spread[0] * spread[1]) ** 0.5
