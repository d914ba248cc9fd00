"""SparseGPT: zeroes weights column by column and lets the columns to come make up for them."""

from __future__ import annotations

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.engine.prune.linear_inputs import DAMPING
from core.engine.prune.masks import smallest_in_groups, smallest_overall
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import ModuleStatistics
from core.recipe.recipe import n_of_m

BLOCK = 128  # columns whose mask is chosen together, as published


def sparsegpt(
    weight: Tensor, stats: ModuleStatistics, sparsity: float, pattern: str, report: PruneReport, block: int = BLOCK
) -> Tensor:
    """The pruned weight with its remaining entries adjusted. Frantar & Alistarh 2023, algorithm 1.

    With U the upper Cholesky factor of the inverse Hessian, the score of W_ij is (W_ij / U_jj)^2. In each
    block of 128 columns the `int(size * sparsity)` lowest of all rows are zeroed (with N:M, the M - N lowest
    of each group of M columns of a row, chosen when its first column is reached). The error of a column,
    (w - q) / U_jj, is taken off the columns to its right.

    Two differences from the published script, which zeroes one weight more per block, and may revive weights
    that were zero: here the count is exact and zeros stay zero.

    Args:
        weight: `(out, in)` float32, not changed.
        stats: with `cholesky` `(in, in)` and `input_norms` `(in,)`; inputs of norm 0 never fired and go.

    Returns:
        `(out, in)` float32; `weight` itself, bit for bit, at sparsity 0.

    Raises:
        RetortError: no Hessian was gathered.
    """
    if stats.cholesky is None:
        raise RetortError("SparseGPT needs the Hessians of the calibration.", "Run the calibration again with them.")
    groups = n_of_m(pattern) if pattern != "unstructured" else None
    if groups is None and sparsity == 0:
        return weight
    w = weight.t().clone(memory_format=torch.contiguous_format)  # (in, out): a column is a contiguous row here
    keep_zero = w == 0
    dead = stats.input_norms == 0
    w[dead] = 0
    keep_zero[dead] = True
    _say(report, stats)
    u = stats.cholesky
    if groups is not None:
        block = max(groups[1], block - block % groups[1])  # a group of M columns never lies across two blocks
    for start in range(0, len(w), block):
        part = slice(start, min(start + block, len(w)))
        errors = _prune_block(w[part], u[part, part], keep_zero[part], sparsity, groups)  # (columns, out)
        w[part.stop :].addmm_(u[part, part.stop :].t(), errors, alpha=-1)
    return w.t().contiguous()


def _prune_block(w: Tensor, u: Tensor, zeros: Tensor, sparsity: float, groups: tuple[int, int] | None) -> Tensor:
    """Prunes one block `(columns, out)` in place.

    Returns:
        The errors `(columns, out)` to take off the columns after the block.
    """
    errors = torch.zeros_like(w)
    diagonal = u.diagonal()
    mask = zeros.clone()
    if groups is None:
        scores = ((w / diagonal[:, None]) ** 2).masked_fill(zeros, -1.0).t().contiguous()  # (out, columns)
        mask |= smallest_overall(scores, int(scores.numel() * sparsity)).t()
    for j in range(len(w)):
        if groups is not None and j % groups[1] == 0 and j + groups[1] <= len(w):
            these = slice(j, j + groups[1])
            scores = ((w[these] / diagonal[these, None]) ** 2).masked_fill(zeros[these], -1.0)
            mask[these] |= smallest_in_groups(scores.t().contiguous(), *groups).t()
        errors[j] = torch.where(mask[j], w[j], 0) / diagonal[j]
        w[j].masked_fill_(mask[j], 0)
        w[j + 1 :].addr_(u[j, j + 1 :], errors[j], alpha=-1)
    return errors


def _say(report: PruneReport, stats: ModuleStatistics) -> None:
    if stats.damping > DAMPING:
        worst = max(stats.damping, report.facts.get("largest_damping", 0.0))
        report.facts["largest_damping"] = worst
        report.notes = [n for n in report.notes if not n.startswith("The damping")]
        report.note(
            f"The damping of some Hessians was raised, to at most {worst:g} of their mean diagonal instead of "
            f"{DAMPING:g}: their factorisation had failed."
        )
