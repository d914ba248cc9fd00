"""The weighted mix of losses on one micro-batch, and its gradient.

Every term is a sum over the positions that count, divided by how many count in the *whole step*, so
that micro-batches add up to exactly the batch. The head and the losses on its logits run on chunks
of tokens, each with its own backward pass down to the hidden states: no `batch x length x vocabulary`
tensor exists, and nothing is computed twice. One backward pass through the body then does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.engine.distil.batches import IGNORED, Batch
from core.engine.distil.divergences import log_probabilities
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.loss_terms import LossTerm, loss_terms
from core.engine.distil.outputs import Outputs
from core.engine.distil.spans import SpanRows, next_token, span_rows
from core.engine.distil.teacher import LiveTeacher, ReadingTeacher, Rows, Teacher
from core.recipe.distil import Term
from core.registry.losses import Loss


@dataclass(frozen=True)
class Normalisers:
    """How much counts in a whole step: gold targets, compared outputs, compared hidden states."""

    targets: int
    scored: int
    positions: int

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Normalisers:
        batches = list(batches)
        return cls(
            targets=sum(int((b.targets != IGNORED).sum()) for b in batches),
            scored=sum(int(b.scored.sum()) for b in batches),
            positions=sum(int(b.positions.sum()) for b in batches),
        )

    def count(self, loss: Loss) -> int:
        """The denominator of a loss; at least 1, so that a step in which nothing counts costs nothing."""
        kinds = {"labels": self.targets, "states": self.positions, "relations": self.positions}
        return max(1, kinds.get(loss.kind, self.scored))


class Objective:
    """A student, its teacher (None where no term needs one) and the terms between them."""

    def __init__(
        self, student: Outputs, teacher: Teacher | None, parts: Sequence[LossTerm], features: FeatureTerms | None = None
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.parts = list(parts)
        self.features = features
        self._watched = [*parts, *_text_loss(student, parts)]

    def backward(self, batch: Batch, totals: Normalisers, only: str | None = None) -> dict[str, Tensor]:
        """Adds the gradient of the mix on this micro-batch to the student's `.grad`.

        Args:
            totals: of the whole step this micro-batch belongs to.
            only: the name of a single term to use instead of the mix.
        Returns:
            Each term's share of its mean over the step, without its weight.
        """
        wanted = [p for p in self.parts if only in (None, p.name)]
        return self._run(batch.to(self.student.device), totals, wanted, learn=True)

    @torch.no_grad()
    def value(self, batch: Batch, totals: Normalisers) -> dict[str, Tensor]:
        """Each term as `backward` reports it, and always the loss on the text, without learning anything."""
        return self._run(batch.to(self.student.device), totals, self._watched, learn=False)

    @property
    def teacher_model(self) -> nn.Module | None:
        """The teacher itself, where it is a model in memory."""
        return self.teacher.outputs.model if isinstance(self.teacher, LiveTeacher) else None

    def total(self, terms: dict[str, Tensor]) -> float:
        """The weighted sum of the terms."""
        return sum(p.weight * float(terms[p.name]) for p in self.parts if p.name in terms)

    def _run(self, batch: Batch, totals: Normalisers, wanted: Sequence[LossTerm], learn: bool) -> dict[str, Tensor]:
        on_logits = [p for p in wanted if p.loss.group != "feature"]
        chosen = batch.scored | (batch.targets != IGNORED)  # (batch, outputs)
        chosen = chosen if batch.reading is None else chosen | (batch.reading.spans >= 0)
        rows = self._teacher_rows(batch, chosen, any(p.loss.needs_teacher and p.loss.kind != "spans" for p in wanted))
        with self.student.precision():
            with self.features.student if self.features else nullcontext():
                picked = self.student.states(batch)[chosen]  # (batch, outputs, width) to (n, width)
            spans = self._spans(picked.detach(), batch, chosen, [p for p in wanted if p.loss.kind == "spans"])
            sums, gradient = self._through_head(picked, batch, chosen, rows, spans, on_logits, totals, learn)
        roots: list[Tensor] = [] if gradient is None else [picked]
        seeds: list[Tensor | None] = [] if gradient is None else [gradient]
        if self.features is not None:
            found = self.features.losses(wanted, batch)
            sums |= {p.name: found[p.name].detach() / totals.count(p.loss) for p in wanted if p.name in found}
            if found and learn:
                roots.append(self._weighted(wanted, found, totals))
                seeds.append(None)
        if learn and roots:
            torch.autograd.backward(roots, seeds)
        if self.features is not None:
            self.features.clear()
        return sums

    def _teacher_rows(self, batch: Batch, chosen: Tensor, needed: bool) -> Iterable[Rows | None]:
        if needed:
            assert self.teacher is not None
            return self.teacher.rows(batch, chosen, self.student.chunk)
        return [None] * len(_pieces(int(chosen.sum()), self.student.chunk))

    def _spans(self, states: Tensor, batch: Batch, chosen: Tensor, parts: Sequence[LossTerm]) -> SpanRows | None:
        if not parts:
            return None
        assert isinstance(self.teacher, ReadingTeacher) and batch.reading is not None
        gold = batch.ids.roll(-1, 1)[chosen]
        own = next_token(self.student, states, gold)
        likelihoods = self.teacher.span_likelihoods(batch)[chosen]
        return span_rows(parts, own, gold, batch.reading.spans[chosen], likelihoods)

    def _weighted(self, parts: Sequence[LossTerm], sums: dict[str, Tensor], totals: Normalisers) -> Tensor:
        terms = [p.weight / totals.count(p.loss) * sums[p.name] for p in parts if p.name in sums]
        return torch.stack(terms).sum()

    def _through_head(
        self,
        picked: Tensor,
        batch: Batch,
        chosen: Tensor,
        rows: Iterable[Rows | None],
        spans: SpanRows | None,
        parts: Sequence[LossTerm],
        totals: Normalisers,
        learn: bool,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Terms on logits, and the mix's gradient at the chosen states `(n, width)` (None: no such term)."""
        if not parts:
            return {}, None
        size = self.student.chunk
        targets, scored = self.student.gold(batch)[chosen].split(size), batch.scored[chosen].split(size)
        sums = {p.name: torch.zeros((), device=picked.device) for p in parts}
        gradients: list[Tensor] = []
        inputs = zip(picked.detach().split(size), targets, scored, rows, strict=True)
        for n, (states, gold, counts, teacher) in enumerate(inputs):
            logits = self.student.logits(states.requires_grad_(learn))  # (chunk, classes)
            own = None if spans is None else spans[n * size : (n + 1) * size]
            chunk = _Chunk(logits, torch.zeros_like(logits) if learn else None, gold, counts, teacher, own)
            with _exact(logits.device):
                for block in _pieces(len(logits), self.student.block):
                    found = self._on_block(chunk, block, parts, totals)
                    for p in parts:
                        sums[p.name] += found[p.name].detach() / totals.count(p.loss)
                if chunk.logit_grad is not None:
                    logits.backward(chunk.logit_grad)
            if learn:
                gradients.append(states.grad if states.grad is not None else torch.zeros_like(states))
        return sums, torch.cat(gradients) if gradients else None

    def _on_block(
        self, chunk: _Chunk, rows: slice, parts: Sequence[LossTerm], totals: Normalisers
    ) -> dict[str, Tensor]:
        """Sum of each term over some rows of a chunk; their gradient goes into the same rows of its `logit_grad`."""
        own = chunk.logits.detach()[rows].float().requires_grad_(chunk.logit_grad is not None)
        teacher = chunk.teacher[rows] if chunk.teacher is not None else None
        spans = chunk.spans[rows] if chunk.spans is not None else None
        found = chunk_losses(parts, own, chunk.gold[rows], chunk.counts[rows], teacher, spans)
        if chunk.logit_grad is not None:
            self._weighted(parts, found, totals).backward()
            if own.grad is not None:
                chunk.logit_grad[rows] = own.grad
        return found


