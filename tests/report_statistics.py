"""Intervals and tests of the report, written from their formulas in plain Python (with polars for resampling).

Nothing here is translated from the report: tails of distributions are sums of exact fractions and numerical integrals, Mann-Whitney
counts divisions with whole numbers, and the generator behind resampling is ChaCha with 8 rounds by its definition.
"""

import math
from fractions import Fraction
from functools import cache

import polars as pl

Z = 1.959963984540054


# Numerical integration: nodes and weights of Gauss and Legendre's rule with 20 points, by Newton's method.


@cache
def _legendre(points=20):
    nodes = []
    for number in range(1, points + 1):
        x = math.cos(math.pi * (number - 0.25) / (points + 0.5))
        for _ in range(100):
            previous, value = 1.0, x
            for degree in range(2, points + 1):
                previous, value = value, ((2 * degree - 1) * x * value - (degree - 1) * previous) / degree
            slope = points * (x * value - previous) / (x * x - 1)
            x -= value / slope
        nodes.append((x, 2 / ((1 - x * x) * slope * slope)))
    return nodes


def integral(function, low, high, pieces=40):
    total, width = 0.0, (high - low) / pieces
    for piece in range(pieces):
        middle = low + (piece + 0.5) * width
        total += sum(weight * function(middle + x * width / 2) for x, weight in _legendre())
    return total * width / 2


def normal_tail(z):
    return 0.5 * math.erfc(z / math.sqrt(2))


def student_tail(t, freedom):
    """P(T > t): T = √ν tan θ has the density Γ((ν+1)/2)/(√π Γ(ν/2)) cos^(ν−1) θ."""
    front = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    # From the tail's end, where cos is small, so that a small tail keeps its digits.
    angle = math.atan2(math.sqrt(freedom), abs(t))
    tail = front * integral(lambda rest: math.sin(rest) ** (freedom - 1), 0.0, angle)
    return tail if t >= 0 else 1 - tail


def _rising_root(function, low, high):
    """Where a falling function is 0."""
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


@cache
def student_quantile(freedom):
    """The value that T exceeds with a probability of 2.5%."""
    return _rising_root(lambda t: student_tail(t, freedom) - 0.025, 0.0, 20.0)


def gamma_tail(shape, x):
    """P(X > x), X gamma with scale 1: ∫ t^(a−1) e^(−t) dt ÷ Γ(a) from x on."""
    if x <= 0:
        return 1.0
    front = math.exp((shape - 1) * math.log(x) - x - math.lgamma(shape))
    reach = 60 + 4 * shape
    return front * integral(lambda more: math.exp(-more + (shape - 1) * math.log1p(more / x)), 0.0, reach, 200)


def binomial_at_least(k, n, p):
    """P(X ≥ k), by summing up the shorter side."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0

    def term(i):
        if p in (0.0, 1.0):
            return float(i == n * p)
        return math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p))

    return math.fsum(term(i) for i in range(k, n + 1))


# Intervals. Each is (low, high) or None.


def wilson(share, n):
    centre = n * share + Z * Z / 2
    reach = Z * math.sqrt(n * share * (1 - share) + Z * Z / 4)
    low, high = (centre - reach) / (n + Z * Z), (centre + reach) / (n + Z * Z)
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


@cache
def mid_p(k, n):
    """Exact binomial interval with the mid-P correction; from 10 trials on."""
    if n < 10:
        return None

    def upper(p):
        return (binomial_at_least(k, n, p) + binomial_at_least(k + 1, n, p)) / 2

    low = 0.0 if k == 0 else _rising_root(lambda p: 0.025 - upper(p), 0.0, 1.0)
    high = 1.0 if k == n else _rising_root(lambda p: 0.975 - upper(p), 0.0, 1.0)
    return low, high


def ratio(tallies):
    """Σ part ÷ Σ whole."""
    whole = sum(whole for _, whole in tallies)
    return sum(part for part, _ in tallies) / whole if whole > 0 else None


def _cluster_variance(tallies, value):
    """Variance of a ratio, documents as clusters, by linearisation."""
    count, whole = len(tallies), sum(whole for _, whole in tallies)
    return count / (count - 1) * sum((part - value * whole) ** 2 for part, whole in tallies) / whole**2


def _effective_documents(tallies):
    """Equally long documents that these are worth (Kish)."""
    return sum(whole for _, whole in tallies) ** 2 / sum(whole**2 for _, whole in tallies)


def _effective(tallies, value, most):
    """Independent samples that those of the documents are worth."""
    least = _effective_documents(tallies)
    if value in (0.0, 1.0):
        return least
    variance = _cluster_variance(tallies, value)
    worth = math.inf if variance == 0 else value * (1 - value) / variance * (Z / student_quantile(len(tallies) - 1)) ** 2
    return min(max(worth, least), max(most, least))


def clustered(tallies):
    """A rate with several samples a document: Wilson's at the effective number of samples."""
    value = ratio(tallies)
    if all(whole == 1 for _, whole in tallies):
        return wilson(value, len(tallies))
    if len(tallies) < 10:
        return None
    return wilson(value, _effective(tallies, value, sum(whole for _, whole in tallies)))


