"""All that is looked up before a recipe starts, wherever it is started from."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.sensitivity import SensitivitySpec
from core.base.settings import Settings
from core.preflight.check import refuse_impossible
from core.preflight.data import refuse_unusable_data
from core.preflight.disk import refuse_full_disk
from core.recipe.recipe import Recipe


def refuse_unready(recipe: Recipe, settings: Settings, coming: Sequence[SensitivitySpec] = ()) -> None:
    """Models, amounts, data and disk of all steps.

    Args:
        coming: sensitivity measurements of this model that are queued or running.

    Raises:
        RetortError: the first thing that speaks against the recipe, with its step and what to do.
    """
    refuse_impossible(recipe, settings, coming=coming)
    refuse_unusable_data(recipe, settings)
    refuse_full_disk(recipe, settings)
