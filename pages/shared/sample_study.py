"""The study anybody can run first, with one click."""

from __future__ import annotations

from pathlib import Path

from core.jobs import api
from core.preflight.samples import missing as missing
from core.recipe_files import load_recipe
from core.recipes import Recipe
from core.settings import Settings

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "sample-study.yaml"


def sample_study() -> Recipe:
    return load_recipe(RECIPE)


def start(recipe: Recipe, settings: Settings) -> str:
    """Queues the downloads a recipe needs, then the recipe; returns its run's id. The queue keeps the order."""
    for needed in missing(recipe, settings):
        api.submit_fetch(needed.id, settings)
    return api.submit(recipe, settings)