def bounded_mean(tallies, low, high):
    """A mean of values within bounds: Wilson's on the scale of the bounds, at the effective number of documents."""
    tallies = [tally for tally in tallies if tally[1] > 0]
    if len(tallies) < 15:
        return None
    scaled = [((part / whole - low) / (high - low) * whole, whole) for part, whole in tallies]
    share = min(max((ratio(tallies) - low) / (high - low), 0.0), 1.0)
    at_bound = share <= 1e-12 or share >= 1 - 1e-12
    if not at_bound and math.sqrt(_cluster_variance(scaled, share)) <= 1e-12 * share:
        return None
    ends = wilson(share, _effective(scaled, share, math.inf))
    return tuple(low + end * (high - low) for end in ends)


def over_runs(values, bounds):
    """Student's interval over training runs; None where all agree."""
    count, mean = len(values), sum(values) / len(values)
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    if error <= 1e-12 * abs(mean):
        return None
    reach = student_quantile(count - 1) * error
    low, high = bounds or (-math.inf, math.inf)
    return max(mean - reach, low), min(mean + reach, high)


def mover(first, around_first, second, around_second):
    """Difference of two independent figures (Zou and Donner 2008)."""
    difference = first - second
    low = math.hypot(first - around_first[0], around_second[1] - second)
    high = math.hypot(around_first[1] - first, second - around_second[0])
    return difference - low, difference + high


def paired_rates(pairs):
    """Difference of two rates on the same documents: Bonett and Price's at an effective number of pairs."""
    pairs = [(first, second) for first, second in pairs if first[1] > 0 or second[1] > 0]
    if len(pairs) < 15:
        return None
    wholes = [sum(pair[side][1] for pair in pairs) for side in (0, 1)]
    rates = [ratio([pair[side] for pair in pairs]) for side in (0, 1)]
    difference, count = rates[0] - rates[1], len(pairs)
    own = [[pair[side][0] / pair[side][1] if pair[side][1] else 0.0 for side in (0, 1)] for pair in pairs]
    discordant = sum(
        (pair[0][1] / wholes[0] + pair[1][1] / wholes[1]) / 2 * (a * (1 - b) + b * (1 - a)) for pair, (a, b) in zip(pairs, own)
    )
    discordant = max(discordant, abs(difference))
    tallies = [tally for pair in pairs for tally in pair]
    if all(whole == 1 for _, whole in tallies):
        number = count
    else:
        counts = all(float(value).is_integer() for tally in tallies for value in tally)
        most = max(min(wholes), count) if counts else math.inf
        variance = _paired_variance(pairs)
        largest = discordant - difference**2
        worth = count
        if largest > 0:
            worth = math.inf if variance == 0 else largest / variance * (Z / student_quantile(count - 1)) ** 2
        number = min(max(worth, count), most)
        number = number if math.isfinite(number) else count
    more, less = ((number * share + 1) / (number + 2) for share in ((discordant + difference) / 2, (discordant - difference) / 2))
    centre = more - less
    reach = Z * math.sqrt((more + less - centre**2) / (number + 2))
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def _residuals(pairs):
    sides = []
    for side in (0, 1):
        tallies = [pair[side] for pair in pairs]
        value, whole = ratio(tallies), sum(whole for _, whole in tallies)
        sides.append([(part - value * own) / whole for part, own in tallies])
    return [first - second for first, second in zip(*sides)]


def _paired_variance(pairs):
    return len(pairs) / (len(pairs) - 1) * sum(residual**2 for residual in _residuals(pairs))


def paired_means(pairs):
    """Difference of two means on the same documents."""
    pairs = [(first, second) for first, second in pairs if first[1] > 0 or second[1] > 0]
    difference = ratio([first for first, _ in pairs]) - ratio([second for _, second in pairs])
    return mean([(difference + residual * len(pairs), 1.0) for residual in _residuals(pairs)])


