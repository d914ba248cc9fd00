"""What a pruning method says about itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

Family = Literal["weight", "depth", "width", "experts"]
Kind = Literal["score", "solver", "layers", "units", "shapes"]
Statistic = Literal[
    "input_norms",
    "hessian",
    "block_influence",
    "last_hidden",
    "unit_activations",
    "fluctuation",
    "second_moments",
    "gradients",
    "expert_saliency",
]


class Method(BaseModel):
    """One way to choose what to remove."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    family: Family
    kind: Kind
    entry: str
    summary: str
    source: str
    needs: frozenset[Statistic] = frozenset()
    compare: Literal["matrix", "row"] = "row"
    """What a weight's score is ranked against: the whole matrix, or its own output row."""
    symbol: str = ""
    """Plotly marker: one shape a method, so that colour is never the only difference. Empty: the next that is free."""
    color: int = 0
    """Index into the Okabe-Ito palette. 0: the next after those of the methods before it."""
    search_windows: int = 0
    """Calibration windows on which the loss without each layer is measured, layer after layer; 0: no search."""
    search_tries: int = 0
    """Layers that are measured before one goes, 0: every one that is left; of a search for a shape, all it measures."""
    needs_adapter: bool = False
    """True where the architecture must be known (its blocks, heads and neurons)."""

    @property
    def structured(self) -> bool:
        """True where parts are physically removed, so the model is really smaller."""
        return self.family != "weight"

    @property
    def ranks_hidden(self) -> bool:
        """Whether a width method ranks hidden channels too, beside neurons and heads."""
        return self.kind == "units" and not self.needs & {"fluctuation", "second_moments"}

    @property
    def calibrated(self) -> bool:
        return bool(self.needs)


SPARE = (
    "triangle-left",
    "triangle-right",
    "hexagon2",
    "hash",
    "triangle-ne",
    "triangle-sw",
    "triangle-nw",
)
"""Shapes that no step or baseline has, each with hollow and dotted forms."""


def with_symbols(methods: Iterable[Method]) -> dict[str, Method]:
    """The methods by id; one without a symbol or a colour gets the next free one, in their order.

    Beyond seven that name none, shapes come again.
    """
    known = list(methods)
    free = [s for s in SPARE if s not in {m.symbol for m in known}] or list(SPARE)
    found: dict[str, Method] = {}
    for at, m in enumerate(known):
        if not m.symbol:
            m = m.model_copy(update={"symbol": free[0], "color": m.color or 1 + at % 7})
            free = [*free[1:], free[0]]
        found[m.id] = m
    return found
