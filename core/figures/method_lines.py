"""Quality against what is removed: a line for each pruning method, with the band of its intervals."""

from __future__ import annotations

from collections.abc import Sequence

from core.figures.point import Point
from core.figures.theme import MethodStyle, Theme, method_style
from core.figures.traces import Trace
from core.registry.methods import method
from core.registry.metrics import metric


def method_lines(points: Sequence[Point], ground: Theme) -> list[Trace]:
    """For each pruning method a line through the best of each amount, and the band of its intervals."""
    found: list[Trace] = []
    by_method: dict[str, dict[float, Point]] = {}
    for p in sorted((p for p in points if not p.baseline and method(p.method) is not None), key=lambda p: p.x.value):
        best = by_method.setdefault(p.method, {})
        lower = metric(p.y.metric).better == "lower"
        amount = round(p.x.value, 1)
        if amount not in best or (p.y.value < best[amount].y.value) == lower:
            best[amount] = p
    for method_id, best in by_method.items():
        if len(best) > 1:
            found += _line(list(best.values()), method_style(method_id), ground)
    return found


def _line(points: Sequence[Point], style: MethodStyle, ground: Theme) -> list[Trace]:
    color = ground.color(style.color)
    common: Trace = {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": points[0].method,
        "showlegend": False,
        "hoverinfo": "skip",
        "zorder": -1,
    }
    x = [p.x.value for p in points]
    ends = [(p.lowest, p.highest) for p in points]
    band = {"x": [*x, *reversed(x)], "y": [*(low for low, _ in ends), *(high for _, high in reversed(ends))]}
    return [
        {**common, **band, "fill": "toself", "fillcolor": color, "opacity": 0.14, "line": {"width": 0}},
        {**common, "x": x, "y": [p.drawn_y for p in points], "line": {"color": color, "width": 2}},
    ]