# Resampling, with the generator that the docstrings name: ChaCha with 8 rounds, seeded as Rust's rand seeds it from a number.


class ChaCha8:
    """A stream of words of 32 bits, computed for many blocks at once."""

    BLOCKS = 1 << 14

    def __init__(self, seed, key=None):
        self.words, self.place, self.block = pl.Series(dtype=pl.UInt64), 0, 0
        self.key = key or []
        while len(self.key) < 8:
            seed = (seed * 6364136223846793005 + 11634580027462260723) & (2**64 - 1)
            mixed, turn = (((seed >> 18) ^ seed) >> 27) & 0xFFFFFFFF, seed >> 59
            self.key.append(((mixed >> turn) | (mixed << (32 - turn))) & 0xFFFFFFFF)

    def _more(self):
        blocks = pl.Series(range(self.block, self.block + self.BLOCKS), dtype=pl.UInt64)
        fixed = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *self.key, None, 0, 0, 0]
        start = [blocks if word is None else pl.repeat(word, self.BLOCKS, dtype=pl.UInt64, eager=True) for word in fixed]
        state = start[:]

        def mix(to, by, on, turn):
            state[to] = (state[to] + state[by]) & 0xFFFFFFFF
            mixed = state[on] ^ state[to]
            state[on] = ((mixed * 2**turn) & 0xFFFFFFFF) | mixed // 2 ** (32 - turn)

        for shift in (0, 1) * 4:
            for column in range(4):
                a, b, c, d = (4 * row + (column + row * shift) % 4 for row in range(4))
                mix(a, b, d, 16)
                mix(c, d, b, 12)
                mix(a, b, d, 8)
                mix(c, d, b, 7)
        columns = {str(number): (after + before) & 0xFFFFFFFF for number, (after, before) in enumerate(zip(state, start))}
        words = pl.DataFrame(columns).select(pl.concat_list(pl.all()).list.explode()).to_series()
        self.words = pl.concat([self.words, words])
        self.block += self.BLOCKS

    def first(self, count):
        """The first words of the stream."""
        while len(self.words) < count:
            self._more()
        return self.words[:count]

    def word(self):
        self.place += 1
        return self.first(self.place)[self.place - 1]

    def again(self):
        """The same stream from its beginning; what was computed stays."""
        self.place = 0
        return self

    def below(self, count):
        """A number below `count`: the upper half of word · count, with one more word where that may be biased."""
        product = self.word() * count
        result, rest = product >> 32, product & 0xFFFFFFFF
        if rest > 2**32 - count:
            result += rest + (self.word() * count >> 32) >= 2**32
        return result


@cache
def _generator(seed):
    return ChaCha8(seed)


RESAMPLES = 2000


