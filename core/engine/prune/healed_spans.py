"""Which layers to remove when healing follows: by the loss of the healed model, not by distances.

Layers go one after another, as in SLEB (Song et al. 2024): those whose run is made up for best on held-out tokens
(`core.engine.prune.folded_runs`) are tried, and the one with the lowest loss goes. The best rows of layers are tried
too, and taken if they are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.prune.depth import DepthContext, mean_loss
from core.engine.prune.folded_runs import FoldedRuns, search_windows
from core.engine.prune.prefix import Prefix

_TRIED = 8
"""Layers whose loss is measured before one goes."""
_ROWS = 4
"""Rows of layers whose loss is measured."""
_BATCH = 2


def healed_loss(context: DepthContext) -> list[int]:
    """The layers whose absence costs least once the model is healed, then the others.

    Raises:
        RetortError: no calibration text, or a model that does not predict the next token.
    """
    fitted, judged = search_windows(context, "healed_loss", "Choosing layers by the healed loss")
    with torch.no_grad():
        gone = _Search(context, FoldedRuns(context, fitted), judged).run() if context.count else []
    return gone + [i for i in context.removable if i not in gone]


@dataclass
class _Search:
    context: DepthContext
    folded: FoldedRuns
    judged: Tensor

    def run(self) -> list[int]:
        tried, prefix = 0, Prefix(self.context.model)
        with prefix.recording():
            self._mean_loss()
        gone: list[int] = []
        best = float("inf")
        for _ in range(self.context.count):
            left = [i for i in self.context.removable if i not in gone]
            near = sorted(left, key=lambda i: (self.folded.lacking([*gone, i]), i))[:_TRIED]
            losses = {}
            for layer in near:
                tried += 1
                losses[layer] = self._loss([*gone, layer], prefix, tried)
            gone.append(min(near, key=lambda i: losses[i]))
            best = losses[gone[-1]]
        for row in self.folded.rows()[:_ROWS] if self.context.count > 1 else []:
            tried += 1
            if (loss := self._loss(row, prefix, tried)) < best:
                gone, best = row, loss
        self.context.notes.append(
            f"The healed loss of {tried} choices of layers was measured on {len(self.judged)} calibration windows."
        )
        return gone

    def _loss(self, gone: Sequence[int], prefix: Prefix, tried: int) -> float:
        total = self.context.count * min(_TRIED, len(self.context.removable)) + _ROWS
        self.context.reporter.checkpoint()
        self.context.reporter.progress(min(tried, total), total, "Measuring the healed loss without each layer.")
        with self.folded.without(gone, prefix):
            return self._mean_loss()

    def _mean_loss(self) -> float:
        parts = self.judged.split(_BATCH)
        return sum(mean_loss(self.context.model, p) * len(p) for p in parts) / len(self.judged)
