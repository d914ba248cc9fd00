"""What a model is made of: one bar per part."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from core.catalogue.parts import Part
from core.figures.theme import Theme, figure
from core.registry.formatting import percent, show_count

LABELS: dict[str, str] = {
    "embeddings": "Embeddings",
    "attention": "Attention",
    "mlp": "MLP",
    "experts": "Experts",
    "norms": "Norms",
    "head": "Output head",
    "other": "Other",
}
_ROW = 44  # pixels per bar


def parts(by_part: Mapping[Part, int], ground: Theme) -> go.Figure:
    """Horizontal bars of parameters by part, each with its count and share of all."""
    total = sum(by_part.values()) or 1
    names = [LABELS.get(p, p) for p in by_part]
    fig = figure(ground, height=_ROW * max(1, len(by_part)) + 16)
    fig.add_trace(
        go.Bar(
            y=names,
            x=list(by_part.values()),
            orientation="h",
            marker={"color": ground.color(1)},
            text=[f"{show_count(n)}, {share(n / total)}" for n in by_part.values()],
            textposition="outside",
            textfont={"color": ground.ink, "size": 14},
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    fig.update_xaxes(visible=False, range=[0, max(by_part.values(), default=1) * 1.45])
    fig.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ", tickfont={"color": ground.ink, "size": 14})
    fig.update_layout(bargap=0.4, dragmode=False)
    return fig


def alt(by_part: Mapping[Part, int]) -> str:
    """The bars in words."""
    total = sum(by_part.values()) or 1
    said = ", ".join(f"{LABELS.get(p, p).lower()} {show_count(n)} ({share(n / total)})" for p, n in by_part.items())
    return f"Parameters by part: {said}."


def share(share: float) -> str:
    return "under 0.1 %" if 0 < share < 0.001 else percent(share, 1)