@cache
def _draws(count):
    """Which documents each resample of a mean holds: they depend on the number of documents alone."""
    generator = _generator(0).again()
    products = generator.first(RESAMPLES * count) * count
    if not ((products & 0xFFFFFFFF) > 2**32 - count).any():
        return (products // 2**32).cast(pl.UInt32)
    return pl.Series([generator.below(count) for _ in range(RESAMPLES * count)], dtype=pl.UInt32)


def percentile(ascending, share):
    position = share * (len(ascending) - 1)
    below, above = ascending[math.floor(position)], ascending[math.ceil(position)]
    return below + (position - math.floor(position)) * (above - below)


def _sums(values, draws, count):
    """The sum of each resample's values."""
    return values.gather(draws).reshape((RESAMPLES, count)).arr.sum()


def mean(tallies):
    """A mean or ratio over documents: half-way between bootstrap-t and Student's t. None where documents (nearly) agree."""
    tallies = [tally for tally in tallies if tally[1] > 0]
    count = len(tallies)
    if count < 12:
        return None
    value = ratio(tallies)
    error = math.sqrt(_cluster_variance(tallies, value))
    if error <= 1e-12 * abs(value):
        return None
    # With e = part − value · whole, a resample's ratio is value + Σe/Σw, and its residuals are e − (Σe/Σw) w.
    residuals = [part - value * whole for part, whole in tallies]
    wholes = [whole for _, whole in tallies]
    products = {"e": residuals, "ee": [e * e for e in residuals]}
    if len(set(wholes)) > 1:
        products |= {"w": wholes, "ew": [e * w for e, w in zip(residuals, wholes)], "ww": [w * w for w in wholes]}
    draws = _draws(count)
    sums = pl.DataFrame({name: _sums(pl.Series(values, dtype=pl.Float64), draws, count) for name, values in products.items()})
    if "w" not in products:
        sums = sums.with_columns(w=pl.lit(count * wholes[0]), ew=pl.col("e") * wholes[0], ww=pl.lit(count * wholes[0] ** 2))
    sums = sums.with_columns(off=pl.col("e") / pl.col("w"))
    sums = sums.with_columns(spread=pl.col("ee") - 2 * pl.col("off") * pl.col("ew") + pl.col("off") ** 2 * pl.col("ww"))
    sums = sums.with_columns(error=(count / (count - 1) * pl.max_horizontal(pl.col("spread"), pl.lit(0.0))).sqrt() / pl.col("w"))
    # A spread beyond rounding.
    varied = sums.filter(pl.col("error") > 1e-7 * error)
    if RESAMPLES - varied.height > 0.025 * RESAMPLES:
        return None
    studentised = (varied["off"] / varied["error"]).sort().to_list()
    student = student_quantile(max(1.0, _effective_documents(tallies) - 1))
    above = (percentile(studentised, 0.975) + student) / 2
    below = (percentile(studentised, 0.025) - student) / 2
    return value - error * max(above, 0.0), value - error * min(below, 0.0)


# Tests: one-sided p-values.


def paired_exceeds(pairs, resamples, seed):
    """McNemar's exact test with one sample a document, else flipped signs of documents."""
    if not pairs:
        return None
    single = all(whole == 1 and part in (0, 1) for pair in pairs for part, whole in pair)
    differences = [
        (first[0] / first[1] - second[0] / second[1]) * (first[1] + second[1]) / 2 for first, second in pairs if first[1] > 0 and second[1] > 0
    ]
    differences = [difference for difference in differences if difference != 0]
    count = len(differences)
    if single:
        for_first = sum(difference > 0 for difference in differences)
        return float(Fraction(sum(math.comb(count, i) for i in range(for_first, count + 1)), 2**count))
    found = sum(differences)
    least = found - 1e-9 * sum(map(abs, differences))
    if count <= 14:
        sums = [0.0]
        for difference in differences:
            sums = [value + sign * difference for value in sums for sign in (1, -1)]
        return sum(value >= least for value in sums) / 2**count
    generator = _generator(seed).again()
    hits = sum(sum(-d if generator.word() >> 31 else d for d in differences) >= least for _ in range(resamples))
    return (1 + hits) / (1 + resamples)


def fisher(first, second):
    """That the first of two independent shares (k, n) is larger: hypergeometric tail, in whole numbers."""
    (k1, n1), (k2, n2) = first, second
    if not n1 or not n2:
        return None
    ways = sum(math.comb(n1, k) * math.comb(n2, k1 + k2 - k) for k in range(k1, min(n1, k1 + k2) + 1))
    return float(Fraction(ways, math.comb(n1 + n2, k1 + k2)))


def holm(values):
    adjusted, largest = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = min(1.0, max(largest, values[index] * (len(values) - place)))
        adjusted[index] = largest
    return adjusted


def auc(members, others):
    wins = sum((member < other) + 0.5 * (member == other) for member in members for other in others)
    return wins / (len(members) * len(others))


def _placements(members, others):
    of_members = [sum((m < o) + 0.5 * (m == o) for o in others) / len(others) for m in members]
    of_others = [sum((m < o) + 0.5 * (m == o) for m in members) / len(members) for o in others]
    return of_members, of_others


def _variance(values):
    centre = sum(values) / len(values)
    return sum((value - centre) ** 2 for value in values) / (len(values) - 1)


def auc_interval(members, others):
    """DeLong's on the logit scale from 20 a side on, from 10 on by the variance of a model; None with fewer."""
    smaller = min(len(members), len(others))
    if smaller < 10:
        return None
    of_members, of_others = _placements(members, others)
    area = sum(of_members) / len(of_members)
    parts = _variance(of_members) / len(members), _variance(of_others) / len(others)
    if smaller < 20:
        return _area_of_few(area, sum(parts), len(members), len(others))
    if sum(parts) == 0 or area in (0.0, 1.0):
        return wilson(area, smaller)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(members) - 1) + parts[1] ** 2 / (len(others) - 1))
    logit, reach = math.log(area / (1 - area)), student_quantile(freedom) * math.sqrt(sum(parts)) / (area * (1 - area))
    return tuple(1 / (1 + math.exp(-end)) for end in (logit - reach, logit + reach))


