"""Previews as dots on the curves of a study: where the slider stands, and where it stood before."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import plotly.graph_objects as go

from core.analysis.removed import REMOVED
from core.figures.axes import words
from core.figures.theme import Theme, safe, template
from core.figures.traces import SIZE

Layout = dict[str, object]


@dataclass(frozen=True)
class Dot:
    """A preview: how much is gone (percent), the change of the loss (nats a token) and its 95 % interval."""

    label: str
    amount: float
    change: float
    low: float
    high: float


def with_dots(study: Mapping[str, object] | None, dots: Sequence[Dot], ground: Theme, height: int) -> go.Figure:
    """The chart of a study (as plotly's dictionary; None: an empty one) with the dots on it, the last one whole.

    The study's axes must be the amount removed and the change of the loss. A dot outside the axes widens them; a change
    that has no place on a logarithmic axis stands at its lower end.
    """
    made = copy.deepcopy(dict(study)) if study is not None else {"data": [], "layout": _empty(ground)}
    layout = cast(Layout, made["layout"])
    layout |= {"height": height, "dragmode": False}
    x_axis, y_axis = (cast(Layout, layout.setdefault(name, {})) for name in ("xaxis", "yaxis"))
    log = y_axis.get("type") == "log"
    changes = [_placed(d.change, y_axis, log) for d in dots]
    _widen(x_axis, [d.amount for d in dots], False)
    _widen(y_axis, changes, log)
    data = list(cast(Sequence[object], made["data"]))
    return go.Figure(data=[*data, *_traces(dots, changes, ground)], layout=layout, skip_invalid=True)


def _empty(ground: Theme) -> Layout:
    return {
        "template": template(ground),
        "xaxis": {"title": {"text": words(REMOVED, "%")}, "range": [-2.0, 62.0]},
        "yaxis": {"title": {"text": words("loss_change", "nats")}, "range": [-0.05, 1.0]},
        "margin": {"l": 8, "r": 56, "t": 8, "b": 8},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }


def _placed(value: float, axis: Layout, log: bool) -> float:
    if not log:
        return value
    ticks = cast(Sequence[float], axis.get("tickvals") or ())
    ends = cast(Sequence[float], axis.get("range") or (-4.0, 1.0))
    lowest = ticks[0] if axis.get("ticktext") and ticks else 10.0 ** ends[0]
    return max(value, lowest)


def _widen(axis: Layout, values: Sequence[float], log: bool) -> None:
    ends = cast(Sequence[float] | None, axis.get("range"))
    if ends is None or not values:
        return
    places = [math.log10(v) if log else v for v in values]
    room = 0.04 * (ends[1] - ends[0])
    axis["range"] = [min(ends[0], min(places) - room), max(ends[1], max(places) + room)]


def _traces(dots: Sequence[Dot], changes: Sequence[float], ground: Theme) -> list[Layout]:
    if not dots:
        return []
    last = len(dots) - 1
    common: Layout = {
        "type": "scatter",
        "mode": "markers",
        "hoverinfo": "text",
        "x": [d.amount for d in dots],
        "y": list(changes),
    }
    trail = {
        **common,
        "mode": "lines+markers",
        "name": "Earlier previews",
        "opacity": 0.45,
        "line": {"color": ground.ink, "width": 1, "dash": "dot"},
        "marker": {"symbol": "asterisk-open", "size": SIZE - 3, "color": ground.ink, "line": {"width": 1.5}},
        "hovertext": [_said(d) for d in dots],
        "showlegend": last > 0,
    }
    now = {
        **common,
        "x": [dots[last].amount],
        "y": [changes[last]],
        "name": "Preview: where the slider stands",
        "marker": {"symbol": "asterisk-open", "size": SIZE + 6, "color": ground.ink, "line": {"width": 2}},
        "hovertext": [_said(dots[last])],
        "showlegend": True,
    }
    return [trail, now] if last else [now]


def _said(dot: Dot) -> str:
    return (
        f"<b>{safe(dot.label)}</b><br>Preview, not a measurement<br>Loss change: {dot.change:+.3f} nats "
        f"({dot.low:+.3f} to {dot.high:+.3f})"
    )
