"""The multiple-choice sets Retort scores: names, the accuracy usually reported, and how long an item is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskSet:
    """A set of questions. `item_tokens`: what scoring one item sends through a model, on average, for estimates."""

    id: str
    label: str
    normalised: bool
    """Whether the length-normalised accuracy is the usual one to report."""
    item_tokens: int
    folder: str
    """Where its records lie under the folder of evaluation sets."""


TASK_SETS: dict[str, TaskSet] = {
    t.id: t
    for t in (
        TaskSet("hellaswag", "HellaSwag", normalised=True, item_tokens=172, folder="hellaswag/none"),
        TaskSet("arc_easy", "ARC-easy", normalised=True, item_tokens=113, folder="ai2_arc/ARC-Easy"),
        TaskSet("arc_challenge", "ARC-challenge", normalised=True, item_tokens=152, folder="ai2_arc/ARC-Challenge"),
        TaskSet("piqa", "PIQA", normalised=True, item_tokens=72, folder="piqa/plain_text"),
        TaskSet("boolq", "BoolQ", normalised=False, item_tokens=146, folder="boolq/none"),
        TaskSet("sciq", "SciQ", normalised=True, item_tokens=298, folder="sciq/none"),
        TaskSet("winogrande", "WinoGrande", normalised=False, item_tokens=44, folder="winogrande/winogrande_xl"),
        TaskSet("openbookqa", "OpenBookQA", normalised=True, item_tokens=45, folder="openbookqa/main"),
        TaskSet("copa", "COPA", normalised=False, item_tokens=29, folder="super_glue/copa"),
        TaskSet("sst2", "SST-2", normalised=False, item_tokens=37, folder="glue/sst2"),
    )
}


def accuracy_id(task: str, normalised: bool = False) -> str:
    """The metric of a task's accuracy: 'accuracy:piqa', or 'accuracy_norm:piqa' for the length-normalised one."""
    return f"{'accuracy_norm' if normalised else 'accuracy'}:{task}"


def task_label(task: str) -> str:
    """How a task is called; one that lm-evaluation-harness knows and Retort does not keeps its own name."""
    known = TASK_SETS.get(task)
    return known.label if known else task
