"""From scores to masks: exact counts, and ties always go to the lowest index first.

A mask is True where a weight is to be zeroed. Selection by the k-th smallest value is several times
faster than the full sort of the published scripts and gives the mask a stable sort would give.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_SMALL_GROUP = 16


def smallest_per_row(scores: Tensor, k: int) -> Tensor:
    """The `k` smallest of every row.

    Args:
        scores: `(rows, columns)`, no NaN.
        k: 0 to `columns`.

    Returns:
        `(rows, columns)` bool with exactly `k` True in each row.
    """
    columns = scores.shape[1]
    if k <= 0 or k >= columns:
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    kth = _kth_per_row(scores, k)  # (rows, 1)
    mask = scores <= kth
    crowded = (mask.sum(dim=1) > k).nonzero().flatten()  # rows where more weights equal the k-th than fit
    if len(crowded):
        s, t = scores[crowded], kth[crowded]
        below, tied = s < t, s == t
        room = k - below.sum(dim=1, keepdim=True)  # (crowded, 1)
        mask[crowded] = below | (tied & (tied.cumsum(dim=1, dtype=torch.int32) <= room))
    return mask


def smallest_overall(scores: Tensor, k: int) -> Tensor:
    """The `k` smallest of the whole matrix, in reading order where they tie.

    The published magnitude script zeroes everything at or below the threshold instead, which is more
    than asked for where weights tie, as those do that were stored in 4 bits.
    """
    return smallest_per_row(scores.reshape(1, -1), k).reshape(scores.shape)


def smallest_in_groups(scores: Tensor, n: int, m: int) -> Tensor:
    """N:M: all but the `n` largest of each `m` consecutive columns of a row; `columns % m` last ones are never chosen.

    Returns:
        `(rows, columns)` bool.
    """
    rows, columns = scores.shape
    whole = columns - columns % m
    groups = scores[:, :whole].reshape(rows, whole // m, m)
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[:, :whole] = _smallest_of_last(groups, m - n).reshape(rows, whole)
    return mask


def _smallest_of_last(groups: Tensor, k: int) -> Tensor:
    """The `k` smallest along the last of three dimensions."""
    m = groups.shape[-1]
    if m > _SMALL_GROUP:
        return smallest_per_row(groups.reshape(-1, m), k).reshape(groups.shape)
    parts = groups.unbind(dim=-1)  # m x (rows, groups)
    chosen = []
    for j, mine in enumerate(parts):
        rank = torch.zeros_like(mine, dtype=torch.int8)
        for i, other in enumerate(parts):
            if i != j:  # one before me wins a tie
                rank += other <= mine if i < j else other < mine
        chosen.append(rank < k)
    return torch.stack(chosen, dim=-1)


def _kth_per_row(scores: Tensor, k: int) -> Tensor:
    """The k-th smallest value of each row, `(rows, 1)`, k counted from 1."""
    if scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64):
        # numpy's partition is vectorised: 2 to 6 times faster than kthvalue here
        part = np.partition(scores.detach().numpy(), k - 1, axis=1)[:, k - 1 : k]
        return torch.from_numpy(np.ascontiguousarray(part))
    return scores.kthvalue(k, dim=1, keepdim=True).values
