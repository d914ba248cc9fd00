"""What a recipe asks of a model that does not have it: config.json says so before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.recipe import Distil, Prune, Recipe, Select, Sizes
from core.registry.methods import METHODS

_HAS = {
    "layers": "layers",
    "intermediate": "MLP neurons",
    "heads": "query heads",
    "kv_heads": "key-value heads",
    "hidden": "hidden channels",
    "experts": "experts",
}


def refuse_misfit(recipe: Recipe, found: Anatomy) -> None:
    """Refuses layers, sizes and lengths beyond those of the recipe's model.

    After a step that changes the shape by a search, what is left is known only when it is done; what follows is then
    judged by the engine.

    Raises:
        RetortError: names the field, what it asks, and what the model has.
    """
    problem = next(_problems(recipe, found), None)
    if problem is not None:
        raise RetortError(f"The recipe does not fit its model: {problem}.", "Correct it, then try again.")


def _problems(recipe: Recipe, found: Anatomy) -> Iterator[str]:
    yield from _lengths(recipe, found.shape.context)
    layers: int | None = found.shape.layers or len(found.layers)
    whole = True  # nothing but layers has gone so far
    for trial in recipe.sweep.trials() if recipe.sweep is not None else ():
        yield from _prune(trial, found, layers, whole)
    for step in recipe.steps:
        if isinstance(step, Prune):
            yield from _prune(step, found, layers, whole)
            layers, whole = _after(step, layers, whole)
        elif isinstance(step, Select):
            for option in step.options:
                yield from _prune(option, found, layers, whole)
            layers, whole = None, False
        elif isinstance(step, Distil) and (step.design is not None or step.student != "current"):
            if step.design is not None and step.teacher == "baseline":
                yield from _design(step, found)
            layers, whole = None, False


def _after(step: Prune, layers: int | None, whole: bool) -> tuple[int | None, bool]:
    """How many layers are left, where that can be known, and whether the other sizes are as they were."""
    if step.target is None:
        return layers, whole
    if METHODS[step.method].family == "depth" and step.target.remove_layers is not None and layers is not None:
        return layers - step.target.remove_layers, whole
    return None, False


def _prune(step: Prune, found: Anatomy, layers: int | None, whole: bool) -> Iterator[str]:
    target = step.target
    if layers is not None:
        if step.protect and max(step.protect) >= layers:
            yield f"'protect' names layer {max(step.protect)}, and the model has the layers 0 to {layers - 1}"
        if target is not None and (target.remove_layers or 0) >= layers:
            yield f"'remove_layers' is {target.remove_layers}, and of the model's {layers} layers one must stay"
    if whole and target is not None and target.sizes is not None:
        yield from _sizes(target.sizes, found, layers)


def _design(step: Distil, found: Anatomy) -> Iterator[str]:
    assert step.design is not None
    layers = found.shape.layers or len(found.layers)
    if layers and (step.design.layers or 0) > layers:
        yield f"'design' asks for {step.design.layers} layers, and the teacher has {layers}"
    if step.design.sizes is not None:
        yield from _sizes(step.design.sizes, found, layers)


def _sizes(asked: Sizes, found: Anatomy, layers: int | None) -> Iterator[str]:
    has = {name: getattr(found.shape, name) for name in _HAS} | {"layers": layers}
    for name, wanted in asked:
        if wanted is not None and has[name] is not None and wanted > has[name]:
            yield f"'sizes' asks for {wanted} {_HAS[name]} ('{name}'), and the model has {has[name]}"


def _lengths(recipe: Recipe, context: int | None) -> Iterator[str]:
    if context is None:
        return
    prunes = list(recipe.sweep.trials()) if recipe.sweep is not None else []
    for step in recipe.steps:
        prunes += [step] if isinstance(step, Prune) else step.options if isinstance(step, Select) else ()
    asked = {"evaluation.window": recipe.evaluation.window}
    if any(p.calibrated for p in prunes):
        asked["calibration.length"] = recipe.calibration.length
    for name, tokens in asked.items():
        if tokens > context:
            yield f"'{name}' is {tokens} tokens, and the model reads at most {context} at once"
