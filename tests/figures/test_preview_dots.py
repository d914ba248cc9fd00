"""Previews on the curves of a study: places by hand, the last one whole, axes wide enough."""

from __future__ import annotations

import math

import pytest

from core.figures.point import Point
from core.figures.preview_dots import Dot, with_dots
from core.figures.theme import DARK, LIGHT
from core.figures.tradeoff import tradeoff
from core.registry.measurement import Measurement


def point(key: str, removed: float, change: float, method: str = "wanda") -> Point:
    x = Measurement(metric="removed", value=removed, unit="%")
    y = Measurement(metric="loss_change", value=change, unit="nats", low=change - 0.01, high=change + 0.01)
    return Point(key, key, method, method == "dense", x, y)


STUDY = [point("d", 0.0, 0.0, "dense"), point("a", 20.0, 0.05), point("b", 50.0, 0.4)]
NONE, HALF, FAR = (
    Dot("Wanda 0 %", 0.0, 0.0, -0.01, 0.01),
    Dot("Wanda 50 %", 50.0, 0.45, 0.3, 0.6),
    Dot("Wanda 90 %", 90.0, 7.5, 7.0, 8.0),
)


def by_name(figure: object) -> dict[str, object]:
    return {t.name: t for t in figure.data}  # type: ignore[attr-defined]


def test_the_last_preview_is_whole_and_the_trail_behind_it_pale() -> None:
    drawn = by_name(with_dots(tradeoff(STUDY, LIGHT, log_y=True).to_dict(), [NONE, FAR, HALF], LIGHT, 300))
    now, trail = drawn["Preview: where the slider stands"], drawn["Earlier previews"]
    assert (list(now.x), list(now.y)) == ([50.0], [0.45])  # type: ignore[attr-defined]
    assert list(trail.x) == [0.0, 90.0, 50.0] and trail.opacity < 0.5  # type: ignore[attr-defined]
    assert "Preview, not a measurement" in now.hovertext[0] and "+0.300 to +0.600" in now.hovertext[0]  # type: ignore[attr-defined]


def test_no_change_stands_at_the_lower_end_of_a_logarithmic_axis_and_far_ones_widen_it() -> None:
    base = tradeoff(STUDY, LIGHT, log_y=True)
    figure = with_dots(base.to_dict(), [NONE, FAR], LIGHT, 300)
    floor = base.layout.yaxis.tickvals[0]
    assert base.layout.yaxis.ticktext[0] == "0" and floor == pytest.approx(0.025), "half of the smallest change"
    assert list(by_name(figure)["Earlier previews"].y) == [floor, 7.5]  # type: ignore[attr-defined]
    assert figure.layout.yaxis.range[1] > math.log10(7.5) and figure.layout.xaxis.range[1] > 90.0
    assert base.layout.xaxis.range[1] < 60.0, "the study's own chart is left as it was"


def test_without_a_study_there_are_the_dots_and_their_axes() -> None:
    figure = with_dots(None, [HALF], DARK, 300)
    assert [t.name for t in figure.data] == ["Preview: where the slider stands"]
    assert figure.layout.xaxis.title.text.startswith("Sparsity, or share removed, %")
    assert figure.layout.yaxis.title.text == "Loss change, nats (lower is better)"
