"""How a search for layers or shapes went: the best found so far over what was judged."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.figures.theme import Theme, figure, safe
from core.registry.formatting import significant

PREFIX = "search/"
"""Begins the names of live series that such searches report; the rest says which search."""
_LINE, _WIDTH = 20, 36
"""Pixels of a line of the legend, and characters in it."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")

Searches = Mapping[str, Sequence[tuple[float, float]]]
"""By the name of a search: judgements so far, and KL divergence of the best from the dense model in nats."""


def searches(found: Searches, ground: Theme, height: int = 260) -> go.Figure:
    """A falling line of steps for each search, told apart by dash and marker as well as by colour."""
    out = figure(ground, height + _LINE * sum(len(_lines(name)) for name in found))
    for i, (name, points) in enumerate(found.items()):
        color = ground.color(i + 1)
        out.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            name="<br>".join(_lines(name)),
            mode="lines+markers",
            line={"color": color, "width": 2, "dash": _DASHES[i % len(_DASHES)], "shape": "hv"},
            marker={"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 8, "color": color},
            hovertemplate="after %{x} judged<br>KL %{y:.4g} nats<extra>%{fullData.name}</extra>",
        )
    out.update_xaxes(title_text="Candidates judged", rangemode="tozero")
    out.update_yaxes(title_text="KL of the best, nats", rangemode="tozero")
    out.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        showlegend=len(found) > 1,
        uirevision="searches",
    )
    return out


def _lines(name: str) -> list[str]:
    """A name as lines that fit a telephone."""
    return [safe(line) for line in textwrap.wrap(name, _WIDTH)] or [""]


def alt(found: Searches) -> str:
    """The chart as a sentence."""
    said = [
        f"{name}: KL from the dense model from {significant(points[0][1], 3)} to {significant(points[-1][1], 3)} nats "
        f"after {points[-1][0]:,.0f} judged"
        for name, points in found.items()
        if points
    ]
    return f"The best found so far, by search. {'; '.join(said)}." if said else "The search has found nothing yet."
