"""The study anybody can run first, with one click."""

from __future__ import annotations

from pathlib import Path

from core.catalogue.samples import Sample, is_fetched, sample
from core.jobs import api
from core.recipe_files import load_recipe
from core.recipes import Recipe
from core.settings import Settings

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "sample-study.yaml"


def sample_study() -> Recipe:
    return load_recipe(RECIPE)


def missing(recipe: Recipe, settings: Settings) -> list[Sample]:
    """The samples a recipe needs that are not in the home yet."""
    labelled = recipe.evaluation.labelled
    references = [recipe.model, recipe.calibration.data, recipe.evaluation.data, labelled.data if labelled else ""]
    references += ["sample:tasks"] if recipe.evaluation.tasks else []
    names = dict.fromkeys(r.removeprefix("sample:").partition("/")[0] for r in references if r.startswith("sample:"))
    wanted = [sample(name) for name in names]
    return [s for s in wanted if not is_fetched(s, settings)]


def start(recipe: Recipe, settings: Settings) -> str:
    """Queues the downloads a recipe needs, then the recipe; returns its run's id. The queue keeps the order."""
    for needed in missing(recipe, settings):
        api.submit_fetch(needed.id, settings)
    return api.submit(recipe, settings)
