"""Which samples a recipe reads, so that they are fetched first or named as missing."""

from __future__ import annotations

from core.base.settings import Settings
from core.catalogue.samples import is_fetched
from core.recipe.recipe import Distil, Recipe, Select, Trim
from core.registry.sample_types import Sample
from core.registry.samples import sample
from core.registry.tasks import TASK_SETS


def missing(recipe: Recipe, settings: Settings) -> list[Sample]:
    """The samples a recipe needs that are not in the home yet: its models, its texts, its sets of questions.

    Raises:
        RetortError: there is no sample of such a name.
    """
    labelled = recipe.evaluation.labelled
    references = [recipe.model, recipe.calibration.data, recipe.evaluation.data, labelled.data if labelled else ""]
    asked = recipe.evaluation.tasks if recipe.evaluation.scorer == "retort" else ()
    references += ["sample:tasks" for task in asked if not TASK_SETS[task].brought]
    for step in recipe.steps:
        training = step.recovery if isinstance(step, Select) else step
        if isinstance(training, Distil):
            references += [training.data.data, training.teacher, training.student]
        if isinstance(step, Trim):
            references += [texts.data for texts in step.texts]
    names = dict.fromkeys(r.removeprefix("sample:").partition("/")[0] for r in references if r.startswith("sample:"))
    return [s for s in map(sample, names) if not is_fetched(s, settings)]
