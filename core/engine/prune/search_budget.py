"""Which pairs of widths a search may use, and how many layers the budget leaves each."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from core.engine.models.architectures import Architecture, Sizes
from core.engine.prune.targets import Plan, Question, reach_of, refusal, too_much
from core.recipe.recipe import Prune

_LEVELS = 8
"""Sizes of a part at most, its own included."""
_SLACK = 1e-9


class Widths(NamedTuple):
    """Neurons and key-value groups of every layer; 0 neurons where they cannot be cut."""

    neurons: int
    kv_groups: int


def layers_left(question: Question, prune: Prune) -> dict[Widths, int]:
    """By pair of widths the most layers that meet the target; pairs that cannot meet it are left out.

    Raises:
        RetortError: none can; the smallest is named.
    """
    assert prune.target is not None
    architecture = question.architecture
    dense = Plan(architecture.layers, dict(architecture.sizes))
    wanted, reached = reach_of(question, prune.target, dense)
    least = architecture.layers
    if "layers" in question.parts:
        least = max(1, architecture.layers - len(question.removable))
    found: dict[Widths, int] = {}
    best = float("-inf")
    for widths in pairs(question):
        sizes = sizes_of(question, widths)
        best = max(best, reached(Plan(least, sizes)))
        depths = range(architecture.layers, least - 1, -1)
        fits = next((n for n in depths if reached(Plan(n, sizes)) >= wanted - _SLACK), None)
        if fits is not None:
            found[widths] = fits
    if not found:
        raise too_much(prune.target, wanted, best)
    return found


def own_widths(architecture: Architecture) -> Widths:
    """The model's own."""
    sizes = architecture.sizes
    return Widths(sizes.get("neurons", 0), sizes.get("kv_heads", sizes.get("heads", 0)))


def pairs(question: Question) -> list[Widths]:
    """Every pair that plain transformers can load, the widest first: at most eight sizes of each part."""
    own, multiple = own_widths(question.architecture), question.multiple
    neurons, groups = [own.neurons], [own.kv_groups]
    if "neurons" in question.parts and own.neurons:
        shares = (own.neurons * k / _LEVELS for k in range(1, _LEVELS))
        neurons += [n for s in shares if 0 < (n := round(s / multiple) * multiple) < own.neurons]
    if "kv_groups" in question.parts and own.kv_groups:
        few = min(_LEVELS, own.kv_groups)
        groups += [round(own.kv_groups * k / few) for k in range(1, few)]
    found = (Widths(n, g) for n, g in itertools.product(set(neurons), set(groups)))
    return sorted((w for w in found if refusal(question.architecture, sizes_of(question, w)) is None), reverse=True)


def sizes_of(question: Question, widths: Widths) -> Sizes:
    """The sizes of a model with these widths."""
    architecture = question.architecture
    sizes: Sizes = dict(architecture.sizes)
    if "neurons" in sizes:
        sizes["neurons"] = widths.neurons
    if widths.kv_groups != own_widths(architecture).kv_groups:
        sizes["heads"] = widths.kv_groups * (sizes["heads"] // own_widths(architecture).kv_groups)
        if "kv_heads" in sizes:
            sizes["kv_heads"] = widths.kv_groups
    return sizes
