"""Arrows from before to after training, and orders that changed, against brute force."""

from __future__ import annotations

import math

import pytest

from core.figures.point import Point
from core.figures.recovery import rank_flips, recoveries
from core.figures.theme import LIGHT, method_style
from core.figures.tradeoff import tradeoff
from core.registry.measurement import Measurement
from core.registry.methods import HEALED, METHODS


def point(key: str, x: float, y: float, method: str = "width_activations", parent: str | None = None) -> Point:
    return Point(
        key,
        key,
        method,
        False,
        Measurement(metric="disk_bytes", value=x, unit="B"),
        Measurement(metric="perplexity", value=y, unit=""),
        parent=parent,
    )


POINTS = [
    point("wide", 200e6, 60.0),
    point("deep", 210e6, 40.0, "block_influence"),
    point("wide+", 200e6, 35.0, "distil", "wide"),
    point("deep+", 210e6, 38.0, "distil", "deep"),
]


def test_each_trained_candidate_is_paired_with_what_it_was_made_from() -> None:
    assert [(a.key, b.key) for a, b in recoveries(POINTS)] == [("wide", "wide+"), ("deep", "deep+")]
    assert recoveries([POINTS[2]]) == [], "a parent that is not on the chart gets no arrow"
    assert recoveries([POINTS[0], point("again", 1.0, 1.0, "magnitude", "wide")]) == [], "pruning again is no recovery"


def test_a_flip_names_who_overtook_whom() -> None:
    assert [(a.key, b.key) for a, b in rank_flips(POINTS)] == [("wide+", "deep+")]


def test_the_same_order_or_a_draw_is_no_flip() -> None:
    same = [*POINTS[:2], point("wide+", 200e6, 39.0, "distil", "wide"), POINTS[3]]
    draw = [*POINTS[:2], point("wide+", 200e6, 38.0, "distil", "wide"), POINTS[3]]
    assert rank_flips(same) == rank_flips(draw) == []


@pytest.mark.parametrize("log", [True, False])
def test_arrows_go_from_before_to_after_on_both_kinds_of_axis(log: bool) -> None:
    drawn = tradeoff(POINTS, LIGHT, log_y=log)
    found = [a for a in drawn.layout.annotations if a.showarrow]
    ends = [(a.ax, a.ay, a.x, a.y) for a in found]
    scale = math.log10 if log else float
    assert ends == [
        (200e6, pytest.approx(scale(60)), 200e6, pytest.approx(scale(35))),
        (210e6, pytest.approx(scale(40)), 210e6, pytest.approx(scale(38))),
    ]
    assert [a.text for a in drawn.layout.annotations if a.text == "overtakes"] == ["overtakes"]
    assert "Arrow: training after pruning" in [t.name for t in drawn.data]


def test_no_step_shares_its_shape_with_another_or_with_a_method() -> None:
    usual = (m + HEALED for m in METHODS)
    shapes = [method_style(m).symbol for m in (*usual, "dense", "distil", "finetune", "quantise", "trim")]
    assert len(set(shapes)) == len(shapes)
