"""The share of a lost loss that training gave back, against arithmetic by hand and an independent resampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from core.analysis.regained import more_would_help, regained
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.store.rows import SeriesPoint

BEFORE = [4.0, 5.0, 6.0, 4.5, 5.5, 4.2, 5.8, 5.0]
AFTER = [3.2, 4.1, 4.7, 3.6, 4.4, 3.3, 4.6, 4.1]
TEACHER = [3.0, 3.5, 4.4, 3.1, 4.0, 2.9, 4.2, 3.7]


def result(samples: list[float] | None, value: float | None = None, metric: str = "loss", **settings: Any) -> Result:
    value = sum(samples) / len(samples) if value is None and samples else value
    assert value is not None
    found = Measurement(metric=metric, value=value, unit="nats", samples=samples, settings={"window": 64} | settings)
    return Result(key="k", label="L", model="sample:m", method="distil", measurements=[found])


def test_the_share_and_its_interval() -> None:
    """By hand: lost 40 - 28.8 = 11.2, regained 40 - 32 = 8 (sums over the same 8 windows)."""
    found = regained(result(AFTER), result(BEFORE), result(TEACHER))
    assert found is not None and found.share is not None and found.why == ""
    assert found.share.value == pytest.approx(8.0 / 11.2) and found.gain == pytest.approx(1.0)
    draws = np.random.default_rng(9).integers(0, 8, (20_000, 8))
    b, a, t = (np.asarray(x)[draws].mean(axis=1) for x in (BEFORE, AFTER, TEACHER))
    low, high = np.quantile((b - a) / (b - t), [0.025, 0.975])
    assert found.share.low < found.share.value < found.share.high
    assert found.share.low == pytest.approx(low, abs=0.03) and found.share.high == pytest.approx(high, abs=0.03)
    assert found.share.low <= low and found.share.high >= high, "wider than plain percentiles, for few windows"


def test_accuracy_counts_the_other_way() -> None:
    found = regained(*(result(None, v, "accuracy") for v in (75.0, 60.0, 80.0)))
    assert found is not None and found.share is not None
    assert found.share.value == pytest.approx(0.75) and found.gain == pytest.approx(15.0)
    assert math.isnan(found.share.low) and "no interval" in found.why


@pytest.mark.parametrize(
    ("before", "teacher", "says"),
    [
        (None, result(TEACHER), "The undistilled student was not measured on the same text"),
        (result(BEFORE), result(TEACHER, window=128), "The teacher was not measured on the same text"),
        (None, None, "The undistilled student and the teacher were not measured"),
        (result(TEACHER), result(BEFORE), "no worse than its teacher"),
    ],
)
def test_without_a_share_it_says_why(before: Result | None, teacher: Result | None, says: str) -> None:
    found = regained(result(AFTER), before, teacher)
    assert found is not None and found.share is None and says in found.why


def test_more_than_all_is_said() -> None:
    found = regained(result([x - 0.5 for x in TEACHER]), result(BEFORE), result(TEACHER))
    assert found is not None and found.share is not None and found.share.low > 1
    assert found.why == "More than all: on this text the student now does better than its teacher."


def test_a_loss_within_its_error_has_no_interval() -> None:
    shifted = [x + (0.4 if i % 2 else -0.39) for i, x in enumerate(BEFORE)]
    found = regained(result(AFTER), result(shifted), result(BEFORE))
    assert found is not None and found.share is not None and math.isnan(found.share.low)
    assert "within its own error" in found.why


def checks(*values: float) -> list[SeriesPoint]:
    return [SeriesPoint(10 * i, v, v, v) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "helps", "says"),
    [
        ((4.0, 3.0, 2.5), None, "it takes 4 checks on held-out text to tell, and there were 3"),
        ((4.0, 3.0, 2.5, 2.0), True, "the last quarter of the checks gave 25 % of the whole gain"),
        ((4.0, 3.0, 2.05, 2.0), False, "gave 2 % of the whole gain on held-out text; the best was at step 30 of 30"),
        ((4.0, 2.0, 2.5, 2.4), False, "gave 0 % of the whole gain on held-out text; the best was at step 10 of 30"),
        ((4.0, 4.5, 5.0, 6.0), False, "never fell below where it began"),
        ((8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0), True, "gave 29 % of the whole gain"),
    ],
)
def test_whether_more_training_would_help(values: tuple[float, ...], helps: bool | None, says: str) -> None:
    found = more_would_help(checks(*values))
    assert found[0] is helps and says in found[1]
