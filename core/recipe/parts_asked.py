"""Which parts a structured step takes out, and whether the model's family lets them go."""

from __future__ import annotations

from collections.abc import Mapping

from core.base.errors import Impossible
from core.recipe.recipe import Part, Prune
from core.registry.families import cannot, either, width_parts
from core.registry.methods import Method

SEARCHED_PARTS: tuple[Part, ...] = ("layers", "neurons", "kv_groups")
"""What a search for a shape may take out."""
PART_OF_SIZE: dict[str, Part] = {
    "layers": "layers",
    "intermediate": "neurons",
    "heads": "heads",
    "kv_heads": "kv_groups",
    "hidden": "hidden",
    "experts": "experts",
}
"""The part that each key of `target.sizes` is the number of."""


def step_parts(method: Method, asked: tuple[Part, ...]) -> tuple[Part, ...]:
    """What the step may remove: the recipe's `parts`, or the method's usual ones."""
    if method.family == "depth":
        return ("layers",)
    if method.family == "experts":
        return ("experts",)
    return asked or (SEARCHED_PARTS if method.kind == "shapes" else ("neurons",))


def possible_parts(method: Method, asked: tuple[Part, ...], square: bool, stays: Mapping[str, str]) -> tuple[Part, ...]:
    """What the step may remove from a model: a search that is not told takes what the model's family lets go.

    Args:
        square, stays: as for `staying_asked`.
    """
    parts = step_parts(method, asked)
    if method.kind != "shapes" or asked:
        return parts
    return tuple(p for p in parts if p not in stays and not (square and p == "kv_groups")) or parts


def staying_asked(method: Method, prune: Prune, square: bool, stays: Mapping[str, str]) -> Impossible | None:
    """Why the step cannot be done for a part that stays in this model, or None.

    Args:
        square: whether the hidden size is always heads times head size.
        stays: `core.registry.families.staying` of the model.
    """
    sizes = prune.target.sizes if prune.target is not None else None
    asked = [PART_OF_SIZE[name] for name, wanted in sizes or () if wanted is not None]
    for part in asked or possible_parts(method, prune.parts, square, stays):
        if part in stays:
            possible = width_parts(square, stays, method.ranks_hidden)
            way = f"Set 'parts' to {either(possible)}" if possible and method.family == "width" else ""
            return Impossible(cannot(part, stays[part]), f"{way or 'Choose another method'}, or choose another model.")
    return None
