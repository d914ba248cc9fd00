"""Where a model is sensitive: a map of layers and parts, curves of one place, bars of removed layers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import plotly.graph_objects as go

from core.analysis.sensitivity import Change
from core.analysis.statistics import mean_interval
from core.figures.theme import SHADES, Theme, figure, safe
from core.registry.formatting import change, percent

WHOLE = "Whole layer"
_ROW, _FRAME = 22, 96  # pixels of a layer's row, and of the axes around them
_NUMBERS = 10  # columns in which a number still fits on a narrow screen


def columns(cells: Sequence[Change]) -> list[str | None]:
    """The parts in the order they were measured, the whole layer first."""
    return sorted(dict.fromkeys(c.part for c in cells), key=lambda p: p is not None)


def part_label(part: str | None) -> str:
    """'mlp.down_proj' as 'down'; the whole layer in words."""
    return WHOLE if part is None else part.rpartition(".")[2].removesuffix("_proj").replace("_", " ")


def heatmap(cells: Sequence[Change], sparsity: float, ground: Theme, picked: tuple[int, str | None]) -> go.Figure:
    """Layers down, parts across; dark against the ground is where pruning hurts. The colour follows the root of
    the loss change, so that small differences are seen beside large ones; every cell bears its number.

    Invisible squares over the cells take the clicks: their `customdata` is (layer, part).
    """
    here = {(c.layer, c.part): c for c in cells if c.sparsity == sparsity}
    parts, layers = columns(cells), sorted({c.layer for c in cells})
    most = max([c.change for c in here.values()] + [1e-9])
    grid = [[here.get((i, p)) for p in parts] for i in layers]
    out = figure(ground, _ROW * len(layers) + _FRAME)
    out.add_heatmap(
        z=[[None if c is None else math.sqrt(max(c.change, 0.0)) for c in row] for row in grid],
        text=[["" if c is None else number(c.change) for c in row] for row in grid],
        texttemplate="%{text}" if len(parts) <= _NUMBERS else None,
        textfont={"size": 11},
        x=list(range(len(parts))),
        y=layers,
        zmin=0.0,
        zmax=math.sqrt(most),
        colorscale=SHADES[ground.name],
        xgap=1,
        ygap=1,
        showscale=False,
        hoverinfo="skip",
    )
    known = [(x, i, p, here[i, p]) for i in layers for x, p in enumerate(parts) if (i, p) in here]
    out.add_scatter(
        x=[x for x, *_ in known],
        y=[i for _, i, *_ in known],
        mode="markers",
        marker={"symbol": "square", "size": _ROW - 2, "opacity": 0.0, "color": ground.ground},
        customdata=[(i, p or "") for _, i, p, _ in known],
        text=[
            f"Layer {i}, {safe(p or 'whole')}: {change('loss_change', c.change)}<br>{c.parameters:,} weights"
            for _, i, p, c in known
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    if picked in here:
        x, y = parts.index(picked[1]), picked[0]
        out.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": ground.color(2), "width": 3}
        )
    out.update_xaxes(
        tickvals=list(range(len(parts))),
        ticktext=[safe(part_label(p)) for p in parts],
        side="top",
        showgrid=False,
        range=[-0.5, len(parts) - 0.5],
        fixedrange=True,
        tickangle=-40,
    )
    out.update_yaxes(
        title_text="Layer",
        range=[max(layers) + 0.5, min(layers) - 0.5],
        showgrid=False,
        fixedrange=True,
        dtick=1 if len(layers) <= 40 else 5,
    )
    out.update_layout(dragmode=False, margin={"r": 36})  # room for the last slanted label
    return out


def number(change: float) -> str:
    """A loss change short enough for a cell."""
    if abs(change) < 0.0005:
        return "0"
    return f"{change:.3f}".lstrip("0") if 0 < change < 1 else (f"{change:.3f}" if change < 0 else f"{change:.1f}")


def curve(cells: Sequence[Change], layer: int, part: str | None, ground: Theme, height: int = 260) -> go.Figure:
    """The loss change of one place by sparsity with its 95 % interval, and the median of all layers beside it."""
    mine = sorted((c for c in cells if (c.layer, c.part) == (layer, part)), key=lambda c: c.sparsity)
    out = figure(ground, height)
    bounds = [mean_interval(c.samples) for c in mine]
    middle = [statistics.median(c.change for c in cells if (c.part, c.sparsity) == (part, m.sparsity)) for m in mine]
    x = [100 * c.sparsity for c in mine]
    out.add_scatter(
        x=x,
        y=middle,
        name="Median of all layers",
        mode="lines+markers",
        line={"color": ground.muted, "width": 2, "dash": "dash"},
        marker={"symbol": "square", "size": 7},
        hovertemplate="%{x:g} %: %{y:+.4f} nats<extra>Median</extra>",
    )
    out.add_scatter(
        x=x,
        y=[c.change for c in mine],
        name=f"Layer {layer}",
        mode="lines+markers",
        line={"color": ground.color(1), "width": 2},
        marker={"symbol": "circle", "size": 9},
        error_y={
            "type": "data",
            "symmetric": False,
            "thickness": 1.5,
            "width": 4,
            "color": ground.color(1),
            "array": [0 if math.isnan(b.high) else max(0.0, b.high - b.value) for b in bounds],
            "arrayminus": [0 if math.isnan(b.low) else max(0.0, b.value - b.low) for b in bounds],
        },
        hovertemplate="%{x:g} %: %{y:+.4f} nats<extra></extra>",
    )
    out.update_xaxes(title_text="Sparsity, %", range=[0, 100])
    out.update_yaxes(title_text="Loss change, nats", rangemode="tozero")
    out.update_layout(legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}, dragmode=False)
    return out


def removed(cells: Sequence[Change], ground: Theme, chosen: Sequence[int]) -> go.Figure:
    """A bar a layer: the loss change without it. Chosen layers are hatched."""
    layers = sorted((c for c in cells if c.part is None), key=lambda c: c.layer)
    out = figure(ground, 260)
    out.add_bar(
        x=[c.layer for c in layers],
        y=[c.change for c in layers],
        marker={
            "color": [ground.color(2) if c.layer in chosen else ground.color(1) for c in layers],
            "pattern": {"shape": ["/" if c.layer in chosen else "" for c in layers], "fgcolor": ground.ground},
        },
        hovertemplate="Without layer %{x}: %{y:+.4f} nats<extra></extra>",
    )
    out.update_xaxes(title_text="Layer taken out", dtick=1 if len(layers) <= 16 else 5, fixedrange=True)
    out.update_yaxes(title_text="Loss change, nats", fixedrange=True)
    out.update_layout(bargap=0.25, dragmode=False)
    return out


def alt(cells: Sequence[Change], sparsity: float) -> str:
    """The map in words: the places where pruning hurts most and least."""
    here = sorted((c for c in cells if c.sparsity == sparsity), key=lambda c: -c.change)
    if not here:
        return "Loss change by layer and part: nothing measured yet."
    whole = [c for c in here if c.part is None] or here
    parts = [c for c in here if c.part is not None]
    most, least = (change("loss_change", c.change) for c in (whole[0], whole[-1]))
    said = (
        f"Loss change by layer and part at {percent(sparsity)} sparsity. Layer {whole[0].layer} is the most sensitive "
        f"({most}), layer {whole[-1].layer} the least ({least})."
    )
    return said + (f" Of the parts, {parts[0].part} of layer {parts[0].layer} is the most sensitive." if parts else "")


def alt_removed(cells: Sequence[Change]) -> str:
    """The bars in words."""
    layers = sorted((c for c in cells if c.part is None), key=lambda c: c.change)
    if not layers:
        return "Loss change without each layer: nothing measured yet."
    cheap = ", ".join(f"{c.layer} ({change('loss_change', c.change)})" for c in layers[:3])
    most = layers[-1]
    return f"Loss change without each layer. Least: {cheap}. Most: {most.layer} ({change('loss_change', most.change)})."
