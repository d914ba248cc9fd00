"""The memory a recipe takes at least, by its hungriest step: what decides whether it may start.

Estimates err to the low side: a job that might fit is tried, and watched while it works (`core.jobs.guards`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.analysis.doctor import memory_needed
from core.analysis.estimate import computed_in
from core.base.settings import Settings
from core.catalogue.anatomy import Anatomy
from core.recipe.recipe import Distil, Prune, Recipe, Select, Trim
from core.registry.methods import METHODS

_FLOAT, _DOUBLE = 4, 8
_HEALING_SQUARES = 5  # sums on two parts of the text and both, the one that is solved, its factor
_TRAINED_BYTES = 16  # float32 weight, gradient, and AdamW's two moments, of every parameter that learns


@dataclass(frozen=True)
class Need:
    """Bytes at the peak, and the step that takes them."""

    bytes: int
    step: str


def need_of(recipe: Recipe, found: Anatomy, settings: Settings) -> Need:
    """The largest of what the recipe's parts take.

    Args:
        recipe: a sweep or steps.
        found: the recipe's model.
        settings: where the machine's probe lies, which knows the type this processor computes in.
    """
    dtype = computed_in(settings) if recipe.dtype == "auto" else recipe.dtype
    return max(_needs(recipe, found, dtype), key=lambda need: need.bytes)


def _needs(recipe: Recipe, found: Anatomy, dtype: str) -> Iterator[Need]:
    yield Need(found.bytes_in(dtype), "loading the model")
    left = 1.0
    prunes = list(recipe.sweep.trials()) if recipe.sweep is not None else []
    for step in (*prunes, *recipe.steps):
        if isinstance(step, Prune):
            yield Need(_pruning(step, found, dtype), step.label())
            left = 0.0 if METHODS[step.method].structured else left  # how much is left is known when it is done
        elif isinstance(step, Trim):
            yield Need(round(2 * left * found.bytes_in(dtype)), step.label())
        elif isinstance(step, Distil):
            yield Need(_training(step, found, dtype, left), step.label())
        elif isinstance(step, Select):
            for option in step.options:
                yield Need(_pruning(option, found, dtype), option.label())
            yield Need(_training(step.recovery, found, dtype, 0.0), step.recovery.label())


def _pruning(step: Prune, found: Anatomy, dtype: str) -> int:
    """What the method takes and, to heal, the sums and factors of one matrix at a time."""
    width = found.shape.intermediate or 0
    healing = 0 if step.heal == "none" else _HEALING_SQUARES * _DOUBLE * width**2
    return memory_needed(METHODS[step.method], found, dtype) + healing


def _training(step: Distil, found: Anatomy, dtype: str, left: float) -> int:
    """Teacher, student, and what the optimiser keeps. Activations are not counted, nor logits, which come in chunks.

    A student that is not the recipe's own model, or was made smaller before, counts as nothing.
    """
    student = found.allocated * (left if step.student == "current" and step.design is None else 0.0)
    each = _FLOAT if step.lora is not None else _TRAINED_BYTES
    teacher = found.bytes_in(dtype) if step.needs_teacher and step.teacher == "baseline" else 0
    return round(student * each + teacher)
