"""Which tokens of the evaluation text a model has to predict, and where its answers stand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.engine.models.source_target import counted, halves


@dataclass(frozen=True)
class Questions:
    """What a model is asked on every window.

    Attributes:
        ids: what it reads, (windows, window).
        targets: the tokens it has to predict, (windows, predicted).
        places: the positions whose output predicts them, (windows, predicted); None: all positions but the last.
        counted: which of the targets are text and no padding, (windows, predicted); None: all.
        targets_apart: the ids are source and target, and every output predicts a token of the target.
    """

    ids: Tensor
    targets: Tensor
    places: Tensor | None = None
    counted: Tensor | None = None
    targets_apart: bool = False

    def answers(self, features: Tensor, part: slice) -> Tensor:
        """Of features (batch, window, width) of the windows `part` those that predict: (batch * predicted, width)."""
        if self.targets_apart:
            return features.flatten(0, 1)
        if self.places is None:
            return features[:, :-1].flatten(0, 1)
        where = self.places[part].to(features.device)[..., None]
        return features.take_along_dim(where, dim=1).flatten(0, 1)

    def same(self, other: Questions) -> bool:
        """Whether the same is asked: figures of different questions are not compared."""
        mine, others = (self.ids, self.targets), (other.ids, other.targets)
        return all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))


def left_to_right(windows: Tensor) -> Questions:
    """Every token of windows (n, window) but the first, predicted from those before it."""
    return Questions(windows, windows[:, 1:])


def source_to_target(model: PreTrainedModel, windows: Tensor) -> Questions:
    """Every token of the target of windows (n, window), predicted from the source and the target's tokens before it."""
    return Questions(windows, halves(windows)[1], counted=counted(model, windows), targets_apart=True)
