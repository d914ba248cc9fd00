"""A confusion matrix: true classes down, given classes across, counts and row shares in the cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import plotly.graph_objects as go

from core.analysis.confusion import Matrix, mistaken, row_shares
from core.figures.theme import SHADES, Theme, figure, safe

COLUMNS = 10
"""Classes beyond which a matrix needs the whole width of a page."""
_BOTH, _COUNTS = 12, 40  # classes up to which a cell has room for count and share, or for the count alone
_NAME = 16  # characters of a class on an axis


def confusion(matrix: Matrix, labels: Sequence[str], ground: Theme) -> go.Figure:
    """One classifier's matrix. The colour is the share of the true class, 0 to 100 % in every such chart, so that
    charts side by side share their scale; a cell nothing fell into stays empty.
    """
    classes = len(labels)
    shares = row_shares(matrix)
    names = [safe(name, _NAME) for name in labels]
    places = list(range(classes))
    out = figure(ground, min(900, (44 if classes <= _BOTH else 24) * classes + 96))
    out.add_heatmap(
        z=shares,
        x=places,
        y=places,
        zmin=0.0,
        zmax=1.0,
        colorscale=SHADES[ground.name],
        showscale=False,
        xgap=1,
        ygap=1,
        customdata=[[f"{names[i]} called {names[j]}" for j in places] for i in places],
        hovertemplate="%{customdata}: %{z:.1%} of the class<extra></extra>",
    )
    cells = [(j, i, matrix[i][j], s) for i, row in enumerate(shares) for j, s in enumerate(row) if s and matrix[i][j]]
    out.add_scatter(
        x=[x for x, *_ in cells],
        y=[y for _, y, *_ in cells],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
        text=[_cell(count, share, classes) for *_, count, share in cells],
        textfont={"size": 11, "color": [ink_on(share, ground) for *_, share in cells]},
    )
    out.update_xaxes(
        tickvals=places,
        ticktext=names,
        title_text="Class given",
        showgrid=False,
        fixedrange=True,
        tickangle=-40,
        range=[-0.5, classes - 0.5],
    )
    out.update_yaxes(
        tickvals=places,
        ticktext=names,
        title_text="True class",
        showgrid=False,
        fixedrange=True,
        range=[classes - 0.5, -0.5],
    )
    out.update_layout(dragmode=False)
    return out


def ink_on(share: float, ground: Theme) -> str:
    """Black or white, whichever is read better on the shade of this share (WCAG 2.2, contrast ratio)."""
    (low, dark), (high, light) = next(
        pair for pair in pairwise(SHADES[ground.name]) if pair[0][0] <= share <= pair[1][0]
    )
    at = (share - low) / (high - low)
    parts = [(1 - at) * int(dark[i : i + 2], 16) + at * int(light[i : i + 2], 16) for i in (1, 3, 5)]
    linear = [p / 255 / 12.92 if p / 255 <= 0.04045 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#FFFFFF" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def _cell(count: int, share: float, classes: int) -> str:
    if classes > _COUNTS:
        return ""
    return f"{count:,}" if classes > _BOTH else f"{count:,}<br>{percent(share)}"


def percent(share: float) -> str:
    """'98 %', '0.4 %': a share with no more digits than it needs."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def alt(name: str, matrix: Matrix, labels: Sequence[str]) -> str:
    """The matrix in words: how many are right, and the confusions that occur most."""
    total, right = sum(map(sum, matrix)), sum(matrix[i][i] for i in range(len(matrix)))
    said = f"Confusion matrix of {safe(name, 80)}: {right:,} of {total:,} texts in their true class."
    worst = [f"{n:,} {safe(labels[i], 40)} called {safe(labels[j], 40)}" for n, i, j in mistaken(matrix)[:3]]
    return said + (f" Most often confused: {', '.join(worst)}." if worst else "")
