"""Exact tests and intervals against enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.statistics import (
    bootstrap_mean,
    expanded_percentiles,
    expanded_tail,
    mcnemar,
    mcnemar_exact,
    paired_bootstrap,
    sign_test,
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


def test_mcnemar_and_sign_test_count_only_what_differs() -> None:
    assert mcnemar([1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 1, 0]) == mcnemar_exact(3, 1)
    assert sign_test([0.0, 0.0, 1.0, 2.0, -0.5, 3.0, 4.0]) == mcnemar_exact(4, 1)


@pytest.mark.parametrize(
    ("probability", "degrees", "table"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.95, 7, 1.89458), (0.975, 15, 2.13145), (0.995, 30, 2.75000)],
)
def test_student_quantiles_match_the_printed_table(probability: float, degrees: int, table: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(table, abs=2e-5)


@pytest.mark.parametrize(
    ("n", "tail"), [(4, 0.0001190307), (8, 0.0057375205), (16, 0.0138555704), (64, 0.0219975262), (100_000, 0.025)]
)
def test_small_samples_take_percentiles_further_out(n: int, tail: float) -> None:
    """Hesterberg 2015, section 5.3: Phi(-sqrt(n / (n - 1)) t(0.975, n - 1)), from SciPy 1.16's norm and t."""
    assert expanded_tail(n) == pytest.approx(tail, rel=2e-5 if n < 1000 else 1e-3)


def test_the_bounds_are_those_percentiles_of_the_means() -> None:
    low, high = expanded_percentiles(np.arange(10_001) / 10_000, 8)
    assert (low, high) == (pytest.approx(0.0057375205, abs=1e-6), pytest.approx(0.9942624795, abs=1e-6))
    low, high = expanded_percentiles(np.arange(10_001) / 10_000, 8, confidence=0.9)  # Phi(-sqrt(8 / 7) 1.894579)
    assert (low, high) == (pytest.approx(0.0214127, abs=1e-5), pytest.approx(0.9785873, abs=1e-5))


def test_the_interval_of_few_samples_is_about_as_wide_as_students() -> None:
    """Mean 3 and standard deviation 0.61875: 3 -+ 2.364624 * 0.61875 / sqrt(8). Plain percentiles: 2.60 to 3.40."""
    found = bootstrap_mean([2.1, 2.4, 2.6, 2.9, 3.1, 3.4, 3.6, 3.9])
    assert found.value == pytest.approx(3.0)
    assert found.low == pytest.approx(2.4827, abs=0.04) and found.high == pytest.approx(3.5173, abs=0.04)


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        found = bootstrap_mean(generator.gamma(9.0, size=16), resamples=800)
        covered += found.low <= 9.0 <= found.high
    # 95 % of 400 with a standard deviation of 4.4 trials; the skewed distribution costs a little.
    assert 362 <= covered <= 397


def test_the_interval_of_a_mean_of_zeros_and_ones_is_the_binomial_one() -> None:
    samples = [1.0] * 300 + [0.0] * 700
    found = bootstrap_mean(samples)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - half, abs=0.004) and found.high == pytest.approx(0.3 + half, abs=0.004)


def test_pairing_sees_a_small_difference_that_separate_intervals_hide() -> None:
    generator = np.random.default_rng(5)
    base = generator.normal(3.0, 0.5, size=32)
    other = base + generator.normal(0.02, 0.01, size=32)
    change = paired_bootstrap(other, base)
    assert change.low > 0 and change.value == pytest.approx(float((other - base).mean()))
    assert bootstrap_mean(other).low < bootstrap_mean(base).high
