"""When no difference may be claimed: one value inside the other's interval is enough, whichever of the two it is."""

from __future__ import annotations

import pytest

from core.analysis.differences import difference
from core.recipe.results import Result
from core.registry.measurement import Measurement

Bounds = tuple[float, float, float]


def of(label: str, perplexity: Bounds, change: Bounds | None = None) -> Result:
    value, low, high = perplexity
    found = [Measurement(metric="perplexity", value=value, low=low, high=high, unit="")]
    if change is not None:
        found.append(Measurement(metric="loss_change", value=change[0], low=change[1], high=change[2], unit="nats"))
    return Result(key=label, label=label, model="sample:x", method="wanda", measurements=found)


WIDE, NARROW, APART, NEAR = (20.0, 18.0, 22.0), (21.0, 20.9, 21.1), (23.0, 22.1, 24.0), (21.9, 21.0, 23.5)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (NARROW, WIDE, True),  # inside the other's interval, which its own does not reach
        (WIDE, NARROW, True),
        (NEAR, WIDE, True),
        (APART, WIDE, False),  # neither value lies inside the other's interval
        (WIDE, APART, False),
        ((23.0, 21.5, 24.5), WIDE, False),  # the intervals overlap, and that is not enough
    ],
)
def test_one_value_inside_the_other_interval_is_no_difference(a: Bounds, b: Bounds, same: bool) -> None:
    found = difference(of("a", a), of("b", b), "perplexity")
    assert found is not None
    assert (found.change == "no difference beyond the error") == same
    assert found.better == (None if same else a[0] < b[0])


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ((0.01, -0.01, 0.03), True),
        ((0.02, 0.01, 0.03), False),
        ((-0.02, -0.03, -0.01), False),
        ((0.02, 0.0, 0.04), True),
    ],
)
def test_a_paired_interval_decides_alone(change: Bounds, same: bool) -> None:
    """The separate intervals say the contrary each time."""
    a, b = (APART, WIDE) if same else (NARROW, WIDE)
    found = difference(of("a", a, change), of("b", b), "perplexity")
    assert found is not None and (found.better is None) == same
