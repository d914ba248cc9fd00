"""A run among what it was built on and what was built on it: a graph at the left, one name per row at its right."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from core.analysis.lineage import Lineage, LineageMember
from core.figures.theme import Theme, figure, safe

_ROW = 34  # pixels a member
_GRAPH = 0.24  # of the width; names take the rest, so that no line crosses a name
_NAME = 52  # characters
_ROLES = {
    "model": ("Model", "solid", 1, 0.0),
    "teacher": ("Teacher", "dash", 2, 0.3),
    "student": ("Student", "dot", 3, -0.3),
}
"""Label, dash and colour of a line, and how far it bends: two between the same models must not lie on each other."""
MOST = 40
"""Members beyond which the nearest ones are drawn."""


def drawn(family: Lineage) -> tuple[LineageMember, ...]:
    """The members the figure shows: all, or the nearest `MOST`."""
    near = sorted(family.members, key=lambda m: abs(m.level))[:MOST]
    return tuple(m for m in family.members if m in near)


def lineage(family: Lineage, run: str, names: Mapping[str, str], ground: Theme) -> go.Figure:
    """The family from top (the oldest models) to bottom.

    Args:
        run: the run asked about; its star is filled.
        names: what to call each member, by `LineageMember.name`; the others are called by that.
    """
    members = drawn(family)
    row = {m.name: i for i, m in enumerate(members)}
    level = {m.name: m.level for m in members}
    fig = figure(ground, height=_ROW * len(members) + 48)
    for role, (label, dash, color, bend) in _ROLES.items():
        ties = [t for t in family.ties if t.role == role and t.parent in row and t.child in row]
        if ties:
            ways = [_way((level[t.parent], row[t.parent]), (level[t.child], row[t.child]), bend) for t in ties]
            fig.add_trace(
                go.Scatter(
                    x=[x for way in ways for x in (*(p[0] for p in way), None)],
                    y=[y for way in ways for y in (*(p[1] for p in way), None)],
                    mode="lines",
                    name=label,
                    hoverinfo="skip",
                    line={"color": ground.color(color), "width": 2, "dash": dash, "shape": "spline"},
                )
            )
    kinds = (
        ("This run", "star", 18, ground.ink, [m for m in members if m.name == run]),
        ("Run", "circle", 12, ground.ink, [m for m in members if m.run and m.name != run]),
        ("Model from elsewhere", "square-open", 12, ground.muted, [m for m in members if not m.run]),
    )
    for label, symbol, size, ink, those in kinds:
        if those:
            fig.add_trace(
                go.Scatter(
                    x=[m.level for m in those],
                    y=[row[m.name] for m in those],
                    mode="markers",
                    name=label,
                    marker={"symbol": symbol, "size": size, "color": ink, "line": {"color": ink, "width": 2}},
                    hovertext=[safe(names.get(m.name, m.name)) for m in those],
                    hoverinfo="text",
                    cliponaxis=False,
                )
            )
    for m in members:
        name = safe(names.get(m.name, m.name), _NAME)
        fig.add_annotation(
            x=_GRAPH + 0.02,
            xref="paper",
            xanchor="left",
            y=row[m.name],
            yref="y",
            yanchor="middle",
            showarrow=False,
            text=f"<b>{name}</b>" if m.name == run else name,
            align="left",
            font={"size": 13, "color": ground.ink if m.run else ground.muted},
        )
    span = [min(level.values()) - 0.3, max(level.values()) + 0.3]
    fig.update_xaxes(visible=False, domain=[0, _GRAPH], range=span)
    fig.update_yaxes(visible=False, range=[len(members) - 0.4, -0.6])
    fig.update_layout(
        dragmode=False, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"}
    )
    return fig


def _way(parent: tuple[int, int], child: tuple[int, int], bend: float) -> list[tuple[float, float]]:
    """The points of a line; its middle lies `bend` aside, below to the left."""
    middle = ((parent[0] + child[0]) / 2 - bend, (parent[1] + child[1]) / 2 + bend)
    return [parent, child] if bend == 0 else [parent, middle, child]


def alt(family: Lineage, run: str, names: Mapping[str, str]) -> str:
    """The figure in words."""
    said = [f"Family of {names.get(run, run)}: {len(family.members)} runs and models."]
    parents = [f"{names.get(t.parent, t.parent)} as {t.role}" for t in family.ties if t.child == run]
    children = [f"{names.get(t.child, t.child)} as {t.role}" for t in family.ties if t.parent == run]
    if parents:
        said.append(f"Built on {', '.join(parents)}.")
    if children:
        said.append(f"Used by {', '.join(children)}.")
    return " ".join(said)
