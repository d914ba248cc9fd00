"""Losses on spans of text: how likely the student finds a span, beside how likely its teacher finds it.

A span may be several tokens with either; the log-probabilities of its tokens are summed. The student's tokens of one
span may be worked on in different chunks, so its sum is computed first, and each token then gets the loss's derivative
by that sum: its gradient is exactly that of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.engine.distil.loss_terms import LossTerm
from core.engine.distil.outputs import Outputs
from core.engine.models.chunked_head import losses_of

_SURE = 1e-6  # nats: nothing is taken to be likelier than 1 minus this


def binary_kl(student: Tensor, teacher: Tensor, softening: float = 100.0) -> Tensor:
    """Approximate likelihood matching of log-likelihoods `(spans,)`, nats (Minixhofer et al. 2025, arXiv 2503.20083).

    With p = exp(log-likelihood / softening): softening * KL(Bernoulli(p_teacher) || Bernoulli(p_student)). The factor
    is not in the paper: without it the gradient fades as 1 / softening.
    """
    own, theirs = (x.clamp_max(-_SURE) / softening for x in (student, teacher))
    rest_own, rest_theirs = (torch.log(-torch.expm1(x)) for x in (own, theirs))
    likely = theirs.exp()
    return softening * (likely * (theirs - own) + (1 - likely) * (rest_theirs - rest_own))


@dataclass(frozen=True)
class SpanRows:
    """What the rows of a step give to the losses on spans, all `(n,)`.

    Attributes:
        gold: the token that follows.
        value: by term, the loss of the span that begins there, 0 elsewhere.
        slope: by term, the derivative of the span's loss by the log-probability of that token.
    """

    gold: Tensor
    value: dict[str, Tensor]
    slope: dict[str, Tensor]

    def __getitem__(self, rows: slice) -> SpanRows:
        value, slope = ({name: x[rows] for name, x in found.items()} for found in (self.value, self.slope))
        return SpanRows(self.gold[rows], value, slope)

    def each(self, name: str, logits: Tensor) -> Tensor:
        """The term's share of each row `(n,)`, from the student's logits `(n, classes)`, with its gradient."""
        own = -F.cross_entropy(logits, self.gold, reduction="none")
        return self.value[name] + self.slope[name] * (own - own.detach())


def span_rows(parts: Sequence[LossTerm], own: Tensor, gold: Tensor, spans: Tensor, teacher: Tensor) -> SpanRows:
    """The losses of some spans.

    Args:
        own: `(n,)` the student's log-probability of the token that follows each row.
        spans: `(n,)` below 0 outside of spans; the rows of a span follow each other.
        teacher: `(n,)` the teacher's log-likelihood of the span that begins at a row, not a number elsewhere.
    """
    inside, starts = spans >= 0, ~teacher.isnan()
    number = starts.long().cumsum(0)[inside] - 1  # (rows inside,) which span each belongs to
    total = torch.zeros(int(starts.sum()), device=own.device).index_add(0, number, own[inside])
    value, slope = {}, {}
    for part in parts:
        with torch.enable_grad():
            at = total.detach().requires_grad_()
            each = part.function(at, teacher[starts], **part.arguments)
            (derivative,) = torch.autograd.grad(each.sum(), at)
        value[part.name] = torch.zeros_like(own).masked_scatter(starts, each.detach())
        slope[part.name] = torch.zeros_like(own).masked_scatter(inside, derivative[number])
    return SpanRows(gold, value, slope)


@torch.no_grad()
def next_token(outputs: Outputs, states: Tensor, gold: Tensor) -> Tensor:
    """Log-probabilities in nats of the tokens `gold` `(n,)`, from states `(n, width)`: `(n,)` float32."""
    size = outputs.chunk
    pieces = zip(states.split(size), gold.split(size), strict=True)
    found = [-losses_of(outputs.logits(part).float(), wanted) for part, wanted in pieces]
    return torch.cat(found) if found else torch.zeros(0, device=states.device)
