"""Distances between what happens inside the student and inside the teacher, one number per token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.base.errors import RetortError
from core.engine.distil.divergences import full_precision


def hidden_mse(student: Tensor, teacher: Tensor, scale: str = "plain") -> Tensor:
    """Mean over the width of the squared difference; `(n, width)` both, to `(n,)`.

    `scale="relative"` divides each token by the teacher's mean square there: some models carry a few
    states a thousand times the rest, and those alone would be learned.
    """
    student, teacher = full_precision(student), full_precision(teacher)
    error = (student - teacher).square().mean(-1)
    if scale == "relative":
        error = error / teacher.square().mean(-1).clamp_min(torch.finfo(error.dtype).tiny)
    return error


def hidden_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher); `(n, width)` both, to `(n,)`."""
    return 1 - F.cosine_similarity(full_precision(student), full_precision(teacher), dim=-1)


def relation_kl(student: Tensor, teacher: Tensor, allowed: Tensor) -> Tensor:
    """Mean over relation heads of KL(teacher's || student's relation) at each position (MiniLMv2, eq. 4-6).

    A relation is softmax(A A^T / sqrt(d)) of queries with queries, keys with keys or values with values.

    Args:
        student: `(batch, heads, length, d)` one projection, split into relation heads.
        teacher: the same with any other d.
        allowed: `(batch, length, length)`, True where position i may see j (causal, and no padding).
    Returns:
        `(batch, length)`; positions that see nothing are 0.
    """
    blind = ~allowed[:, None]  # (batch, 1, length, length)
    log_s, log_t = _log_relation(student, blind), _log_relation(teacher, blind)
    cost = (log_t.exp() * (log_t - log_s)).masked_fill(blind, 0.0)
    return cost.sum(-1).mean(1)


def _log_relation(vectors: Tensor, blind: Tensor) -> Tensor:
    vectors = full_precision(vectors)
    scores = vectors @ vectors.transpose(-1, -2) / vectors.shape[-1] ** 0.5  # (batch, heads, length, length)
    # A finite floor keeps rows without any allowed position free of NaN; their cost is masked anyway.
    return F.log_softmax(scores.masked_fill(blind, torch.finfo(scores.dtype).min), dim=-1)


def relation_heads(vectors: Tensor, heads: int) -> Tensor:
    """`(batch, length, width)` to `(batch, heads, length, width / heads)`."""
    batch, length, width = vectors.shape
    return vectors.view(batch, length, heads, width // heads).transpose(1, 2)


def seen_positions(attended: Tensor, causal: bool) -> Tensor:
    """`(batch, length)` attention mask to `(batch, length, length)`: may position i see position j?"""
    attended = attended.bool()
    allowed = attended[:, None, :] & attended[:, :, None]
    return allowed.tril() if causal else allowed


def layer_map(student_layers: int, teacher_layers: int, original: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Which teacher layer each student layer is compared with: `[(student, teacher), ...]`, counted from 0.

    A student made by pruning uses `original`, the teacher's index of each layer it kept. Any other
    student is spread evenly, last layer on last layer.

    Raises:
        RetortError: `original` does not describe these two models.
    """
    if original is None:
        step = teacher_layers / student_layers
        return [(i, max(0, round((i + 1) * step) - 1)) for i in range(student_layers)]
    rising = all(a < b for a, b in zip(original, original[1:], strict=False))
    if len(original) != student_layers or not rising or original[0] < 0 or original[-1] >= teacher_layers:
        raise RetortError(
            f"The student has {student_layers} layers and the teacher {teacher_layers}, but the student says it kept "
            f"the layers {list(original)}.",
            "Choose the teacher the student was pruned from, or leave out the feature losses.",
        )
    return list(enumerate(original))
