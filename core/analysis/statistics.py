"""Intervals and tests for small samples: bootstrap, paired bootstrap, McNemar, sign test.

Everything is seeded, so the same samples always give the same figures. The bootstrap interval is the
*expanded* percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap",
section 5.3): plain percentiles are too narrow for the 8 to 64 windows a quick evaluation has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2_000
CONFIDENCE = 0.95
SEED = 0
_CHUNK_NUMBERS = 4_000_000


class Interval(NamedTuple):
    """A mean with the bounds of its confidence interval; `low == high == value` where nothing varies."""

    value: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0.0 <= self.high


def resampled_means(samples: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Means of `resamples` bootstrap samples, for one set of samples or several at once.

    Args:
        samples: `(n,)`, or `(n, sets)` where row i of every set is the same window or item. All sets
            see the same draws, so the difference of two columns is their paired bootstrap.
    Returns:
        `(resamples,)` or `(resamples, sets)`.
    """
    values = np.asarray(samples, dtype=np.float64)
    n = values.shape[0]
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, *values.shape[1:]))
    step = max(1, _CHUNK_NUMBERS // n)
    for start in range(0, resamples, step):
        # How often each sample is drawn: the same distribution as drawing indices, and one matrix product.
        counts = generator.multinomial(n, np.full(n, 1.0 / n), size=min(step, resamples - start))
        means[start : start + step] = counts @ values / n
    return means


def bootstrap_mean(
    samples: ArrayLike, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """The mean of `samples` (n,) and its bootstrap interval. One sample has no interval: its bounds are NaN.

    Raises ValueError for no samples.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError("a bootstrap needs a flat list of at least one sample")
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, math.nan, math.nan)
    if (values == values[0]).all():
        return Interval(mean, mean, mean)
    low, high = expanded_percentiles(resampled_means(values, resamples, seed), values.size, confidence)
    return Interval(mean, float(low), float(high))


def paired_bootstrap(
    candidate: ArrayLike,
    baseline: ArrayLike,
) -> Interval:
    """Mean of `candidate - baseline` over the same windows or items, with its bootstrap interval.

    Raises ValueError where the two are not of one length: they cannot be paired then.
    """
    a, b = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"cannot pair {a.size} samples with {b.size}")
    return bootstrap_mean(a - b)


def expanded_percentiles(means: Floats, n: int, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Lower and upper bound from bootstrap means `(resamples, ...)` of samples of size `n`, along axis 0."""
    tail = expanded_tail(n, confidence)
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return low, high


@lru_cache(maxsize=256)
def expanded_tail(n: int, confidence: float = CONFIDENCE) -> float:
    """Tail probability that makes percentile intervals as wide as Student's: Phi(-sqrt(n/(n-1)) t)."""
    t = student_quantile((1.0 + confidence) / 2.0, n - 1)
    return NormalDist().cdf(-math.sqrt(n / (n - 1)) * t)


def student_quantile(probability: float, degrees: int) -> float:
    """Quantile (probability above 0.5) of Student's t.

    With t = sqrt(degrees) tan(a), the distribution is an integral of cos(a)^(degrees - 1) over the angle a,
    which is finite and smooth: summed by the trapezoid rule and read backwards.
    """
    angle = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angle) ** (degrees - 1)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    found = float(np.interp(2.0 * probability - 1.0, area / area[-1], angle))
    return math.sqrt(degrees) * math.tan(found)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value that two models answer equally well.

    `only_a` items were answered correctly by the first model alone, `only_b` by the second alone
    (McNemar 1947; under equality each such item is a fair coin).
    """
    n, fewest = only_a + only_b, min(only_a, only_b)
    if 2 * fewest == n:
        return 1.0
    term = tail = 1
    for k in range(fewest):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(1.0, _ratio(2 * tail, n))


def only_one(correct_a: Sequence[float], correct_b: Sequence[float]) -> tuple[int, int]:
    """How many items (1 correct, 0 not) the first alone has right, and the second alone.

    Raises ValueError for unequal lengths.
    """
    a, b = np.asarray(correct_a) > 0.5, np.asarray(correct_b) > 0.5
    if a.shape != b.shape:
        raise ValueError(f"cannot pair {a.size} items with {b.size}")
    return int((a & ~b).sum()), int((~a & b).sum())


def mcnemar(correct_a: Sequence[float], correct_b: Sequence[float]) -> float:
    """`mcnemar_exact` from two lists of 0 and 1 over the same items. Raises ValueError for unequal lengths."""
    return mcnemar_exact(*only_one(correct_a, correct_b))


def sign_test(differences: ArrayLike) -> float:
    """Two-sided exact p-value that differences are as often above zero as below; zeros do not count."""
    values = np.asarray(differences, dtype=np.float64)
    return mcnemar_exact(int((values > 0).sum()), int((values < 0).sum()))


def _ratio(numerator: int, power: int) -> float:
    """`numerator / 2**power` for integers too large for a float."""
    shift = max(0, numerator.bit_length() - 64)
    return math.ldexp(float(numerator >> shift), shift - power)
