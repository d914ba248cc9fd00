"""How plotly behaves in the pages: no toolbar over the data, pictures on request."""

from __future__ import annotations

import plotly.graph_objects as go

STATIC: dict[str, object] = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""A chart that is only looked at."""

INTERACTIVE: dict[str, object] = {
    "displaylogo": False,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "retort-tradeoffs"},
}
"""A chart with pan, zoom and clickable points."""


class Settled(go.Figure):  # type: ignore[misc]
    """A figure that changes no more and is shown many times: what plotly makes of it for the browser is made once.

    Streamlit asks for that at every rerun, and copying thousands of points takes longer than the rest of a page.
    """

    def __init__(self, figure: go.Figure) -> None:
        super().__init__()
        self._made: dict[str, object] = figure.to_dict()

    def to_dict(self) -> dict[str, object]:
        """What `figure` was; whoever gets it must not change it."""
        return self._made
