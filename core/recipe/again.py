"""One trial of a sweep done again for its model: a recipe of that trial alone, which stays on disk."""

from __future__ import annotations

from core.recipe.prune import Prune
from core.recipe.recipe import Grid, Recipe, Sweep


def kept_again(recipe: Recipe, prune: Prune) -> Recipe:
    """The sweep of `prune` alone, with `keep: all`, under the texts and settings of `recipe`.

    Its trial has the key it had, so its figures take the place of the earlier ones.
    """
    grid = Grid(
        method=(prune.method,),
        sparsity=(prune.sparsity,) if prune.sparsity is not None and prune.pattern == "unstructured" else (),
        pattern=(prune.pattern,),
        target=() if prune.target is None else (prune.target,),
        mode=prune.mode,
        allocation=prune.allocation,
        protect=prune.protect,
        parts=prune.parts,
        multiple=prune.multiple,
        heal=prune.heal,
        seeds=(prune.seed,),
    )
    sweep = Sweep(grid=(grid,), keep="all")
    alone = recipe.model_copy(update={"sweep": sweep, "steps": (), "minutes": None})
    return alone.model_copy(update={"name": f"{alone.usual_name()}, kept"[:120]})
