"""The trade-off chart: shapes say method, ties and estimates; nothing is clipped silently; text cannot inject."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.validator_cache import ValidatorCache

from core.analysis.limits import Aside, within_limits
from core.figures.limits import draw_limits
from core.figures.point import Point
from core.figures.theme import DARK, LIGHT, OKABE_ITO, Theme, method_style, safe
from core.figures.tradeoff import alt, clipped, crowded, tradeoff
from core.registry.measurement import Measurement
from core.registry.methods import HEALED, METHODS


def measured(metric: str, value: float, spread: float = 0.0, obtained: str = "measured") -> Measurement:
    low, high = (value - spread, value + spread) if spread else (None, None)
    return Measurement.model_validate(
        {"metric": metric, "value": value, "unit": "", "low": low, "high": high, "obtained": obtained}
    )


def point(key: str, x: float, y: float, method: str = "wanda", **flags: bool) -> Point:
    obtained = "estimated" if flags.pop("estimate", False) else "measured"
    return Point(
        key,
        f"{method} {key}",
        method,
        flags.pop("baseline", False),
        measured("disk_bytes", x),
        measured("perplexity", y, 0.1 * y, obtained),
        **flags,
    )


def marks(fig: go.Figure, key: str) -> tuple[go.Scatter, int]:
    """The trace that draws a candidate, and the position in it."""
    for trace in fig.data:
        if trace.name != "Selected" and trace.customdata is not None and key in list(trace.customdata):
            return trace, list(trace.customdata).index(key)
    raise AssertionError(f"{key} is not drawn")


def symbol(fig: go.Figure, key: str) -> str:
    trace, i = marks(fig, key)
    return str(trace.marker.symbol if isinstance(trace.marker.symbol, str) else trace.marker.symbol[i])


STUDY = [
    point("d", 100.0, 20.0, "dense", baseline=True, front=True),
    point("a", 90.0, 25.0, "block_influence", front=True),
    point("b", 80.0, 40.0, "block_influence", front=True),
    point("t", 100.0, 21.0, "wanda", tied=True),
    point("e", 100.0, 30.0, "magnitude", estimate=True),
]


def test_every_candidate_is_drawn_once_at_its_place() -> None:
    fig = tradeoff(STUDY, LIGHT)
    for p in STUDY:
        trace, i = marks(fig, p.key)
        assert (trace.x[i], trace.y[i]) == (p.x.value, p.y.value)
    keys = [k for t in fig.data if t.customdata is not None for k in t.customdata]
    assert sorted(keys) == sorted(p.key for p in STUDY)


def test_shapes_tell_baseline_method_tie_and_estimate() -> None:
    fig = tradeoff(STUDY, LIGHT)
    assert symbol(fig, "d") == "star"
    assert symbol(fig, "a") == method_style("block_influence").symbol
    assert symbol(fig, "t") == METHODS["wanda"].symbol + "-open"
    assert symbol(fig, "e") == METHODS["magnitude"].symbol + "-dot"
    names = {t.name for t in fig.data}
    assert {"Dense baseline", "Pareto front", "Hollow: within the error of the front", "Dot inside: estimated"} <= names


def test_the_legend_explains_only_what_is_there() -> None:
    names = {t.name for t in tradeoff(STUDY[:3], LIGHT).data}
    assert not names & {"Hollow: within the error of the front", "Dot inside: estimated"}


def test_the_front_is_a_staircase_in_order_of_cost() -> None:
    line = next(t for t in tradeoff(STUDY, LIGHT).data if t.name == "Pareto front")
    assert list(zip(line.x, line.y, strict=True)) == [(80.0, 40.0), (90.0, 25.0), (100.0, 20.0)]
    assert line.line.shape == "hv"


def test_error_bars_are_the_interval() -> None:
    trace, i = marks(tradeoff(STUDY, LIGHT), "a")
    assert trace.error_y.array[i] == pytest.approx(2.5)
    assert trace.error_y.arrayminus[i] == pytest.approx(2.5)
    assert not trace.error_x.visible, "size on disk is exact"


def test_points_out_of_view_are_counted() -> None:
    points = [*STUDY, point("inf", 70.0, math.inf), point("nan", 70.0, math.nan)]
    assert [p.key for p in clipped(points, None)] == ["inf", "nan"]
    assert [p.key for p in clipped(points, 35.0)] == ["b", "inf", "nan"]
    fig = tradeoff(points, LIGHT, y_limit=35.0)
    drawn = {k for t in fig.data if t.customdata is not None for k in t.customdata}
    assert drawn == {"d", "a", "t", "e"}
    assert "3 not drawn" in alt(points, 35.0)


@pytest.mark.parametrize("log", [False, True])
def test_the_axes_hold_every_point_and_its_error(log: bool) -> None:
    fig = tradeoff(STUDY, LIGHT, log_y=log)
    low, high = fig.layout.yaxis.range
    ends = [e for p in STUDY for e in (p.y.low, p.y.high)]
    for end in ends:
        assert low <= (math.log10(end) if log else end) <= high
    if log:
        ticks = list(fig.layout.yaxis.tickvals)
        assert len(ticks) >= 3 and all(low <= math.log10(t) <= high for t in ticks)


def test_a_narrow_logarithmic_axis_still_has_ticks() -> None:
    fig = tradeoff([point("d", 100.0, 388.0, "dense", baseline=True), point("a", 90.0, 386.0)], LIGHT, log_y=True)
    assert len(fig.layout.yaxis.tickvals) >= 3


def test_noise_does_not_fill_the_chart() -> None:
    fig = tradeoff([point("d", 100.0, 20.0, "dense", baseline=True), point("a", 100.1, 21.0)], LIGHT)
    low, high = fig.layout.xaxis.range
    assert high - low >= 10.0, "a difference of a thousandth must not look like one"


def test_chosen_points_are_ringed_with_their_letter() -> None:
    rings = next(t for t in tradeoff(STUDY, DARK, picked={"b": "B", "t": "A"}).data if t.name == "Selected")
    assert dict(zip(rings.customdata, rings.text, strict=True)) == {"b": "B", "t": "A"}


def test_thousands_of_points_keep_every_candidate() -> None:
    many = [point(f"p{i}", 100.0 - i % 50, 20.0 + i, "wanda") for i in range(3_000)]
    fig = tradeoff([STUDY[0], *many], LIGHT)
    drawn = [k for t in fig.data if t.customdata is not None for k in t.customdata]
    assert len(drawn) == len(set(drawn)) == 3_001
    assert any(isinstance(t, go.Scattergl) for t in fig.data)


def test_no_point_no_failure() -> None:
    assert len(tradeoff([], LIGHT).data) == 0
    assert len(tradeoff([point("nan", math.nan, 1.0)], LIGHT).data) == 0


def test_labels_cannot_inject_markup() -> None:
    label = "<a href='http://x'>y</a>\u202e"
    bad = Point("k", label, "<b>", False, measured("disk_bytes", 1), measured("perplexity", 2))
    text = str(tradeoff([bad], LIGHT).to_plotly_json())
    assert "<a href" not in text and "&lt;a href" in text and "\u202e" not in text
    assert safe("x" * 500).endswith("\u2026")


def test_every_method_has_a_shape_of_its_own_with_hollow_and_dotted_forms() -> None:
    valid = set(ValidatorCache.get_validator("scatter.marker", "symbol").values)
    symbols = [m.symbol for m in METHODS.values()]
    for base in symbols:
        assert {base, f"{base}-open", f"{base}-dot", f"{base}-open-dot"} <= valid, base
    assert len(set(symbols)) == len(symbols), "one shape a method"
    assert "star" not in symbols, "the star is the baseline's"
    for name, found in METHODS.items():
        assert method_style(name + HEALED).symbol == found.symbol
    assert method_style("wanda").symbol == "square"


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """WCAG 2.2, contrast ratio."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_contrast_meets_wcag_aa(ground: Theme) -> None:
    assert contrast(ground.ink, ground.ground) >= 7
    assert contrast(ground.muted, ground.ground) >= 4.5
    for index in range(len(OKABE_ITO)):
        best = max(contrast(ground.color(index), ground.ground), contrast(ground.edge(index), ground.ground))
        assert best >= 3, f"colour {index} on {ground.name}"


