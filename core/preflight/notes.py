"""What a recipe that can be done will not tell, said before it starts."""

from __future__ import annotations

from core.recipe.recipe import Evaluate, Recipe, Select
from core.registry.measurement import FEWEST_WINDOWS


def beforehand(recipe: Recipe) -> list[str]:
    """A sentence for each thing that its figures will lack; empty for most recipes."""
    asked = recipe.evaluation
    if recipe.steps and not any(isinstance(s, Evaluate | Select) for s in recipe.steps):
        return [
            "No step measures quality, so the run will end without any figure of it. Add '- step: evaluate' to see "
            "what was lost."
        ]
    if asked.labelled is None and any(t.data.form == "labels" for t in recipe.trainings):
        return [
            "A classifier is trained and 'evaluation.labelled' names no texts to judge it on, so the run will end "
            "without its accuracy. Name some that it does not learn from."
        ]
    windows = asked.tokens // asked.window
    if windows >= FEWEST_WINDOWS or asked.labelled is not None:
        return []
    many = "1 window" if windows == 1 else f"{windows} windows"
    return [
        f"Quality is measured on {many} of {asked.window:,} tokens. Below {FEWEST_WINDOWS} windows a loss has no "
        f"interval and no difference is claimed: ask for at least {FEWEST_WINDOWS * asked.window:,} evaluation tokens, "
        "or for shorter windows."
    ]
