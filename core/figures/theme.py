"""Colours, shapes and templates: the Okabe-Ito palette on a light and a dark ground.

Nothing is told by colour alone: each method has a shape as well, and every chart a sentence
(`alt`) for those who do not see it.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache

import plotly.graph_objects as go

from core.base.text import one_line
from core.registry.methods import method, symbol_of

OKABE_ITO = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe and Ito 2008, "Color universal design". Index 0 is the neutral one: it becomes the ink of the theme."""

FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'


@dataclass(frozen=True)
class Theme:
    """What a figure takes from the ground it stands on."""

    name: str
    ink: str
    muted: str
    grid: str
    ground: str

    def color(self, index: int) -> str:
        """A palette colour; the neutral one is the ink."""
        index %= len(OKABE_ITO)
        return OKABE_ITO[index] if index else self.ink

    def edge(self, index: int) -> str:
        """An outline that keeps pale colours (orange, sky, yellow) above 3:1 against a white ground."""
        return self.ink if self.name == "light" and index % len(OKABE_ITO) >= 4 else self.color(index)


LIGHT = Theme("light", ink="#0D151E", muted="#55616D", grid="#DFE5EA", ground="#FFFFFF")
DARK = Theme("dark", ink="#E7ECF1", muted="#A9B4BF", grid="#2B3641", ground="#11171D")


SHADES = {
    "light": ((0.0, "#F1F6FA"), (0.55, "#56B4E9"), (1.0, "#00507D")),
    "dark": ((0.0, "#18232D"), (0.55, "#0072B2"), (1.0, "#BFE3F8")),
}
"""One hue by the name of the theme, from the ground to far from it: light and dark tell the order without colour."""


def theme(name: str | None) -> Theme:
    """The theme called `name`; light where it is not known."""
    return DARK if name == "dark" else LIGHT


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks in every chart."""

    label: str
    symbol: str
    color: int


_STEPS = {
    "dense": MethodStyle("Dense", "star-square", 0),
    "distil": MethodStyle("Distilled", "star-triangle-up", 4),
    "finetune": MethodStyle("Fine-tuned", "star-triangle-down", 5),
    "quantise": MethodStyle("int8 weights", "star-diamond", 6),
    "trim": MethodStyle("Smaller vocabulary", "triangle-se", 3),
}
"""What is no pruning method and stands on the same charts."""


def method_style(method_id: str) -> MethodStyle:
    """The style of a method; one this version does not know keeps its own name and a square star."""
    known = method(method_id)
    if known is None:
        return _STEPS.get(method_id, MethodStyle(method_id, "star-square", 0))
    return MethodStyle(known.label, symbol_of(method_id), known.color)


def safe(text: str, limit: int = 160) -> str:
    """Text that plotly, which renders some HTML, shows as it is; control and direction marks are dropped."""
    return html.escape(one_line(text, limit), quote=False)


@lru_cache(maxsize=4)
def template(ground: Theme) -> go.layout.Template:
    """The layout every figure starts from."""
    axis = {
        "gridcolor": ground.grid,
        "linecolor": ground.muted,
        "tickcolor": ground.muted,
        "tickfont": {"color": ground.muted, "size": 13},
        "title": {"font": {"color": ground.ink, "size": 14}, "standoff": 12},
        "zeroline": False,
        "automargin": True,
    }
    return go.layout.Template(
        layout=go.Layout(
            font={"family": FONT, "size": 14, "color": ground.ink},
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            colorway=list(OKABE_ITO[1:]),
            xaxis=axis,
            yaxis=axis,
            legend={"font": {"color": ground.ink, "size": 13}, "bgcolor": "rgba(0,0,0,0)"},
            hoverlabel={
                "bgcolor": ground.ground,
                "bordercolor": ground.muted,
                "font": {"family": FONT, "size": 13, "color": ground.ink},
                "align": "left",
            },
            margin={"l": 8, "r": 8, "t": 8, "b": 8},
            modebar={"bgcolor": "rgba(0,0,0,0)", "color": ground.muted, "activecolor": ground.ink},
            dragmode="pan",
            hovermode="closest",
        )
    )


def figure(ground: Theme, height: int) -> go.Figure:
    """An empty figure of this look."""
    return go.Figure(layout={"template": template(ground), "height": height})
