"""The study anybody can run first, with one click."""

from __future__ import annotations

from pathlib import Path

from core.base.settings import Settings
from core.jobs import submissions
from core.preflight.samples import missing as missing
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from pages.frame import login

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "sample-study.yaml"


def sample_study() -> Recipe:
    return load_recipe(RECIPE)


def fetch_first(recipe: Recipe, settings: Settings) -> None:
    """Queues the downloads a recipe needs; the queue keeps the order."""
    submissions.fetch_samples(recipe, settings, login.actor())


def start(recipe: Recipe, settings: Settings) -> str:
    """Queues the downloads a recipe needs, then the recipe; returns its run's id."""
    return submissions.submit_with_samples(recipe, settings, login.actor())
