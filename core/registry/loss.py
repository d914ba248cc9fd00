"""The form of a distillation loss.

Contracts of `entry` by `kind`. All return one float per unit (token, or example when classifying):
    distribution  `f(student, teacher, **parameters) -> (n,)` on log-probabilities `(n, classes)`. The caller
                  divides logits by the temperature first and multiplies the result by its square.
    logits        `f(student, teacher, **parameters) -> (n,)` on raw logits `(n, classes)`
    labels        `f(student, targets) -> (n,)` on raw logits `(n, classes)` and gold classes `(n,)`
    universal     as `distribution`, between vocabularies of different tokenizers: `(n, classes)` and `(n, others)`,
                  at places behind the same text
    spans         `f(student, teacher, **parameters) -> (n,)` on the log-likelihoods `(n,)` of spans of text
    states        `f(student, teacher, **parameters) -> (n,)` on hidden states `(n, width)` of equal width
    relations     `f(student, teacher, allowed) -> (batch, length)` on one projection's relation vectors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["distribution", "logits", "universal", "spans", "labels", "states", "relations"]
Group = Literal["logit", "soft", "text", "feature", "task"]
Value = float | str

GROUPS: dict[Group, str] = {
    "soft": "Soft labels",
    "logit": "Logit matching",
    "text": "Across tokenizers",
    "feature": "Features inside the model",
    "task": "The task itself",
}


class Parameter(BaseModel):
    """One number or one choice of a loss. Numbers have `low` and `high`; choices have `choices` (id to label)."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    default: Value
    explain: str
    low: float | None = None
    high: float | None = None
    choices: dict[str, str] = {}

    def refusal(self, value: Value) -> str | None:
        """Why `value` cannot be used, or None where it can."""
        if self.choices:
            known = ", ".join(self.choices)
            return None if value in self.choices else f"'{self.id}' is one of {known}; got '{value}'"
        assert self.low is not None and self.high is not None
        if isinstance(value, str) or not self.low <= value <= self.high:
            return f"'{self.id}' goes from {self.low:g} to {self.high:g}; got {value}"
        return None


class Loss(BaseModel):
    """One way to say how far the student is from what it should learn."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    group: Group
    kind: Kind
    entry: str
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    @property
    def inline(self) -> str:
        """The label inside a sentence: names of people keep their capital."""
        return self.label if self.id == "jensen_shannon" else self.label[0].lower() + self.label[1:]

    @property
    def needs_teacher(self) -> bool:
        return self.kind != "labels"

    @property
    def needs_live_teacher(self) -> bool:
        """True where a stored top-k of the teacher's probabilities is not enough."""
        return self.kind in ("logits", "universal", "spans", "states", "relations")

    @property
    def by_text(self) -> bool:
        """True where teacher and student are compared behind the same text, so that their tokens may differ."""
        return self.kind in ("universal", "spans")

    def settings(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """`given` completed with the defaults. Raises ValueError with a sentence for a wrong name or value."""
        known = {p.id: p for p in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"'{self.id}' has no '{name}'; it takes {', '.join(known) or 'no parameters'}")
            if refusal := known[name].refusal(value):
                raise ValueError(refusal)
        return {p.id: given.get(p.id, p.default) for p in self.parameters}