def test_a_method_of_a_newer_version_is_still_drawn() -> None:
    style = method_style("from-the-future")
    assert style.label == "from-the-future"
    assert symbol(tradeoff([point("n", 1.0, 2.0, "from-the-future")], LIGHT), "n") == style.symbol


def test_of_many_points_only_the_front_has_error_bars_and_every_other_trace_one_shape() -> None:
    many = [point(f"p{i}", 100.0 - i % 50, 20.0 + i, ("wanda", "magnitude")[i % 2], tied=i < 7) for i in range(1_000)]
    front = [point("f1", 95.0, 19.0, "wanda", front=True), point("f2", 60.0, 30.0, "magnitude", front=True)]
    fig = tradeoff([STUDY[0], *many, *front], LIGHT)
    assert crowded([STUDY[0], *many]) and not crowded(STUDY)
    for trace in fig.data:
        if isinstance(trace, go.Scattergl):
            assert isinstance(trace.marker.symbol, str) and trace.error_y.array is None
            assert isinstance(trace.x, np.ndarray) and isinstance(trace.y, np.ndarray)
    for p in [*many[:10], *front]:
        trace, i = marks(fig, p.key)
        assert (trace.x[i], trace.y[i]) == (p.x.value, p.y.value) and symbol(fig, p.key).endswith("-open") == p.tied
    trace, i = marks(fig, "f1")
    assert trace.error_y.array[i] == pytest.approx(1.9)


