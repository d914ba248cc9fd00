"""Depth and width under a budget, by trying all of them: the shapes are few enough to count through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.base.errors import RetortError
from core.recipe.budget import Budget, said


@dataclass(frozen=True)
class Option:
    """One shape, with what it is expected to take and to cost."""

    layers: int
    neurons: int
    values: dict[str, float]
    """By limit: megabytes, decode_ms, prefill_ms."""
    loss: float
    """Estimated loss change, nats per token: depth and width as if their costs added up."""

    def fits(self, limits: dict[str, float]) -> bool:
        return all(self.values[name] <= limit for name, limit in limits.items())


def options(
    layers: Iterable[int],
    widths: Sequence[int],
    values: Callable[[int, int], dict[str, float]],
    loss: Callable[[int, int], float],
) -> list[Option]:
    """Every combination of a depth and a width."""
    return [Option(n, w, values(n, w), loss(n, w)) for n in layers for w in widths]


def choose(found: Sequence[Option], budget: Budget) -> list[Option]:
    """The best few that fit: for each depth the width with the least loss, then the depths with the least loss.

    Neighbouring widths differ too little to be worth a measurement each. Ties go to the larger model.

    Raises:
        RetortError: none fits; the nearest that can be met is named.
    """
    limits = budget.limits()
    best: dict[int, Option] = {}
    for option in found:
        if option.fits(limits):
            other = best.get(option.layers)
            if other is None or _rank(option) < _rank(other):
                best[option.layers] = option
    if not best:
        near = nearest(found, limits)
        raise RetortError(
            f"No shape of this model is expected to take at most {said(limits)}.",
            f"The nearest that can be met is {said({k: near.values[k] for k in limits})}, with "
            f"{near.layers} layer{'s' * (near.layers != 1)} "
            f"and {near.neurons} MLP neurons; allow at least that.",
        )
    return sorted(best.values(), key=_rank)[: budget.keep]


def nearest(found: Sequence[Option], limits: dict[str, float]) -> Option:
    """The shape whose worst excess over the limits, as a ratio, is least."""
    return min(found, key=lambda o: (max(o.values[name] / limit for name, limit in limits.items()), o.loss))


def _rank(option: Option) -> tuple[float, int, int]:
    return option.loss, -option.layers, -option.neurons
