"""95 % intervals of shares: Wilson, Clopper-Pearson, Tango for pairs, and Wilson for answers that come in groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from core.analysis.statistics import (
    CONFIDENCE,
    SIGNIFICANT,
    Interval,
    mcnemar_exact,
    student,
)
from core.registry.measurement import FEWEST_WINDOWS

WILSON = "95 %, Wilson's score interval over items"
"""What an accuracy says of its interval."""
_Z = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0)
_HALVINGS = 60


def wilson(share: float, n: float) -> Interval:
    """Wilson's score interval (1927) of a share (0 to 1) of `n` independent answers; `n` may be an effective number.

    Unlike Wald's it does not shrink to nothing where all answers are alike: 20 of 20 gives 0.839 to 1.
    Raises ValueError for no answers.
    """
    if n <= 0:
        raise ValueError("a share of nothing has no interval")
    extra = _Z**2 / n
    middle = (share + extra / 2.0) / (1.0 + extra)
    half = math.sqrt(extra * share * (1.0 - share) + extra**2 / 4.0) / (1.0 + extra)
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def right_share(right: Sequence[float]) -> Interval:
    """The share of items answered correctly (1 or 0 each) with Wilson's interval."""
    return wilson(sum(right) / len(right), len(right))


def grouped_share(hits: Sequence[float], sizes: Sequence[int]) -> Interval:
    """A share of answers that come in groups (windows, prompts), each alike within itself.

    Args:
        hits, sizes: of each group, how many answers are hits, and how many there are.

    Wilson's interval with the number of independent answers that would be as uncertain as the groups show it to be
    (Korn and Graubard 1998; Dean and Pagano 2015). Groups that are all alike count their answers as independent.
    Below `FEWEST_WINDOWS` groups there is no interval.
    """
    found, n = np.asarray(hits, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    share, groups = float(found.sum() / n.sum()), len(n)
    if groups < FEWEST_WINDOWS:
        return Interval(share, math.nan, math.nan)
    residues = found - share * n
    variance = float(groups / (groups - 1) * (residues**2).sum() / n.sum() ** 2)
    answers = float(n.sum())
    if variance > 0.0:
        answers = min(answers, share * (1.0 - share) / variance * (_Z / student(groups)) ** 2)
    return wilson(share, answers)


def paired_share(only_a: int, only_b: int, n: int) -> Interval:
    """Difference of two accuracies (0 to 1, a minus b) over the same `n` items, with Tango's score interval.

    Args:
        only_a, only_b: items that the first alone has right, and the second alone.

    It reaches zero wherever McNemar's exact test, which decides, claims nothing.
    """
    low, high = tango(only_a, only_b, n)
    if mcnemar_exact(only_a, only_b) >= SIGNIFICANT:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval((only_a - only_b) / n, low, high)


def tango(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """Tango's score interval (1998, equations 5 and 6) of the difference of two paired shares."""
    value = (only_a - only_b) / n

    def apart(gap: float) -> float:
        """The score statistic against a true difference of `gap`."""
        a, b = 2.0 * n, -only_a - only_b + (2.0 * n - only_a + only_b) * gap
        c = -only_b * gap * (1.0 - gap)
        likely = (math.sqrt(max(0.0, b * b - 4.0 * a * c)) - b) / (2.0 * a)  # the share right in the second alone
        spread = math.sqrt(max(0.0, n * (2.0 * likely + gap * (1.0 - gap))))
        return (only_a - only_b - n * gap) / spread if spread > 0.0 else 0.0

    return (
        _crossing(lambda gap: apart(gap) <= _Z, -1.0, value),
        _crossing(lambda gap: apart(gap) < -_Z, value, 1.0),
    )


def clopper_pearson(hits: int, n: int) -> Interval:
    """The exact interval of a share of `n` independent answers: it holds 0.5 just where the sign test claims nothing.

    Clopper and Pearson 1934. Raises ValueError for no answers.
    """
    if n <= 0:
        raise ValueError("a share of nothing has no interval")
    tail = SIGNIFICANT / 2.0
    low = 0.0 if hits == 0 else _crossing(lambda p: _at_least(hits, n, p) >= tail, 0.0, 1.0)
    high = 1.0 if hits == n else _crossing(lambda p: 1.0 - _at_least(hits + 1, n, p) < tail, 0.0, 1.0)
    return Interval(hits / n, low, high)


def _at_least(hits: int, n: int, p: float) -> float:
    """The probability of `hits` or more out of `n` when each has probability p."""
    if not 0.0 < p < 1.0:
        return float(p >= 1.0)
    k = np.arange(hits, n + 1)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k]
    return float(np.exp(np.array(logs) + k * math.log(p) + (n - k) * math.log1p(-p)).sum())


def _crossing(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Where `beyond` turns from False to True between two ends."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2.0
