"""Which units to remove when the others are solved again afterwards: structured OBS, greedy with downdates.

The loss of a unit G of columns, after the others have taken over what they can, is trace(W_G [H^-1]_GG^-1 W_G^T), with
H = X^T X. Once it is gone, W and H^-1 are updated, and all others are scored anew. Hassibi & Stork 1993 (OBS);
Kurtic et al. 2023, ZipLM, algorithm 1; Ling et al. 2024, SlimGPT, for heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.prune.linear_inputs import DAMPING

_ROUNDS = 256
"""Rounds at most in which units go: of many, several at once."""


@dataclass(frozen=True)
class Removal:
    """The projection that reads an axis, and how many of its units shall stay.

    Attributes:
        weight: (out, columns) float32.
        moments: (columns, columns), X^T X over the calibration tokens, up to a factor.
        width: columns of a unit.
        groups: units lie in so many groups of equal size (1 for neurons).
        keep_groups: groups that stay; whole ones go first.
        keep_inside: units that stay in each of them.
    """

    weight: Tensor
    moments: Tensor
    width: int
    groups: int
    keep_groups: int
    keep_inside: int


def removal_scores(wanted: Removal) -> Tensor:
    """(units,): when a unit goes, from 0; units that stay have a score above any sum of those that go."""
    state = _State(wanted.weight, wanted.moments)
    units = wanted.weight.shape[1] // wanted.width
    inside = units // wanted.groups
    scores = torch.full((units,), float(units * units))
    turn = 0
    wide = wanted.width * inside
    groups = list(range(wanted.groups))
    while len(groups) > wanted.keep_groups:
        group = groups[state.least([_columns(g, wide) for g in groups], 1)[0]]
        groups.remove(group)
        state.remove(_columns(group, wide))
        scores[group * inside : (group + 1) * inside] = turn
        turn += 1
    spare = dict.fromkeys(groups, inside - wanted.keep_inside)
    left = [u for u in range(units) if u // inside in spare]
    per_round = max(1, sum(spare.values()) // _ROUNDS)
    while sum(spare.values()):
        open_units = [u for u in left if spare[u // inside]]
        found = state.least([_columns(u, wanted.width) for u in open_units], min(per_round, min(spare.values()) or 1))
        gone = [open_units[i] for i in found]
        state.remove(torch.cat([_columns(u, wanted.width) for u in gone]))
        for unit in gone:
            left.remove(unit)
            spare[unit // inside] -= 1
            scores[unit] = turn
            turn += 1
    return scores


def _columns(unit: int, width: int) -> Tensor:
    return torch.arange(unit * width, (unit + 1) * width)


class _State:
    """W and the inverse of H while units go, in float64."""

    def __init__(self, weight: Tensor, moments: Tensor) -> None:
        h = moments.double()
        diagonal = h.diagonal()
        h = h + torch.diag((diagonal == 0).double())  # columns that never fired
        h = h + torch.eye(len(h), dtype=h.dtype) * DAMPING * h.diagonal().mean()
        self._weight = weight.double()
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))

    def least(self, units: list[Tensor], count: int) -> list[int]:
        """Positions of the `count` units whose removal costs least, the cheapest first."""
        if len(units[0]) == 1:
            columns = torch.cat(units)
            losses = self._weight[:, columns].square().sum(0) / self._inverse.diagonal()[columns]
        else:
            chosen = torch.stack(units)  # (units, width)
            blocks = self._inverse[chosen[:, :, None], chosen[:, None, :]]  # (units, width, width)
            read = self._weight[:, chosen].permute(1, 2, 0)  # (units, width, out)
            losses = (read * torch.linalg.solve(blocks, read)).sum((1, 2))
        return [int(i) for i in torch.sort(losses, stable=True).indices[:count]]

    def remove(self, columns: Tensor) -> None:
        """The others take over; the inverse becomes that of H without these rows and columns."""
        block = self._inverse[columns][:, columns]
        rows = torch.linalg.solve(block, self._inverse[columns])  # (gone, columns)
        self._weight = self._weight - self._weight[:, columns] @ rows
        self._inverse = self._inverse - self._inverse[:, columns] @ rows
        self._weight[:, columns] = 0
        self._inverse[columns, :] = 0
        self._inverse[:, columns] = 0
        self._inverse[columns, columns] = 1
