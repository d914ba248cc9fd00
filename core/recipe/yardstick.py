"""What the candidates of one model are measured by: points join one chart only where it is the same."""

from __future__ import annotations

from dataclasses import dataclass

from core.recipe.parts import Calibration, Evaluation, Latency
from core.recipe.recipe import Recipe

_WORDS = {
    "data": "text",
    "split": "part of the text",
    "column": "column",
    "columns": "columns",
    "tokens": "tokens",
    "window": "tokens in each window",
    "start_token": "start token",
    "tasks": "tasks",
    "items": "questions of each task",
    "scorer": "scorer",
    "own_tasks": "own tasks",
    "labelled": "labelled set",
    "prompt": "prompt tokens",
    "new_tokens": "new tokens",
    "repeats": "repeats",
    "sequences": "sequences",
    "length": "tokens in each",
    "seed": "seed",
}
_WITHOUT_EFFECT = ("batch", "warmup")
"""What changes how fast something is measured, not what comes out, as far as it can be told beforehand."""


@dataclass(frozen=True)
class Yardstick:
    """Texts that quality is measured on and statistics are gathered on, and how times are taken (None: not at all)."""

    calibration: Calibration
    evaluation: Evaluation
    latency: Latency | None

    @property
    def words(self) -> str:
        """'8,192 tokens of sample:wiki in windows of 512; times of 64 + 8 tokens'."""
        e, t = self.evaluation, self.latency
        said = [f"{e.tokens:,} tokens of {e.data} in windows of {e.window:,}"]
        if e.tasks:
            said.append(f"{', '.join(e.tasks)} ({'all' if e.items is None else e.items} questions each)")
        if e.own_tasks:
            said.append(f"your questions {', '.join(t.name for t in e.own_tasks)}")
        if e.labelled is not None:
            said.append(f"the labels of {e.labelled.data}")
        said.append("no times" if t is None else f"times of {t.prompt} + {t.new_tokens} tokens, {t.repeats} repeats")
        return "; ".join(said)

    def data(self) -> dict[str, object]:
        """The keys of a recipe that hold it."""
        parts = {"calibration": self.calibration, "evaluation": self.evaluation, "latency": self.latency}
        return {k: None if part is None else part.model_dump(mode="json") for k, part in parts.items()}


def yardstick_of(recipe: Recipe) -> Yardstick:
    """The yardstick of a recipe."""
    return Yardstick(recipe.calibration, recipe.evaluation, recipe.latency)


def differences(mine: Yardstick, other: Yardstick) -> list[str]:
    """What makes figures incomparable, a phrase each: 'evaluation: tokens 8,192 instead of 4,096'.

    Calibration is no part of it: it chooses what to remove, and how good the result is is measured in the same way.
    """
    found = []
    parts = (("evaluation", mine.evaluation, other.evaluation), ("latency", mine.latency, other.latency))
    for name, a, b in parts:
        if a is None or b is None:
            if a is not b:
                found.append(f"{name}: {'not measured' if a is None else 'measured'} now")
            continue
        ours, theirs = a.model_dump(mode="json"), b.model_dump(mode="json")
        if not any(d.get("tasks") or d.get("own_tasks") for d in (ours, theirs)):
            ours, theirs = ({k: v for k, v in d.items() if k not in ("items", "scorer")} for d in (ours, theirs))
        found += [
            f"{name}: {_WORDS.get(key, key)} {_said(ours[key])} instead of {_said(theirs[key])}"
            for key in ours
            if key not in _WITHOUT_EFFECT and ours[key] != theirs.get(key)
        ]
    return found


def _said(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items() if v not in (None, [], {}, ""))
    return "none" if value is None else str(value)
