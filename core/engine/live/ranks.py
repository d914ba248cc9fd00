"""Masks at any sparsity in one pass over the weights: every weight's place among those it is compared with."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from core.base.functions import load_function
from core.base.progress import Reporter
from core.engine.models.matrices import Matrix
from core.engine.prune.apply import generator_of, mask_of
from core.engine.prune.statistics import Statistics
from core.recipe.recipe import Prune
from core.registry.methods import METHODS

_SHORT = torch.iinfo(torch.int16).max


def scores_of(matrix: Matrix, prune: Prune, statistics: Statistics | None) -> Tensor:
    """(out, in) float32 scores of a dense matrix, zeros first, as `prune.apply.prune_matrix` ranks them."""
    chosen, weight = METHODS[prune.method], matrix.read()  # (out, in)
    stats = statistics.of(matrix) if statistics is not None and chosen.calibrated else None
    scores: Tensor = load_function(chosen.entry)(weight, stats, generator_of(prune, matrix))
    return scores.masked_fill(weight == 0, -1.0)


def ranks_of(matrix: Matrix, prune: Prune, statistics: Statistics | None) -> Tensor:
    """(out, in) integers: how many of its row (or of the matrix, by the method) go before each weight.

    Ties go to the lowest index first, so `rank < k` is the mask that `prune.masks` gives for k.
    """
    scores = scores_of(matrix, prune, statistics)
    rows = scores.reshape(1, -1) if METHODS[prune.method].compare == "matrix" else scores
    order = rows.argsort(dim=1, stable=True)
    places = torch.arange(rows.shape[1], dtype=torch.int16 if rows.shape[1] <= _SHORT else torch.int32)
    ranks = torch.empty(rows.shape, dtype=places.dtype)
    return ranks.scatter_(1, order, places.expand_as(order)).reshape(scores.shape)


def all_ranks(
    matrices: Iterable[Matrix], prune: Prune, statistics: Statistics | None, reporter: Reporter
) -> list[Tensor]:
    """`ranks_of` every matrix, in order."""
    found = []
    for matrix in matrices:
        reporter.checkpoint()
        found.append(ranks_of(matrix, prune, statistics))
    return found


@torch.no_grad()
def mask_in_place(matrix: Matrix, dense: Tensor, ranks: Tensor, prune: Prune, sparsity: float) -> None:
    """Writes the dense weights with the first `sparsity` of them zeroed. `dense` (out, in) as stored."""
    width = ranks.numel() if METHODS[prune.method].compare == "matrix" else ranks.shape[1]
    torch.mul(dense, ranks >= int(width * sparsity), out=matrix.stored)


@torch.no_grad()
def mask_pattern(matrix: Matrix, prune: Prune, statistics: Statistics | None) -> None:
    """An N:M pattern fixes its own sparsity: there is nothing to drag, so nothing is kept for it."""
    scores = scores_of(matrix, prune, statistics)
    matrix.stored.masked_fill_(mask_of(scores, METHODS[prune.method], prune, prune.nominal), 0)
