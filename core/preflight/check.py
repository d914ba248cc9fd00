"""Goes through a recipe with the model's files at hand and refuses what cannot work, before any work.

A model that is not here yet is not judged: the worker asks again once it is (`core.engine.pipeline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import Impossible, RetortError
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.checks import read_json
from core.catalogue.classifiers import unjudged
from core.catalogue.export_check import refuse_export, refuse_quantise
from core.catalogue.references import ResolvedModel, resolve
from core.catalogue.vocabulary import untrimmable
from core.preflight import pruning, training
from core.preflight.subject import Subject, subject_of
from core.recipe.recipe import Distil, Export, Measure, Prune, Quantise, Recipe, Select, Step, Trim
from core.registry.families import is_adapted


def refuse_impossible(
    recipe: Recipe, settings: Settings, resolved: ResolvedModel | None = None, coming: Sequence[SensitivitySpec] = ()
) -> None:
    """Refuses a recipe of which something cannot be done, whatever the machine.

    Args:
        resolved: the recipe's model, where it was looked up already.
        coming: sensitivity measurements of this model that are queued or running.

    Raises:
        RetortError: what cannot be done, in which trial or step, and what to do. `Impossible` where nothing but
            another recipe helps.
    """
    _texts(recipe)
    _harness(recipe)
    try:
        start = subject_of(resolved or resolve(recipe.model, settings, None))
    except RetortError:
        return  # what is wrong with the model is said by whoever opens it
    _context(recipe, start.found.shape.context, start.task == "causal")
    _judged(recipe, start)
    if recipe.sweep is not None:
        _sweep(recipe, start, settings, coming)
    else:
        _Walk(recipe, settings, start, coming).go()


def _texts(recipe: Recipe) -> None:
    if recipe.evaluation.tokens < recipe.evaluation.window:
        raise Impossible(
            f"{recipe.evaluation.tokens:,} evaluation tokens do not fill one window of {recipe.evaluation.window:,}.",
            "Ask for more tokens or a shorter window.",
        )


def _harness(recipe: Recipe) -> None:
    if recipe.evaluation.scorer == "lm-eval" and recipe.evaluation.tasks and find_spec("lm_eval") is None:
        raise RetortError(
            "lm-evaluation-harness is not installed.",
            "Install it with 'pip install -r requirements-tasks.txt -c constraints.txt', or leave 'scorer' out.",
        )


def _judged(recipe: Recipe, start: Subject) -> None:
    """A recipe that asks how often a model is right which gives no one class."""
    asked = recipe.evaluation.labelled is not None or any(s.data.form == "labels" for s in recipe.trainings)
    reason = unjudged(read_json(start.folder / "config.json")) if asked else None
    if reason is not None:
        raise Impossible(
            f"How often this model is right cannot be measured: {reason}.",
            "Leave out 'evaluation.labelled' (size and latency are measured all the same), or use a model that gives "
            "each text one class.",
        )


def _context(recipe: Recipe, context: int | None, generates: bool) -> None:
    """Texts longer than the model reads. Nothing a recipe does changes that length."""
    if context is None:
        return
    asked = {"evaluation.window": recipe.evaluation.window}
    if any(p.calibrated for p in _prunes(recipe)):
        asked["calibration.length"] = recipe.calibration.length
    for name, length in asked.items():
        if length > context:
            raise Impossible(
                f"The recipe asks for {length} tokens at a time ({name}), but this model reads at most {context}.",
                f"Set {name} to {context} or less.",
            )
    timed = recipe.sweep is not None or any(isinstance(s, Measure) for s in recipe.steps)
    if recipe.latency is not None and timed:
        tokens = recipe.latency.prompt + (recipe.latency.new_tokens if generates else 0)
        if tokens > context:
            raise Impossible(
                f"Timing needs {tokens} tokens in a row, but this model reads at most {context}.",
                "Choose a shorter prompt or fewer new tokens in the latency settings.",
            )


def _prunes(recipe: Recipe) -> list[Prune]:
    if recipe.sweep is not None:
        return recipe.sweep.trials()
    options = [o for s in recipe.steps if isinstance(s, Select) for o in s.options]
    return [s for s in recipe.steps if isinstance(s, Prune)] + options


def _sweep(recipe: Recipe, start: Subject, settings: Settings, coming: Sequence[SensitivitySpec]) -> None:
    assert recipe.sweep is not None
    if recipe.executor != "local":
        _cluster(recipe)
    if recipe.sweep.budget is not None and not is_adapted(start.found.shape.family):
        raise Impossible(
            f"Shapes for a budget are cut from the model, and Retort does not know how a '{start.found.shape.family}' "
            "model is built.",
            "Leave 'budget' out, or choose another model.",
        )
    trials = recipe.sweep.trials()
    found = [(t, pruning.obstacle(t, start, recipe.dtype, settings, coming)) for t in trials]
    bad = [(t, error) for t, error in found if error is not None]
    if not bad:
        return
    first, error = bad[0]
    said = f"'{first.label()}' cannot be done: {error.cause}"
    if len(bad) > 1:
        others = "; ".join(f"'{t.label()}'" for t, _ in bad[1:4]) + (" and others" if len(bad) > 4 else "")
        said += f" Nor can {others}: {len(bad)} of {len(trials)} candidates."
    raise _again(error, said)


def _cluster(recipe: Recipe) -> None:
    """What a node of a cluster cannot read from what is sent to it."""
    labelled = recipe.evaluation.labelled
    if labelled is not None and not labelled.data.startswith("sample:"):
        raise Impossible(
            f"The labelled texts of {labelled.data} are not sent to a cluster's nodes.",
            "Use a sample: set there, or 'executor: local'.",
        )
    own = [t.data for t in recipe.evaluation.own_tasks if t.data.startswith("path:")]
    if own:
        raise Impossible(
            f"The questions of {one_line(own[0], 200)} are not sent to a cluster's nodes.",
            "Leave 'own_tasks' out there, or use 'executor: local'.",
        )
    if recipe.sweep is not None and recipe.sweep.budget is not None:
        raise Impossible(
            "Shapes for a budget are chosen by times on this machine, and a cluster's nodes may be others.",
            "Use 'executor: local' for a budget.",
        )


@dataclass
class _Walk:
    """A recipe's steps, one after the other: the model each starts from, and how it leaves it."""

    recipe: Recipe
    settings: Settings
    start: Subject
    coming: Sequence[SensitivitySpec]
    current: Subject | None = field(init=False)
    at: Subject | None = field(init=False)
    """What an export writes: the current model, or the baseline that was quantised aside."""
    changed: int = 0
    """Steps so far from which later ones go on."""

    def __post_init__(self) -> None:
        self.current = self.at = self.start

    def go(self) -> None:
        for number, step in enumerate(self.recipe.steps, start=1):
            try:
                self._one(step)
            except RetortError as error:
                name = step.label() if isinstance(step, Prune | Trim | Distil | Quantise | Select) else step.step
                raise _again(error, f"Step {number} ('{name}') cannot be done: {error.cause}") from None

    def _one(self, step: Step) -> None:
        if isinstance(step, Prune):
            self._prune(step)
        elif isinstance(step, Trim):
            self._trim()
        elif isinstance(step, Select):
            self._select(step)
        elif isinstance(step, Distil):
            self._learn(step)
        elif isinstance(step, Quantise):
            self._quantise(step)
        elif isinstance(step, Export) and self.at is not None:
            refuse_export(step.format, self.at.described())

    def _prune(self, step: Prune) -> None:
        self.changed += 1
        if self.current is not None:
            self._refuse(pruning.obstacle(step, self.current, self.recipe.dtype, self.settings, self.coming))
            self.current = self.current.pruned(step)
        self.at = self.current

    def _trim(self) -> None:
        self.changed += 1
        if self.current is not None:
            reason = untrimmable(self.current.folder)
            if reason:
                raise Impossible(
                    f"The vocabulary cannot be trimmed: {reason}.", "Leave the step out, or choose another model."
                )
            self.current = replace(self.current, sized=False, fingerprint="", trimmed=True)
        self.at = self.current

    def _select(self, step: Select) -> None:
        before = self.current
        if before is not None:
            for option in step.options:
                error = pruning.obstacle(option, before, self.recipe.dtype, self.settings, self.coming)
                if error is not None:
                    raise _again(error, f"'{option.label()}': {error.cause}")
            made = [before.pruned(option) for option in step.options]
            surely = all(m.masked for m in made)
            self.current = replace(before, sized=False, fingerprint="", masked=surely)
        self._learn(step.recovery)

    def _learn(self, step: Distil) -> None:
        if step.earlier_step is not None and step.earlier_step > self.changed:
            raise Impossible(
                f"The teacher '{step.teacher}' is no step before this one: {self.changed} changed the model by then.",
                "Name an earlier step that prunes or trains (counted from 1), 'baseline', or a model reference.",
            )
        self.changed += 1
        learner = None
        if self.current is not None:
            learner = training.trained(step, self.start, self.current, self.settings)
        if learner is not None:
            self._refuse(training.obstacle(step, self.start, learner, self.settings))
            learner = training.after(step, learner)
        self.current = self.at = learner

    def _quantise(self, step: Quantise) -> None:
        source = self.start if step.of == "baseline" else self.current
        if source is not None:
            refuse_quantise(source.folder)
            self.at = replace(source, packed=True)
        if step.of == "current":
            self.changed += 1
            self.current = self.at

    @staticmethod
    def _refuse(error: RetortError | None) -> None:
        if error is not None:
            raise error


def _again(error: RetortError, cause: str) -> RetortError:
    """The same refusal with more said about where it belongs."""
    return type(error)(cause, error.remedy)
