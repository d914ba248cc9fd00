"""Distances between the student's and the teacher's output, one number per token (or per example).

Everything is computed in float32 (or float64 where both inputs are). Nothing here averages over
tokens: the caller divides by the number of counted tokens of the whole step. Natural logarithms.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from core.registry.losses import JENSEN_SHANNON


def full_precision(values: Tensor) -> Tensor:
    """At least float32: half-precision sums over a vocabulary lose the small probabilities."""
    return values if values.dtype == torch.float64 else values.float()


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature), `(n, classes)`, in full precision."""
    logits = full_precision(logits)
    return F.log_softmax(logits if temperature == 1 else logits / temperature, dim=-1)


def _kl(p: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row, `(n, classes)` to `(n,)`: summed, never averaged, over the classes."""
    return -(p * (log_q - log_p)).sum(-1)  # this way round, the gradient at log q needs no pass to change its sign


def forward_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of log-probabilities `(n, classes)`; `(n,)` nats."""
    return _kl(teacher.exp(), teacher, student)


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(student || teacher) of log-probabilities `(n, classes)`; `(n,)` nats."""
    return _kl(student.exp(), student, teacher)


def jensen_shannon(student: Tensor, teacher: Tensor, preset: str = "balanced") -> Tensor:
    """Generalised Jensen-Shannon divergence (GKD), rescaled to be continuous at both ends; `(n,)`."""
    return rescaled_jensen_shannon(student, teacher, JENSEN_SHANNON[preset][0])


def rescaled_jensen_shannon(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """(beta KL(T || M) + (1 - beta) KL(S || M)) / (beta (1 - beta)) with M = beta T + (1 - beta) S; `(n,)`.

    The factor is not in the paper: as printed the divergence vanishes at both ends, where the limit
    of this one is KL(T || S) for beta = 0 and KL(S || T) for beta = 1 (Agarwal et al. 2023, eq. 1).
    """
    if beta == 0:
        return forward_kl(student, teacher)
    if beta == 1:
        return reverse_kl(student, teacher)
    mixture = _mix(teacher, student, beta)
    from_teacher = _kl(teacher.exp(), teacher, mixture)
    from_student = _kl(student.exp(), student, mixture)
    return from_teacher / (1 - beta) + from_student / beta


def skewed_kl(student: Tensor, teacher: Tensor, skew: float = 0.1) -> Tensor:
    """KL(T || skew T + (1 - skew) S); `(n,)` (DistiLLM, eq. 4)."""
    return _kl(teacher.exp(), teacher, _mix(teacher, student, skew))


def skewed_reverse_kl(student: Tensor, teacher: Tensor, skew: float = 0.1) -> Tensor:
    """KL(S || skew S + (1 - skew) T); `(n,)` (DistiLLM, eq. 5)."""
    return _kl(student.exp(), student, _mix(student, teacher, skew))


def _mix(first: Tensor, second: Tensor, share: float) -> Tensor:
    """log(share * exp(first) + (1 - share) * exp(second)), without leaving the log domain."""
    if share == 0:
        return second
    return torch.logaddexp(first + math.log(share), second + math.log1p(-share))


def universal_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum of |p_student - p_teacher|, each side sorted by size, of log-probabilities over different vocabularies.

    `(n, classes)` and `(n, other classes)` to `(n,)`; the smaller vocabulary is filled up with zeros (Boizard et al.
    2024, universal logit distillation).
    """
    own, theirs = (x.exp().sort(-1, descending=True).values for x in (student, teacher))
    short = own.shape[-1] - theirs.shape[-1]
    own, theirs = F.pad(own, (0, max(0, -short))), F.pad(theirs, (0, max(0, short)))
    return (own - theirs).abs().sum(-1)


def logit_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the logits, each centred on its own mean; `(n, classes)` to `(n,)`.

    Centring first: adding a constant to all logits changes no probability, so it must cost nothing.
    The mean over the classes is this loss's definition and makes it twice the limit of
    T^2 KL for a large temperature (Hinton et al. 2015, eq. 4).
    """
    difference = full_precision(student) - full_precision(teacher)
    return difference.var(-1, correction=0)


def cross_entropy(student: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(student)[target]; `(n, classes)` and `(n,)` to `(n,)`."""
    return F.cross_entropy(full_precision(student), targets, reduction="none")
