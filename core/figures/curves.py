"""Live curves of a training run: each term of the loss, what is held out, gradient shares, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.figures.theme import Theme, figure, safe
from core.registry.formatting import significant
from core.registry.losses import LOSSES
from core.store.rows import SeriesPoint

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")

Curves = Mapping[str, Sequence[SeriesPoint]]


def term_label(name: str) -> str:
    """A series' last part as a person reads it: 'total' is the weighted sum, the rest are losses by id."""
    term = name.partition("/")[2] or name
    if term == "total":
        return "Weighted sum"
    base, _, number = term.partition(" ")  # a loss used twice is numbered
    known = LOSSES.get(base)
    return (known.label if known else base) + (f" {number}" if number else "")


@dataclass(frozen=True)
class Level:
    """A value that a series is compared with: a horizontal line in its colour, with a word at its end."""

    of: str
    """The name of the series."""
    label: str
    value: float


def curves(
    series: Curves, ground: Theme, *, share: bool = False, height: int = 320, levels: Sequence[Level] = ()
) -> go.Figure:
    """One line a series, told apart by dash and marker as well as by colour.

    Args:
        series: name to points, in the order of the legend.
        share: the values are shares of 1, shown as percentages.
        levels: of series that are drawn.
    """
    out = figure(ground, height)
    for i, (name, points) in enumerate(series.items()):
        color = ground.color(i + 1)
        few = len(points) <= 30
        out.add_scatter(
            x=[p.step for p in points],
            y=[p.value for p in points],
            name=safe(term_label(name)),
            mode="lines+markers" if few else "lines",
            line={"color": color, "width": 2, "dash": _DASHES[i % len(_DASHES)]},
            marker={"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 8, "color": color},
            hovertemplate="step %{x}<br>%{y:.4g}<extra>%{fullData.name}</extra>",
        )
    last = max((p.step for points in series.values() for p in points), default=0)
    for level in levels:
        place = list(series).index(level.of)
        out.add_scatter(
            x=[0, max(last, 1)],
            y=[level.value, level.value],
            mode="lines+text",
            line={"color": ground.color(place + 1), "width": 1.5, "dash": "dot"},
            text=["", level.label],
            textposition="top left",
            textfont={"color": ground.ink, "size": 12},
            hovertemplate=f"{level.label}, {safe(term_label(level.of))}: %{{y:.4g}}<extra></extra>",
            showlegend=False,
        )
    out.update_xaxes(title_text="Step", rangemode="tozero")
    if share:
        out.update_yaxes(tickformat=".0%", range=[0, 1.05])
    else:
        out.update_yaxes(exponentformat="power")
    out.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        showlegend=len(series) > 1,
        uirevision="curves",
    )
    return out


def alt(series: Curves, title: str, levels: Sequence[Level] = ()) -> str:
    """The chart as a sentence."""
    parts = [
        f"{term_label(name)} from {significant(points[0].value, 4)} to {significant(points[-1].value, 4)}"
        for name, points in series.items()
        if points
    ]
    parts += [f"{v.label}, {term_label(v.of)}: {significant(v.value, 4)}" for v in levels]
    return f"{title} by step: {'; '.join(parts)}." if parts else f"{title} by step: no point yet."
