"""The multiple-choice sets Retort scores: names, the accuracy usually reported, and how long an item is. Light.

`entry` names the function that makes an item of a record, imported by the worker only: `f(record) -> Item`
(`core.engine.evaluate.tasks.items`). A new task is one function and one line here; another package adds one by an
entry point of the group `retort.tasks` (docs/extending.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROMPTS = "core.engine.evaluate.tasks.prompts"


@dataclass(frozen=True)
class TaskSet:
    """A set of questions. `item_tokens`: what scoring one item sends through a model, on average, for estimates."""

    id: str
    label: str
    normalised: bool
    """Whether the length-normalised accuracy is the usual one to report."""
    item_tokens: int
    folder: str
    """Where its records lie under the folder of evaluation sets; or a whole path, as a package has that brings them.

    In it lies `SPLIT.jsonl`, a JSON object a line, or a folder `SPLIT` as `datasets` saves one.
    """
    entry: str
    split: str = "validation"

    @property
    def brought(self) -> bool:
        """True where its records come with a package, and not with the sample `tasks`."""
        return Path(self.folder).is_absolute()


TASK_SETS: dict[str, TaskSet] = {
    t.id: t
    for t in (
        TaskSet(
            "hellaswag",
            "HellaSwag",
            normalised=True,
            item_tokens=172,
            folder="hellaswag/none",
            entry=f"{_PROMPTS}:hellaswag",
        ),
        TaskSet(
            "arc_easy", "ARC-easy", normalised=True, item_tokens=113, folder="ai2_arc/ARC-Easy", entry=f"{_PROMPTS}:arc"
        ),
        TaskSet(
            "arc_challenge",
            "ARC-challenge",
            normalised=True,
            item_tokens=152,
            folder="ai2_arc/ARC-Challenge",
            entry=f"{_PROMPTS}:arc",
        ),
        TaskSet("piqa", "PIQA", normalised=True, item_tokens=72, folder="piqa/plain_text", entry=f"{_PROMPTS}:piqa"),
        TaskSet("boolq", "BoolQ", normalised=False, item_tokens=146, folder="boolq/none", entry=f"{_PROMPTS}:boolq"),
        TaskSet("sciq", "SciQ", normalised=True, item_tokens=298, folder="sciq/none", entry=f"{_PROMPTS}:sciq"),
        TaskSet(
            "winogrande",
            "WinoGrande",
            normalised=False,
            item_tokens=44,
            folder="winogrande/winogrande_xl",
            entry=f"{_PROMPTS}:winogrande",
        ),
        TaskSet(
            "openbookqa",
            "OpenBookQA",
            normalised=True,
            item_tokens=45,
            folder="openbookqa/main",
            entry=f"{_PROMPTS}:openbookqa",
        ),
        TaskSet("copa", "COPA", normalised=False, item_tokens=29, folder="super_glue/copa", entry=f"{_PROMPTS}:copa"),
        TaskSet("sst2", "SST-2", normalised=False, item_tokens=37, folder="glue/sst2", entry=f"{_PROMPTS}:sst2"),
    )
}


def accuracy_id(task: str, normalised: bool = False) -> str:
    """The metric of a task's accuracy: 'accuracy:piqa', or 'accuracy_norm:piqa' for the length-normalised one."""
    return f"{'accuracy_norm' if normalised else 'accuracy'}:{task}"


def task_label(task: str) -> str:
    """How a task is called; one that lm-evaluation-harness knows and Retort does not keeps its own name."""
    known = TASK_SETS.get(task)
    return known.label if known else task
