"""One multiple-choice question as the scorer needs it, and the questions of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.base import json_io
from core.base.errors import RetortError
from core.base.functions import load_function
from core.registry.tasks import TaskSet


@dataclass(frozen=True)
class Item:
    """A question with its options.

    Option i is the likelihood of `continuations[i]` after `contexts[i]`. `lengths` are the options'
    lengths in characters, without the space that joins them to the context.
    """

    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    lengths: tuple[int, ...]
    gold: int


def options(context: str, texts: list[str], gold: int) -> Item:
    """The usual item: one context, and each option after a space."""
    return Item(
        contexts=(context,) * len(texts),
        continuations=tuple(f" {t}" for t in texts),
        lengths=tuple(len(t) for t in texts),
        gold=gold,
    )


def load_items(task: TaskSet, root: Path, limit: int | None = None) -> list[Item]:
    """The first `limit` items of `task` (all with None) from the folder of evaluation sets `root`.

    Raises RetortError where the records are missing, cannot be read or are not those of the task.
    """
    folder = root / task.folder  # a whole path stays what it is
    lines, saved = folder / f"{task.split}.jsonl", folder / task.split
    if not (lines.is_file() or saved.is_dir()):
        raise RetortError(
            f"The items of {task.label} are not on this machine.",
            "Install the package that brings them anew." if task.brought else "Fetch the sample evaluation sets first.",
        )
    item = load_function(task.entry)
    try:
        records = _lines(lines) if lines.is_file() else _saved(saved)
        items: list[Item] = [item(record) for record in islice(records, limit)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise RetortError(
            f"The items of {task.label} cannot be read ({type(error).__name__}).",
            "Delete the evaluation sets and fetch them again.",
        ) from error
    if not items:
        raise RetortError(f"{task.label} has no items here.", "Choose another task, or a limit above 0.")
    return items


def _lines(path: Path) -> Iterable[Mapping[str, Any]]:
    """One JSON object a line."""
    with path.open("rb") as file:
        for line in filter(bytes.strip, file):
            yield json_io.load(line)


def _saved(folder: Path) -> Iterable[Mapping[str, Any]]:
    """As `datasets` saves a set."""
    from datasets import Dataset, load_from_disk  # takes seconds to import: only where it is needed

    records = load_from_disk(str(folder))
    assert isinstance(records, Dataset)
    yield from records
