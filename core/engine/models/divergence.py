"""How far one distribution over the next token is from another, from logits."""

from __future__ import annotations

import torch
from torch import Tensor


def divergence(baseline: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
    """KL(baseline || candidate) in nats and top-1 agreement, from float32 logits (rows, vocabulary)."""
    p, q = baseline.log_softmax(dim=1), candidate.log_softmax(dim=1)
    # Where the baseline gives no probability at all (a logit of -inf) the term is 0, not NaN.
    terms = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))
    return terms.sum(dim=1).clamp_min(0.0), baseline.argmax(dim=1) == candidate.argmax(dim=1)
