"""Intervals of means and tests of pairs for small samples: Student's t, Fieller, McNemar, sign test.

Student's t holds from four windows on (`tests/conformance/test_coverage.py` simulates it); below, there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.registry.measurement import FEWEST_WINDOWS

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
SIGNIFICANT = 0.05
"""A paired test's p below which a difference is claimed."""
STUDENT = "95 %, Student's t over windows"
"""What a figure says of its interval."""


class Interval(NamedTuple):
    """A value with the bounds of its 95 % interval: NaN where there are too few samples for one."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        return not math.isnan(self.low)

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0.0 <= self.high

    @property
    def bounds(self) -> tuple[float, float] | tuple[None, None]:
        """Both ends as a measurement keeps them: None where they are not known."""
        return (self.low, self.high) if self.known else (None, None)


def mean_interval(samples: ArrayLike) -> Interval:
    """The mean of `samples` (n,) and its 95 % interval by Student's t. Below `FEWEST_WINDOWS` samples it has none.

    Raises ValueError for no samples.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError("an interval needs a flat list of at least one sample")
    mean = float(values.mean())
    if values.size < FEWEST_WINDOWS:
        return Interval(mean, math.nan, math.nan)
    if (values == values[0]).all():
        return Interval(mean, mean, mean)
    half = student(values.size) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Interval(mean, mean - half, mean + half)


def paired_interval(candidate: ArrayLike, baseline: ArrayLike) -> Interval:
    """Mean of `candidate - baseline` over the same windows or items, with its interval.

    Raises ValueError where the two are not of one length: they cannot be paired then.
    """
    a, b = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"cannot pair {a.size} samples with {b.size}")
    return mean_interval(a - b)


def ratio_interval(above: ArrayLike, below: ArrayLike) -> Interval:
    """Ratio of two means over the same windows (both (n,)) with Fieller's interval (1954).

    It has bounds only where the mean below is told from zero: elsewhere no bounded set of ratios would cover the true
    one as often as it says.
    """
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    value = float(a.mean() / b.mean())
    if a.size < FEWEST_WINDOWS or mean_interval(b).includes_zero:
        return Interval(value, math.nan, math.nan)
    covariance = np.cov(a, b) * student(a.size) ** 2 / a.size  # (2, 2)
    # The ratios r for which the mean of a - r b is not told from zero: square r^2 - 2 middle r + rest <= 0.
    square = float(b.mean() ** 2 - covariance[1, 1])
    middle = float(a.mean() * b.mean() - covariance[0, 1])
    rest = float(a.mean() ** 2 - covariance[0, 0])
    root = math.sqrt(max(0.0, middle**2 - square * rest))
    return Interval(value, (middle - root) / square, (middle + root) / square)


@lru_cache(maxsize=1_024)
def student(n: int) -> float:
    """By how many standard errors the 95 % interval of a mean of `n` samples reaches to either side."""
    return student_quantile((1.0 + CONFIDENCE) / 2.0, n - 1)


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


@lru_cache(maxsize=65_536)
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


def _ratio(numerator: int, power: int) -> float:
    """`numerator / 2**power` for integers too large for a float."""
    shift = max(0, numerator.bit_length() - 64)
    return math.ldexp(float(numerator >> shift), shift - power)
