"""One multiple-choice question as the scorer needs it, and a task as the registry knows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.registry.tasks import TASK_SETS


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


@dataclass(frozen=True)
class Task:
    """A task, and how one of its records becomes an `Item`."""

    id: str
    item: Callable[[Mapping[str, Any]], Item]
    split: str = "validation"

    @property
    def label(self) -> str:
        return TASK_SETS[self.id].label

    @property
    def folder(self) -> str:
        return TASK_SETS[self.id].folder

    @property
    def normalised(self) -> bool:
        """Whether the length-normalised accuracy is the usual one to report."""
        return TASK_SETS[self.id].normalised


def options(context: str, texts: list[str], gold: int) -> Item:
    """The usual item: one context, and each option after a space."""
    return Item(
        contexts=(context,) * len(texts),
        continuations=tuple(f" {t}" for t in texts),
        lengths=tuple(len(t) for t in texts),
        gold=gold,
    )


def load_items(task: Task, root: Path, limit: int | None = None) -> list[Item]:
    """The first `limit` items of `task` (all with None) from the folder of evaluation sets `root`.

    Raises RetortError where the records are missing, cannot be read or are not those of the task.
    """
    folder = root / task.folder / task.split
    if not folder.is_dir():
        raise RetortError(
            f"The items of {task.label} are not on this machine.", "Fetch the sample evaluation sets first."
        )
    from datasets import Dataset, load_from_disk  # takes seconds to import: only where it is needed

    try:
        records = load_from_disk(str(folder))
        assert isinstance(records, Dataset)
        count = len(records) if limit is None else min(limit, len(records))
        items = [task.item(records[i]) for i in range(count)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise RetortError(
            f"The items of {task.label} cannot be read ({type(error).__name__}).",
            "Delete the evaluation sets and fetch them again.",
        ) from error
    if not items:
        raise RetortError(f"{task.label} has no items here.", "Choose another task, or a limit above 0.")
    return items
