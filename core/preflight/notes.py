"""What a recipe that can be done will not tell, said before it starts."""

from __future__ import annotations

from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.checks import read_json
from core.catalogue.classifiers import unjudged
from core.catalogue.references import resolve
from core.preflight.subject import subject_of
from core.recipe.recipe import Evaluate, Recipe, Select
from core.registry.measurement import FEWEST_WINDOWS

_ONLY_COSTS = "so the run will end without any figure of quality: only sizes and times are measured."


def beforehand(recipe: Recipe, settings: Settings) -> list[str]:
    """A sentence for each thing that its figures will lack; empty for most recipes.

    A model that is not on this machine yet is not judged.
    """
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
    unknown = _no_quality(recipe, settings)
    if unknown:
        return [unknown]
    windows = asked.tokens // asked.window
    if windows >= FEWEST_WINDOWS or asked.labelled is not None:
        return []
    many = "1 window" if windows == 1 else f"{windows} windows"
    return [
        f"Quality is measured on {many} of {asked.window:,} tokens. Below {FEWEST_WINDOWS} windows a loss has no "
        f"interval and no difference is claimed: ask for at least {FEWEST_WINDOWS * asked.window:,} evaluation tokens, "
        "or for shorter windows."
    ]


def _no_quality(recipe: Recipe, settings: Settings) -> str:
    """Why no quality of this model can be measured, with a way out; '' where some can, or it becomes another model."""
    if any(t.data.form == "labels" or t.student != "current" for t in recipe.trainings):
        return ""
    try:
        start = subject_of(resolve(recipe.model, settings, None))
        reason = unjudged(read_json(start.folder / "config.json"))
    except RetortError:
        return ""
    if reason is not None:
        return f"{reason[:1].upper()}{reason[1:]}, {_ONLY_COSTS}"
    if start.task == "encoder":
        return (
            f"This model has no head: it neither predicts words nor tells classes apart, {_ONLY_COSTS} To see what is "
            "lost, train it first on labelled texts (a step 'finetune') and name others in 'evaluation.labelled'."
        )
    if start.task == "classification" and recipe.evaluation.labelled is None:
        return (
            f"This model tells classes apart, and no labelled texts are named to judge it on, {_ONLY_COSTS} Name some "
            "in 'evaluation.labelled', or under Labelled texts on the Sweep page."
        )
    return ""
