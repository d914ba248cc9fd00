"""Keeping what pruning zeroed at zero while the rest is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.engine.distil.parallel import whole
from core.engine.models.matrices import prunable

_PRUNED = 0.01  # a matrix with a larger share of exact zeros was pruned


class Zeros:
    """The zeros of every pruned matrix of a model, as they are now."""

    def __init__(self, model: nn.Module) -> None:
        self._masks: dict[nn.Parameter, Tensor] = {}
        for matrix in prunable(model):
            parameter: nn.Parameter = getattr(matrix.module, matrix.parameter)
            if parameter in self._masks:
                continue
            kept = parameter.detach() != 0
            if 1 - float(whole(kept.float().mean())) > _PRUNED:
                self._masks[parameter] = kept

    def __bool__(self) -> bool:
        return bool(self._masks)

    @torch.no_grad()
    def restore(self) -> None:
        """Sets them to zero again."""
        for parameter, kept in self._masks.items():
            parameter.mul_(kept)
