"""The teacher's side of every comparison, from the model itself or from what was stored of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor

from core.engine.distil.activation_hooks import ActivationHooks
from core.engine.distil.batches import Batch
from core.engine.distil.divergences import log_probabilities
from core.engine.distil.outputs import Outputs
from core.engine.models.shared_tokens import SharedTokens


class Rows(Protocol):
    """The teacher's output at a chunk of tokens."""

    def pair(self, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities of student and teacher over the same outcomes, `(n, outcomes)` both."""
        ...

    def own(self, student: Tensor) -> Tensor:
        """Of the student's logits `(n, classes)` those of the outcomes that are compared."""
        ...

    @property
    def logits(self) -> Tensor:
        """`(n, outcomes)`, beside `own`."""
        ...

    def __getitem__(self, rows: slice) -> Rows:
        """The same, for a slice of its tokens."""
        ...


class Teacher(Protocol):
    """Answers for one micro-batch at a time."""

    def rows(self, batch: Batch, chosen: Tensor, chunk: int) -> Iterator[Rows]:
        """Runs (or reads) the teacher now; yields its output at the `chosen` `(batch, outputs)` places by chunks."""
        ...


class LiveRows:
    """Full logits, `(n, classes)`, as the teacher computed them; with `shared` those of the shared tokens."""

    def __init__(self, logits: Tensor, shared: SharedTokens | None = None) -> None:
        self.logits = logits
        self._shared = shared

    def __getitem__(self, rows: slice) -> LiveRows:
        return LiveRows(self.logits[rows], self._shared)

    def own(self, student: Tensor) -> Tensor:
        return student if self._shared is None else self._shared.of_student(student)

    def pair(self, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return log_probabilities(self.own(student), temperature), log_probabilities(self.logits, temperature)


class LiveTeacher:
    """A model that is asked each time. It never learns: no gradient is recorded on its side.

    `shared` are the tokens it is compared over, where the student predicts others as well.
    """

    def __init__(
        self, outputs: Outputs, hooks: ActivationHooks | None = None, shared: SharedTokens | None = None
    ) -> None:
        outputs.model.requires_grad_(False).eval()
        self.outputs = outputs
        self.hooks = hooks
        self.shared = shared

    @torch.no_grad()
    def _states(self, batch: Batch) -> Tensor:
        with self.outputs.precision(), self.hooks or nullcontext():
            return self.outputs.states(batch)

    def rows(self, batch: Batch, chosen: Tensor, chunk: int) -> Iterator[Rows]:
        states = self._states(batch)[chosen].split(chunk)  # each (chunk, width)
        return (self._logits(part) for part in states)

    @torch.no_grad()
    def _logits(self, states: Tensor) -> LiveRows:
        with self.outputs.precision():
            return LiveRows(self.outputs.logits(states), self.shared)
