"""How plotly behaves in the pages: no toolbar over the data, pictures on request."""

from __future__ import annotations

from typing import Any

STATIC: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""A chart that is only looked at."""

INTERACTIVE: dict[str, Any] = {
    "displaylogo": False,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "retort-tradeoffs"},
}
"""A chart with pan, zoom and clickable points."""
