"""The teacher's side of every comparison, from the model itself or from what was stored of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from core.engine.distil.activation_hooks import ActivationHooks
from core.engine.distil.batches import Batch, Reading
from core.engine.distil.divergences import log_probabilities
from core.engine.distil.outputs import Outputs
from core.engine.distil.spans import next_token
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


class LabellingTeacher:
    """A teacher whose answers to whole texts are known already: log-probabilities `(examples, classes)`."""

    def __init__(self, log_p: Tensor) -> None:
        self._log_p = log_p

    def rows(self, batch: Batch, chosen: Tensor, chunk: int) -> Iterator[Rows]:
        asked = batch.index[chosen.nonzero()[:, 0]].cpu()  # (n,)
        return (LiveRows(self._log_p[part].to(batch.ids.device)) for part in asked.split(chunk))


class ReadingTeacher(LiveTeacher):
    """A causal teacher with a tokenizer of its own: of each batch it reads `batch.reading`.

    Its rows are those behind the same text as the student's; where nothing is compared they mean nothing.
    """

    def __init__(self, outputs: Outputs) -> None:
        super().__init__(outputs)
        self._latest: tuple[Reading, Tensor] | None = None

    def rows(self, batch: Batch, chosen: Tensor, chunk: int) -> Iterator[Rows]:
        reading, states = self._read(batch)
        sequence = chosen.nonzero()[:, 0]  # (n,)
        picked = states[sequence, reading.places[chosen].clamp_min(0)]  # (n, width)
        return (self._logits(part) for part in picked.split(chunk))

    @torch.no_grad()
    def span_likelihoods(self, batch: Batch) -> Tensor:
        """`(batch, outputs)` log-likelihood in nats of the span that begins at each output; not a number elsewhere."""
        reading, states = self._read(batch)
        with self.outputs.precision():
            each = next_token(self.outputs, states[:, :-1].flatten(0, 1), reading.ids[:, 1:].flatten())
        so_far = each.view(len(states), -1).double().cumsum(1)
        so_far = torch.nn.functional.pad(so_far, (1, 0))  # (batch, tokens): of all tokens up to each
        begun, ended = (so_far.gather(1, at.clamp_min(0)) for at in (reading.places, reading.ends))
        return (ended - begun).float().masked_fill(reading.places < 0, float("nan"))

    @torch.no_grad()
    def _read(self, batch: Batch) -> tuple[Reading, Tensor]:
        """What it reads of a batch, and its states `(batch, tokens, width)`; of the same batch computed once."""
        reading = batch.reading
        assert reading is not None
        if self._latest is None or self._latest[0] is not reading:
            self._latest = (reading, self._states(replace(batch, ids=reading.ids, attended=reading.attended)))
        return self._latest