def test_what_an_undrawn_limit_rules_out_is_struck_through_and_the_rest_is_not() -> None:
    fig = tradeoff(STUDY, LIGHT)
    found = within_limits(STUDY, None, 35.0, [Aside("decode_ms", 10.0, {"d": 20.0, "a": 5.0, "t": 9.0, "e": 10.5})])
    draw_limits(fig, STUDY, None, 35.0, found.aside, "t", LIGHT)
    struck = next(t for t in fig.data if t.name.startswith("Struck through"))
    assert set(struck.customdata) == {"d", "e"}, "'b' is beyond the limit that is drawn"
    assert next(t for t in fig.data if t.name == "Recommended: the smallest within the limit").customdata[0] == "t"
    assert [s.type for s in fig.layout.shapes] == ["line", "line", "rect", "line"]


def test_worse_is_downwards_where_higher_is_better() -> None:
    def at(key: str, value: float) -> Point:
        return Point(key, key, "wanda", False, measured("disk_bytes", 1.0), measured("accuracy", value))

    assert [p.key for p in clipped([at("good", 0.9), at("bad", 0.1)], 0.2)] == ["bad"]


def test_every_baseline_of_several_studies_is_a_star() -> None:
    fig = tradeoff([*STUDY, point("d2", 101.0, 20.1, "dense", baseline=True)], LIGHT)
    stars = next(t for t in fig.data if t.name == "Dense baselines")
    assert list(stars.customdata) == ["d", "d2"]


def test_healed_and_not_healed_candidates_are_told_apart() -> None:
    """Two legend lines, two shapes, and the words say which is which."""
    plain, healed = point("p", 90.0, 25.0, "block_influence"), point("h", 90.0, 22.0, "block_influence+healed")
    fig = tradeoff([STUDY[0], plain, healed], LIGHT)
    assert symbol(fig, "p") != symbol(fig, "h")
    named = [t.name for t in fig.data if t.showlegend is not False]
    assert {"Layer removal (block influence)", "Layer removal (block influence), healed"} <= set(named)
    cut = {method_style(m.id).symbol for m in METHODS.values() if m.family in ("depth", "width")}
    assert len(cut) > 1 and not cut & {"star", "triangle-se", *(m.symbol for m in METHODS.values())}