@dataclass(frozen=True)
class _Chunk:
    """Tokens whose logits are in memory at the same time, `(n, classes)`, and what they are compared with."""

    logits: Tensor
    logit_grad: Tensor | None
    """Where the gradient at the logits is put together; None where nothing is learned."""
    gold: Tensor
    counts: Tensor
    teacher: Rows | None
    spans: SpanRows | None


def _pieces(length: int, size: int) -> list[slice]:
    """All of `length` in parts of `size`; of nothing, one empty part."""
    return [slice(i, i + size) for i in range(0, max(1, length), size)]


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """Losses and backward passes run in the number formats of their tensors."""
    return torch.autocast(device.type, enabled=False)


def _text_loss(student: Outputs, parts: Sequence[LossTerm]) -> list[LossTerm]:
    """The cross-entropy, to be watched where it is not learned from and the model predicts something."""
    if student.task == "encoder" or any(p.loss.kind == "labels" for p in parts):
        return []
    return [replace(loss_terms([Term(loss="cross_entropy")])[0], weight=0.0)]


def chunk_losses(
    parts: Sequence[LossTerm],
    logits: Tensor,
    targets: Tensor,
    scored: Tensor,
    teacher: Rows | None,
    spans: SpanRows | None = None,
) -> dict[str, Tensor]:
    """Sum of each term over one chunk.

    Args:
        logits: `(n, classes)` float32 of the student.
        targets: `(n,)` gold classes or `IGNORED`.
        scored: `(n,)` bool, where distributions are compared.
        spans: what the losses on spans need.
    """
    found: dict[str, Tensor] = {}
    pairs: dict[float, tuple[Tensor, Tensor]] = {}
    for part in parts:
        if part.loss.kind == "labels":
            counted = targets != IGNORED
            found[part.name] = part.function(logits, targets.clamp_min(0))[counted].sum()
            continue
        if part.loss.kind == "spans":
            assert spans is not None
            found[part.name] = spans.each(part.name, logits).sum()
            continue
        assert teacher is not None
        if part.loss.kind == "universal":
            both = (log_probabilities(x[scored]) for x in (logits, teacher.logits))
            found[part.name] = part.function(*both, **part.arguments).sum()
            continue
        if part.loss.kind == "logits":
            each = part.function(teacher.own(logits), teacher.logits, **part.arguments)
        else:
            t = part.temperature
            if t not in pairs:
                pairs[t] = teacher.pair(logits, t)
            each = part.function(*pairs[t], **part.arguments) * t**2
        found[part.name] = each[scored].sum()
    return found