def _area_of_few(area, variance, members, others):
    """The areas within 1.96 deviations of the measured one by Hanley and McNeil's variance, scaled towards DeLong's."""
    half = (members + others) / 2 - 1

    def model(theta):
        return theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)) / (members * others)

    side, factor = min(members, others), 1.0
    if variance > 0 and model(area) > 0:
        factor = (side * variance / model(area) + 5) / (side + 5)

    def inside(theta):
        return Z * Z * factor * model(theta) - (theta - area) ** 2

    low = 0.0 if area == 0 else _rising_root(lambda theta: -inside(theta), 0.0, area)
    high = 1.0 if area == 1 else _rising_root(inside, area, 1.0)
    return low, high


def auc_difference(first, second):
    """That the first of two scores of the same documents has the larger AUC: DeLong's paired test; None with fewer than 20 a side."""
    if min(map(len, first)) < 20 or [*map(len, first)] != [*map(len, second)]:
        return None
    placements = _placements(*first), _placements(*second)
    areas = [sum(of_members) / len(of_members) for of_members, _ in placements]
    shifts = [[one - other for one, other in zip(*sides)] for sides in zip(*placements)]
    parts = [_variance(shift) / len(shift) for shift in shifts]
    difference = areas[0] - areas[1]
    if sum(parts) <= 1e-24:
        if difference <= 0:
            return 1.0
        low, _ = mover(areas[0], auc_interval(*first), areas[1], auc_interval(*second))
        return normal_tail(difference / ((difference - low) / Z))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(shift) - 1) for part, shift in zip(parts, shifts))
    return student_tail(difference / math.sqrt(sum(parts)), freedom)


def mann_whitney(members, others):
    """That members score lower: exact where it can be counted in ten million steps, else the normal approximation."""
    if not members or not others:
        return None
    everyone = sorted([(score, True) for score in members] + [(score, False) for score in others], key=lambda one: one[0])
    total, m, n = len(everyone), len(members), len(others)
    ranks, found, ties = [], 0, 0
    start = 0
    while start < total:
        end = start
        while end < total and everyone[end][0] == everyone[start][0]:
            end += 1
        doubled = start + 1 + end
        ranks += [doubled] * (end - start)
        found += doubled * sum(member for _, member in everyone[start:end])
        ties += (end - start) ** 3 - (end - start)
        start = end
    if 2 * (total * m) ** 2 <= 10_000_000:
        # Coefficients of Π (1 + y x^rank) in y^m, packed into one whole number each: a slot holds every count there can be.
        slot = math.comb(total, m).bit_length() + 1
        ways = [1] + [0] * m
        for rank in ranks:
            for count in range(m, 0, -1):
                ways[count] += ways[count - 1] << (slot * rank)
        low = ways[m] & ((1 << (slot * (found + 1))) - 1)
        mask, choices = (1 << slot) - 1, 0
        while low:
            choices += low & mask
            low >>= slot
        return float(Fraction(choices, math.comb(total, m)))
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    return normal_tail((m * (total + 1) / 2 - found / 2 - 0.5) / math.sqrt(variance))


def carried_over(share, times):
    """A share, were there so many times the text to match: 1 − (1 − r)^times."""
    if share == 1:
        return 1.0
    return -math.expm1(times * math.log1p(-share))


def exceeds_carried(found, control, times):
    """k of n exceed a control that is carried over: Berger and Boos with a risk of 0.001 around the control's rate."""
    (k, n), (control_k, control_n) = found, control
    if not n or not control_n:
        return None
    if k == 0:
        return 1.0
    bound = 1.0
    if control_k < control_n:
        # P(at most control_k) = 0.001.
        bound = _rising_root(lambda p: math.fsum(_binomial_terms(control_n, p)[: control_k + 1]) - 0.001, control_k / control_n, 1.0)
    return min(1.0, 0.001 + (binomial_at_least(k, n, carried_over(bound, times)) if bound < 1 else 1.0))


def _binomial_terms(n, p):
    return [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]


def exposure_exceeds(exposures, references):
    """Fisher's combination of the canaries' ranks, with Brown's correction for the references that they share."""
    inflation = 1 + len(exposures) / references
    return gamma_tail(len(exposures) / inflation, math.log(2) * sum(exposures) / inflation)


def to_separate(first, second):
    """Samples of each of two rates that tell them apart, two-sided at 95% with 80% power (Fleiss)."""
    if first == second:
        return None
    middle = (first + second) / 2
    reach = Z * math.sqrt(2 * middle * (1 - middle)) + 0.8416212335729143 * math.sqrt(first * (1 - first) + second * (1 - second))
    return max(1.0, math.ceil((reach / (first - second)) ** 2))
