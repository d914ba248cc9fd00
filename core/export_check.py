"""Are a recipe's exports and its quantisation possible? Answered before any work. Light: no torch.

Pruning keeps a model's family, its tokenizer and the form of its config, so the model a step starts from
decides; each export is checked again on the model itself once that exists.
"""

from __future__ import annotations

from pathlib import Path

from core.catalogue.checks import read_json
from core.catalogue.references import resolve
from core.errors import RetortError
from core.exports import EXPORTS, describe, quantisable, reason_against
from core.recipes import Distil, Evaluate, Export, Measure, Quantise, Recipe
from core.settings import Settings


def refuse_impossible(recipe: Recipe, folder: Path, settings: Settings) -> None:
    """Goes through a recipe's steps, from the model in `folder`.

    Raises:
        RetortError: a step that cannot be done, and why.
    """
    at, chain, packed = folder, folder, False
    for step in recipe.steps:
        if isinstance(step, Distil):
            at = chain = _student(step, folder, chain, settings)
            packed = False
        elif isinstance(step, Quantise):
            at = folder if step.of == "baseline" else chain
            refuse_quantise(at)
            packed = True
        elif isinstance(step, Export):
            refuse_export(step.format, at, packed)
        elif not isinstance(step, Evaluate | Measure):
            at, packed = chain, False


def refuse_export(format_id: str, folder: Path, packed: bool = False) -> None:
    """Raises RetortError where the model in `folder` cannot be written in a format, with the reason."""
    reason = reason_against(EXPORTS[format_id], describe(folder, packed))
    if reason:
        raise RetortError(
            f"This model cannot be exported as {EXPORTS[format_id].label}: {reason}.",
            "Leave this export step out, or export as another format.",
        )


def refuse_quantise(folder: Path) -> None:
    """Raises RetortError where the weights of the model in `folder` cannot be made int8, with the reason."""
    reason = quantisable(read_json(folder / "config.json"))
    if reason:
        raise RetortError(
            f"The weights of this model cannot be made int8: {reason}.", "Leave the quantise step out for this model."
        )


def _student(step: Distil, baseline: Path, current: Path, settings: Settings) -> Path:
    """The folder of a model built like the one that comes out of a distil step."""
    if step.design is not None:
        here = step.teacher == "baseline" or step.earlier_step is not None
        return baseline if here else resolve(step.teacher, settings).folder
    return current if step.student == "current" else resolve(step.student, settings).folder
