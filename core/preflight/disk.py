"""What a recipe will write, and whether there is room for it."""

from __future__ import annotations

import shutil

from core.analysis.estimate import models_on_disk
from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.references import resolve
from core.recipe.recipe import Distil, Evaluate, Measure, Recipe, Select
from core.registry.formatting import show_bytes

_TRAINING = 8
"""Times a model's bfloat16 file that a checkpoint takes: float32 weights and two moments, beside the one before."""


def disk_bytes(recipe: Recipe, model_bytes: int) -> int:
    """The most a run writes: every model that is kept, one being written, and the checkpoints of one training.

    All models are taken to be as large as the first.
    """
    if recipe.sweep is not None:
        return model_bytes * models_on_disk(recipe.sweep)
    written = 1
    for step in recipe.steps:
        if isinstance(step, Select):
            written += len(step.options) + step.best
        elif not isinstance(step, Evaluate | Measure):
            written += 1
    trains = any(isinstance(s, Distil | Select) for s in recipe.steps)
    return model_bytes * (written + _TRAINING * trains)


def refuse_full_disk(recipe: Recipe, settings: Settings) -> None:
    """Raises RetortError where the disk of the data folder has less room than the run may write."""
    try:
        size = anatomy(resolve(recipe.model, settings, None).folder).disk_bytes
        free = shutil.disk_usage(settings.home).free
    except (RetortError, OSError):
        return  # what is wrong with the model or the folder is said by whoever opens it
    needed = disk_bytes(recipe, size)
    if needed > free:
        raise RetortError(
            f"The run may write {show_bytes(needed)} into the data folder, and its disk has {show_bytes(free)} left.",
            "Delete candidates that are no longer needed, keep fewer models, or choose a data folder on another disk.",
        )
