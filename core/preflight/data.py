"""Every text and labelled set of a recipe, read before it starts: files, columns and classes of all steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.base.errors import RetortError
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.checks import read_json
from core.catalogue.classifiers import is_classifier
from core.catalogue.data_files import data_files
from core.catalogue.references import resolve
from core.data.classes import classes_of
from core.data.columns import Use, meaning_of
from core.data.labelled import LabelledRows, labelled_rows
from core.data.questions import Questions, left_to_ask, questions_of
from core.data.tables import open_data
from core.recipe.own_tasks import OwnTask
from core.recipe.parts import Columns
from core.recipe.recipe import Distil, Prune, Recipe, Select

_READ_WHOLE = 50_000_000
"""Bytes up to which labelled files are read whole; of larger ones the first rows tell."""
_Stamps = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Source:
    """One place of a recipe that names data: which, what it is read for, and the labels that stand for classes."""

    place: str
    data: str
    use: Use
    columns: Columns
    classes: Mapping[str, str]


def refuse_unusable_data(recipe: Recipe, settings: Settings) -> None:
    """Opens all of a recipe's own files, whichever step reads them. Data of the hub is not asked for.

    Raises:
        RetortError: the place in the recipe, with the file, the columns it has and the delimiter; a label that is no
            class of the model; or a teacher or student that is not there.
    """
    names = _class_names(recipe, settings)
    for source in sources(recipe):
        try:
            names = _usable(source, names, settings)
        except RetortError as error:
            raise type(error)(f"{source.place}: {error.cause}", error.remedy) from None
    for task in recipe.evaluation.own_tasks:
        try:
            _asked(task, recipe.evaluation.items, settings)
        except RetortError as error:
            raise type(error)(f"evaluation.own_tasks, '{task.name}': {error.cause}", error.remedy) from None
    for number, step in _trainings(recipe):
        for field, reference in (("teacher", step.teacher), ("student", step.student)):
            if reference.startswith("path:"):
                try:
                    resolve(reference, settings, None)
                except RetortError as error:
                    raise type(error)(f"Step {number}, {field}: {error.cause}", error.remedy) from None


def sources(recipe: Recipe) -> Iterator[Source]:
    """Everything the recipe reads, training data before what the trained model is judged on."""
    if _calibrated(recipe):
        of = recipe.calibration
        yield Source("calibration", of.data, "text", of.mapping, {})
    yield Source("evaluation", recipe.evaluation.data, "text", recipe.evaluation.mapping, {})
    for number, step in _trainings(recipe):
        yield _training(number, step)
    labelled = recipe.evaluation.labelled
    if labelled is not None:
        yield Source("evaluation.labelled", labelled.data, "labels", labelled.source.columns, labelled.classes)


def _training(number: int, step: Distil) -> Source:
    data = step.data
    use: Use = {"text": "text", "chat": "chat", "labels": "labels"}[data.form]  # type: ignore[assignment]
    if step.labelling is not None and data.mapping.label is None:
        use = "text"  # the teacher labels it
    return Source(f"Step {number}, data", data.data, use, data.mapping, data.classes)


def _trainings(recipe: Recipe) -> Iterator[tuple[int, Distil]]:
    for number, step in enumerate(recipe.steps, 1):
        training = step.recovery if isinstance(step, Select) else step
        if isinstance(training, Distil):
            yield number, training


def _calibrated(recipe: Recipe) -> bool:
    options = [o for s in recipe.steps if isinstance(s, Select) for o in s.options]
    prunes = [s for s in recipe.steps if isinstance(s, Prune)] + options
    prunes += recipe.sweep.trials() if recipe.sweep is not None else []
    return any(p.calibrated for p in prunes)


def _usable(source: Source, names: tuple[str, ...] | None, settings: Settings) -> tuple[str, ...] | None:
    """The classes the model then has. Raises RetortError where the data cannot be read for its use."""
    kind, _, name = source.data.partition(":")
    if kind != "path":
        return names
    stamps = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in data_files(name, settings).files)
    if source.use != "labels" or sum(size for *_, size in stamps) > _READ_WHOLE:
        _columns_of(name, source.columns, source.use, settings, stamps)
        return names
    found = _labels_of(name, source.columns, settings, stamps)
    labels = [label for _, label in found.texts]
    order = None if names else found.order
    known = classes_of(labels, list(names) if names else None, source.classes, order, source.data).names
    if len(known) < 2:
        raise RetortError(
            f"{one_line(source.data, 200)} has fewer than two classes.", "Check which column holds the label."
        )
    return tuple(known)


def _asked(task: OwnTask, items: int | None, settings: Settings) -> None:
    """Raises RetortError where the questions of a file cannot be read, or where none is left beside the examples."""
    kind, _, name = task.data.partition(":")
    if kind == "path":
        stamps = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in data_files(name, settings).files)
        left_to_ask(_questions_of(name, task, settings, stamps), task, items)


@lru_cache(maxsize=16)
def _questions_of(name: str, task: OwnTask, settings: Settings, stamps: _Stamps) -> Questions:
    return questions_of(open_data(name, settings), task)


@lru_cache(maxsize=64)
def _columns_of(name: str, columns: Columns, use: Use, settings: Settings, stamps: _Stamps) -> None:
    """Remembered while the files stay as they are: pages ask at every change of a form."""
    meaning_of(open_data(name, settings), columns, use)


@lru_cache(maxsize=8)
def _labels_of(name: str, columns: Columns, settings: Settings, stamps: _Stamps) -> LabelledRows:
    return labelled_rows(open_data(name, settings), columns)


def _class_names(recipe: Recipe, settings: Settings) -> tuple[str, ...] | None:
    """The classes of the recipe's model; None where it has none, or is not here yet."""
    try:
        config = read_json(resolve(recipe.model, settings, None).folder / "config.json")
    except RetortError:
        return None
    named = config.get("id2label")
    if not is_classifier(config) or not isinstance(named, Mapping):
        return None
    return tuple(str(name) for _, name in sorted(named.items(), key=lambda n: int(n[0]) if n[0].isdecimal() else 0))
