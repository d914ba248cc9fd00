"""The terms of a mix of losses, ready to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from core.base.functions import load_function
from core.recipe.distil import Term
from core.registry.losses import Loss, Value


@dataclass(frozen=True)
class LossTerm:
    """A term ready to compute. `name` is unique in its mix."""

    name: str
    loss: Loss
    weight: float
    settings: dict[str, Value]
    function: Callable[..., Tensor]

    @property
    def temperature(self) -> float:
        return float(self.settings.get("temperature", 1.0))

    @property
    def arguments(self) -> dict[str, Value]:
        """The settings the function itself takes."""
        return {k: v for k, v in self.settings.items() if k not in ("temperature", "layers")}


def loss_terms(terms: Iterable[Term]) -> list[LossTerm]:
    """The terms with their functions; a loss used twice is named `soft_labels`, `soft_labels 2`."""
    parts: list[LossTerm] = []
    for term in terms:
        function = load_function(term.described.entry)
        same = sum(p.loss.id == term.loss for p in parts)
        label = term.loss if not same else f"{term.loss} {same + 1}"
        parts.append(LossTerm(label, term.described, term.weight, term.settings, function))
    return parts
