"""Exact tests and intervals against enumeration, printed tables and published examples."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.proportions import clopper_pearson, grouped_share, paired_share, tango, wilson
from core.analysis.statistics import (
    mcnemar,
    mcnemar_exact,
    mean_interval,
    paired_interval,
    ratio_interval,
    student_quantile,
)


@settings(deadline=None)
@given(st.integers(0, 7), st.integers(0, 7))
def test_mcnemar_equals_the_enumeration_of_all_coin_tosses(a: int, b: int) -> None:
    n = a + b
    extreme = abs(a - n / 2)
    as_extreme = sum(abs(sum(tosses) - n / 2) >= extreme for tosses in itertools.product((0, 1), repeat=n)) if n else 1
    assert mcnemar_exact(a, b) == pytest.approx(float(Fraction(as_extreme, 2**n)), rel=1e-12)


def test_large_counts_stay_exact() -> None:
    tail = sum(math.comb(6200, k) for k in range(3001))
    assert mcnemar_exact(3000, 3200) == pytest.approx(float(Fraction(2 * tail, 2**6200)), rel=1e-12)
    assert mcnemar_exact(0, 2000) == pytest.approx(0.0, abs=1e-300)


def test_mcnemar_counts_only_what_differs() -> None:
    assert mcnemar([1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 1, 0]) == mcnemar_exact(3, 1)


@pytest.mark.parametrize(
    ("probability", "degrees", "table"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.95, 7, 1.89458), (0.975, 15, 2.13145), (0.995, 30, 2.75000)],
)
def test_student_quantiles_match_the_printed_table(probability: float, degrees: int, table: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(table, abs=2e-5)


@pytest.mark.parametrize(
    ("samples", "half"),
    [
        ([1.0, 2.0, 3.0, 6.0], 3.18245 * 2.160247 / 2.0),  # t(0.975, 3) from the table
        ([2.1, 2.4, 2.6, 2.9, 3.1, 3.4, 3.6, 3.9], 2.364624 * 0.6187545 / math.sqrt(8)),
    ],
)
def test_the_interval_of_a_mean_is_students(samples: list[float], half: float) -> None:
    found = mean_interval(samples)
    assert found.value == pytest.approx(3.0)
    assert (found.low, found.high) == (pytest.approx(3.0 - half, rel=1e-5), pytest.approx(3.0 + half, rel=1e-5))


def test_pairing_sees_a_small_difference_that_separate_intervals_hide() -> None:
    generator = np.random.default_rng(5)
    base = generator.normal(3.0, 0.5, size=32)
    other = base + generator.normal(0.02, 0.01, size=32)
    change = paired_interval(other, base)
    assert change.low > 0 and change.value == pytest.approx(float((other - base).mean()))
    assert mean_interval(other).low < mean_interval(base).high


def test_fiellers_bounds_are_the_ratios_that_students_test_just_accepts() -> None:
    above, below = np.array([0.8, 0.9, 1.3, 0.9, 1.1]), np.array([1.0, 1.5, 1.6, 1.4, 1.5])
    found = ratio_interval(above, below)
    assert found.value == pytest.approx(5.0 / 7.0)
    for bound in (found.low, found.high):
        rest = above - bound * below
        assert abs(rest.mean()) / (rest.std(ddof=1) / math.sqrt(5)) == pytest.approx(2.776445, rel=1e-5)  # t(0.975, 4)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(hits: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    found = wilson(hits / n, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    mirrored = wilson(1 - hits / n, n)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - high, abs=5e-5), pytest.approx(1 - low, abs=5e-5))


def test_all_right_is_not_shown_as_certain() -> None:
    assert tuple(wilson(1.0, 20)) == (1.0, pytest.approx(0.8389, abs=5e-5), 1.0)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(5, 5, 0.478176, 1.0), (9, 12, 0.428142, 0.945139), (0, 7, 0.0, 0.409616), (300, 1000, 0.271721, 0.329462)],
)
def test_exact_shares_have_the_bounds_of_the_beta_distribution(hits: int, n: int, low: float, high: float) -> None:
    """Quantiles of SciPy 1.17's beta: (0.025; hits, n - hits + 1) and (0.975; hits + 1, n - hits)."""
    found = clopper_pearson(hits, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_votes_hold_the_half_just_where_the_sign_test_claims_nothing() -> None:
    for n in range(1, 24):
        for hits in range(n + 1):
            found = clopper_pearson(hits, n)
            assert (found.low <= 0.5 <= found.high) == (mcnemar_exact(hits, n - hits) >= 0.05)


def test_tango_gives_the_published_interval() -> None:
    """Fagerland, Lydersen and Laake 2014, "Recommended tests and confidence intervals for paired binomial proportions":
    21 children, 1 with the first result alone and 7 with the second alone: -0.286 (-0.517 to -0.026)."""
    low, high = tango(1, 7, 21)
    assert (low, high) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))
    assert tango(7, 1, 21) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


def test_tangos_bounds_are_where_the_score_of_the_likeliest_shares_reaches_the_limit() -> None:
    """The likeliest shares by search, not by the formula: of all with this difference, those that explain it best."""
    only_a, only_b, n = 9, 2, 40
    for bound in tango(only_a, only_b, n):
        second = np.linspace(max(0.0, -bound), (1.0 - bound) / 2.0, 400_001)[1:-1]  # the share right in b alone
        first = second + bound
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = only_a * np.log(first) + only_b * np.log(second) + (n - only_a - only_b) * np.log1p(-first - second)
        best = int(np.nanargmax(fit))
        spread = math.sqrt((first[best] + second[best] - bound**2) * n)
        assert abs(only_a - only_b - n * bound) / spread == pytest.approx(1.959964, rel=1e-4)


def test_a_paired_share_reaches_zero_wherever_mcnemar_claims_nothing() -> None:
    for a, b in itertools.product(range(13), repeat=2):
        found = paired_share(a, b, 40)
        assert found.value == pytest.approx((a - b) / 40) and found.low <= found.value <= found.high
        assert found.includes_zero == (mcnemar_exact(a, b) >= 0.05)


def test_answers_that_come_in_groups_count_for_fewer() -> None:
    """By hand: shares 0.2, 0.4, 0.6, 0.8 of ten each; variance 0.0667 / 4, design effect 2.667, t(0.975, 3) 3.18245."""
    found = grouped_share([2, 4, 6, 8], [10] * 4)
    answers = 0.25 / (0.2 / 3 / 4) * (1.959964 / 3.182446) ** 2
    assert answers == pytest.approx(5.6895, rel=1e-4)
    assert (found.low, found.high) == (
        pytest.approx(wilson(0.5, answers).low, abs=1e-6),
        pytest.approx(wilson(0.5, answers).high, abs=1e-6),
    )
