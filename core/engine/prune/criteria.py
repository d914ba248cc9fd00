"""Scores of weights: the lowest go first. A new one is a function here and a line in `core.registry.methods`."""

from __future__ import annotations

import torch
from torch import Tensor

from core.engine.prune.statistics import ModuleStatistics


def magnitude(weight: Tensor, stats: ModuleStatistics | None, generator: torch.Generator) -> Tensor:
    """|W_ij|. Han et al. 2015, Learning both weights and connections.

    Args:
        weight: `(out, in)` float32.
    """
    return weight.abs()


def wanda(weight: Tensor, stats: ModuleStatistics | None, generator: torch.Generator) -> Tensor:
    """|W_ij| * ||X_j||. Sun et al. 2023, equation 1.

    Args:
        weight: `(out, in)` float32.
        stats: `input_norms` `(in,)`. A matrix that saw no token (an expert never chosen) falls back to |W|,
            since all its scores would be 0.
    """
    if stats is None or stats.tokens == 0:
        return weight.abs()
    return weight.abs() * stats.input_norms


def random(weight: Tensor, stats: ModuleStatistics | None, generator: torch.Generator) -> Tensor:
    """Uniform noise: the control every criterion has to beat."""
    return torch.rand(weight.shape, generator=generator)
