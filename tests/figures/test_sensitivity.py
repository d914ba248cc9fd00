"""The map, the curve and the bars against the numbers they are drawn from, on both grounds."""

from __future__ import annotations

import math

import pytest

from core.analysis.sensitivity import Change
from core.figures import sensitivity as figures
from core.figures.theme import DARK, LIGHT, Theme

CELLS = [
    Change(
        layer=i,
        part=p,
        sparsity=s,
        change=(i + 1) * s * (1.0 if p is None else -0.1),
        samples=[0.1, 0.2, 0.4],
        parameters=7,
    )
    for i in range(3)
    for p in (None, "mlp.down_proj")
    for s in (0.3, 0.6)
]


def luminance(color: str) -> float:
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_the_map_holds_every_cell(ground: Theme) -> None:
    fig = figures.heatmap(CELLS, 0.6, ground, (1, None))
    z = fig.data[0].z
    assert [list(row) for row in z] == [[pytest.approx(math.sqrt((i + 1) * 0.6)), 0.0] for i in range(3)]
    assert list(fig.data[0].text[2]) == ["1.8", "-0.180"] and list(fig.data[0].text[0])[0] == ".600"
    assert [tuple(c) for c in fig.data[1].customdata][:2] == [(0, ""), (0, "mlp.down_proj")]
    assert len(fig.layout.shapes) == 1 and fig.layout.shapes[0].y0 == 0.5
    assert list(fig.layout.xaxis.ticktext) == ["Whole layer", "down"]
    scale = [luminance(c) for _, c in fig.data[0].colorscale]
    assert scale == sorted(scale, reverse=ground is LIGHT), "its order is seen without colour"


def test_hostile_names_stay_text() -> None:
    cells = [Change(layer=0, part="a.<b>x</b>", sparsity=0.5, change=1.0, samples=[1.0], parameters=1)]
    fig = figures.heatmap(cells, 0.5, LIGHT, (9, None))
    assert "<b>" not in fig.layout.xaxis.ticktext[0] and "<b>" not in fig.data[1].text[0]
    assert len(fig.layout.shapes) == 0


def test_a_curve_has_its_points_interval_and_the_median() -> None:
    fig = figures.curve(CELLS, 2, None, LIGHT)
    median, mine = fig.data
    assert list(mine.x) == [30, 60] and list(mine.y) == pytest.approx([0.9, 1.8])
    assert list(median.y) == pytest.approx([0.6, 1.2])
    assert all(v >= 0 for v in (*mine.error_y.array, *mine.error_y.arrayminus))


def test_bars_and_words() -> None:
    removed = [
        Change(layer=i, part=None, sparsity=1.0, change=v, samples=[v], parameters=1)
        for i, v in enumerate((0.5, 0.1, 0.9))
    ]
    removed.append(removed[0].model_copy(update={"part": "head 0", "change": -5.0}))
    fig = figures.removed(removed, LIGHT, [1])
    assert list(fig.data[0].y) == [0.5, 0.1, 0.9] and list(fig.data[0].marker.pattern.shape) == ["", "/", ""]
    assert figures.alt_removed(removed).endswith(
        "Least: 1 (+0.1 nats), 0 (+0.5 nats), 2 (+0.9 nats). Most: 2 (+0.9 nats)."
    )
    assert "Layer 2 is the most sensitive (+1.8 nats), layer 0 the least (+0.6 nats)" in figures.alt(CELLS, 0.6)
    assert "nothing measured" in figures.alt([], 0.5)
