"""The protocol of everything that watches the one calibration pass.

The pass (`stream.py`) takes the model's blocks one at a time. For each block it attaches every
observer, shows it all windows batch by batch, then asks for the block's tensors and writes them to
disk, so that no more than one block's statistics are ever in memory.

    for index, block in enumerate(blocks):
        handles = observer.attach(block, index)
        for each batch of windows:
            hidden_out = block(hidden_in, ...)          # the observer's own hooks fire here
            observer.see(hidden_in, hidden_out)
        remove the handles
        tensors = observer.finish()                     # written as "<key>/<name>"

Windows are full (no padding), so every position counts. Statistics accumulate in float32.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Handle(Protocol):
    """What an observer attached and the pass must take off again, such as torch's hook handles."""

    def remove(self) -> None: ...


class Observer(Protocol):
    """One statistic, gathered block by block."""

    @property
    def key(self) -> str:
        """Names the statistic in the statistics folder: letters, digits and underscores, one observer a key."""
        ...

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        """Starts block `index` afresh: forgets the block before and hooks what it needs inside this one."""

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        """One batch of windows went through the block; both `(batch, length, hidden)` in the compute dtype."""

    def finish(self) -> dict[str, Tensor]:
        """The block's tensors, each under a name relative to the block (`mlp.down_proj`, or '' for the block)."""
        ...


class BlockInfluence:
    """1 - the mean over tokens of cos(h_in, h_out): how much a block changes its input.

    Men et al. 2024, ShortGPT, equation 1. Written as one number, ''.
    """

    key = "block_influence"

    def __init__(self) -> None:
        self._sum = 0.0
        self._tokens = 0

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._sum, self._tokens = 0.0, 0
        return []

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        cosine = nn.functional.cosine_similarity(hidden_in.float(), hidden_out.float(), dim=-1)  # (batch, length)
        self._sum += float(cosine.sum(dtype=torch.float64))
        self._tokens += cosine.numel()

    def finish(self) -> dict[str, Tensor]:
        return {"": torch.tensor(1 - self._sum / self._tokens)}
