"""A confusion matrix: true classes down, given classes across, counts and row shares in the cells."""

from __future__ import annotations

from collections.abc import Sequence

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
        z=shares, x=places, y=places, zmin=0.0, zmax=1.0, colorscale=SHADES[ground.name], showscale=False,
        text=[[_cell(n, s, classes) for n, s in zip(*rows, strict=True)] for rows in zip(matrix, shares, strict=True)],
        texttemplate="%{text}", textfont={"size": 11}, xgap=1, ygap=1,
        customdata=[[f"{names[i]} called {names[j]}" for j in places] for i in places],
        hovertemplate="%{customdata}: %{z:.1%} of the class<extra></extra>",
    )  # fmt: skip
    out.update_xaxes(
        tickvals=places, ticktext=names, title_text="Class given", showgrid=False, fixedrange=True,
        tickangle=-40, range=[-0.5, classes - 0.5],
    )  # fmt: skip
    out.update_yaxes(
        tickvals=places, ticktext=names, title_text="True class", showgrid=False, fixedrange=True,
        range=[classes - 0.5, -0.5],
    )  # fmt: skip
    out.update_layout(dragmode=False)
    return out


def _cell(count: int, share: float | None, classes: int) -> str:
    if not count or share is None or classes > _COUNTS:
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
