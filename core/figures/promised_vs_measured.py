"""What was promised beside what was measured: one bar per cost, as a share of the dense baseline's."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.analysis.promised_vs_measured import NOMINAL, Share
from core.figures.theme import Theme, figure, safe

_ROW = 34  # pixels per bar


def bars(shares: Sequence[Share], ground: Theme, color: str) -> go.Figure:
    """Horizontal bars in the order given; what was asked for is hatched, what was found is solid.

    Estimated shares are hollow. Each bar carries its number and its interval where one is known; hovering shows both
    values. A difference inside the error is none, so such a bar ends where the dense model's does.
    """
    estimated = any(s.obtained == "estimated" for s in shares)
    fig = figure(ground, height=_ROW * max(1, len(shares)) + 56)
    names = [s.label for s in shares]
    fig.add_trace(
        go.Bar(
            y=names,
            x=[_end(s) for s in shares],
            error_x=_errors(shares, ground),
            orientation="h",
            marker={
                "color": ["rgba(0,0,0,0)" if s.obtained == "estimated" else color for s in shares],
                "line": {"color": color, "width": 1.5},
                "pattern": {
                    "shape": ["/" if s.metric == NOMINAL else "" for s in shares],
                    "fgcolor": color,
                    "bgcolor": "rgba(0,0,0,0)",
                    "size": 7,
                    "solidity": 0.35,
                },
            },
            hovertext=[
                f"{safe(s.label)}: {safe(s.said)}<br>{safe(s.shown)}; dense {safe(s.baseline_shown)}" for s in shares
            ],
            hoverinfo="text",
            showlegend=False,
        )
    )
    most = max([100.0, *(100 * max(s.value, s.high or 0.0) for s in shares)])  # numbers stand beyond every interval
    fig.add_trace(
        go.Scatter(
            x=[most * 1.03] * len(names),
            y=names,
            mode="text",
            textposition="middle right",
            hoverinfo="skip",
            text=[s.said.replace(" (", "<br>(", 1) for s in shares],  # an interval beside it is cut off on a phone
            textfont={"color": ground.ink, "size": 13},
            cliponaxis=False,
            showlegend=False,
        )
    )
    fig.add_vline(x=100, line={"color": ground.ink, "width": 1.5, "dash": "dot"})
    timed = any(s.interval for s in shares)
    room = 1.9 if timed else 1.42 if estimated else 1.2
    fig.update_xaxes(range=[0, most * room], ticksuffix=" %", tickvals=[0, 50, 100])
    fig.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ", tickfont={"color": ground.ink})
    fig.update_layout(bargap=0.35, dragmode=False, margin={"l": 8, "r": 24, "t": 8, "b": 8})
    return fig


def _end(share: Share) -> float:
    """Where a bar ends, in percent."""
    return 100.0 if share.same and share.low is not None else 100.0 * share.value


def _errors(shares: Sequence[Share], ground: Theme) -> dict[str, object]:
    """The intervals, as far as they are known."""
    up = [0.0 if s.high is None else max(0.0, 100 * s.high - _end(s)) for s in shares]
    down = [0.0 if s.low is None else max(0.0, _end(s) - 100 * s.low) for s in shares]
    if not any(up) and not any(down):
        return {"visible": False}
    return {"type": "data", "array": up, "arrayminus": down, "color": ground.ink, "thickness": 1.5, "width": 4}


def alt(name: str, shares: Sequence[Share]) -> str:
    """The bars in words."""
    said = ", ".join(f"{s.label.lower()} {s.said}" for s in shares)
    return f"Bars for {name}, as a share of the dense baseline: {said}."
