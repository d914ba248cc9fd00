"""What callers may rely on: too few samples, edge cases, refusals."""

from __future__ import annotations

import math

import pytest

from core.analysis.proportions import clopper_pearson, grouped_share, wilson
from core.analysis.statistics import mcnemar, mean_interval, paired_interval, ratio_interval


@pytest.mark.parametrize("samples", [[2.5], [2.0, 3.0], [2.0, 3.0, 2.5]])
def test_below_four_samples_there_is_no_interval(samples: list[float]) -> None:
    found = mean_interval(samples)
    assert found.value == 2.5 and math.isnan(found.low) and math.isnan(found.high)
    assert not found.known and found.bounds == (None, None) and not found.includes_zero


def test_equal_samples_have_a_certain_interval() -> None:
    assert tuple(mean_interval([2.5] * 4)) == (2.5, 2.5, 2.5)


def test_a_ratio_over_what_may_be_zero_has_no_interval() -> None:
    found = ratio_interval([1.0, 2.0, 1.5, 1.8], [1.0, -1.1, 0.9, 0.2])
    assert found.value == pytest.approx(6.3 / 1.0) and not found.known
    assert not ratio_interval([1.0, 2.0, 1.5], [2.0, 2.1, 1.9]).known, "three windows are too few"


def test_groups_that_are_all_alike_count_their_answers_and_few_groups_nothing() -> None:
    assert grouped_share([10, 10, 10, 10], [10, 10, 10, 10]) == wilson(1.0, 40)
    assert not grouped_share([9, 8, 10], [10, 10, 10]).known


def test_what_cannot_be_paired_or_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot pair 3"):
        paired_interval([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="cannot pair 2"):
        mcnemar([1, 0], [1])
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
    for interval in (lambda: wilson(0.5, 0), lambda: clopper_pearson(0, 0)):
        with pytest.raises(ValueError, match="share of nothing"):
            interval()
