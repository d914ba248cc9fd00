"""What a projection of a smaller model reads, and what its outputs lack of those of the dense model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.engine.prune.least_squares import Moments, token_weights
from core.engine.prune.observers import Handle
from core.engine.prune.stream import BlockStream

_TOLERANCE = 0.05
"""Of a change put into a block: how much of it rounding in bfloat16 may lose."""


class Outputs:
    """What modules of one block gave, (tokens, out) a batch, and how much a token counts, (tokens,) a batch."""

    key = "outputs"

    def __init__(self, sites: list[str]) -> None:
        self.found: dict[str, list[Tensor]] = {site: [] for site in sites}
        self.weights: list[Tensor] = []

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        handles: list[Handle] = []
        for site, found in self.found.items():

            def watch(module: nn.Module, args: Any, out: Tensor, found: list[Tensor] = found) -> None:
                found.append(out.detach().flatten(0, -2))

            handles.append(block.get_submodule(site).register_forward_hook(watch))
        return handles

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        self.weights.append(token_weights(hidden_out))

    def finish(self) -> dict[str, Tensor]:
        return {}


class Lacking:
    """Sums of a projection's inputs and of what it lacks, apart for the batches that are held out.

    Args:
        site: the projection's name in its block.
        targets: (tokens, out) a batch: what it should give or, with `whole_block`, what its block should.
        weights: (tokens,) a batch: how much a token's error counts.
    """

    key = "lacking"

    def __init__(
        self, site: str, targets: list[Tensor], weights: list[Tensor], whole_block: bool, first_held_out: int
    ) -> None:
        self._site, self._targets, self._weights, self._whole_block = site, targets, weights, whole_block
        self._first_held_out = first_held_out
        self._batch = 0
        self._seen: tuple[Tensor, Tensor] | None = None
        self.fitted: Moments
        self.held_out: Moments
        self.squares = 0.0
        """Of what the projection should give, on the held-out tokens."""

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        module = block.get_submodule(self._site)
        inputs, outputs = weight_of(module).shape
        bias = module.bias is not None
        self.fitted = Moments(inputs, outputs, weight_of(module).device, bias)
        self.held_out = Moments(inputs, outputs, weight_of(module).device, bias)

        def watch(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
            self._seen = args[0].detach().flatten(0, -2), out.detach().flatten(0, -2)

        return [module.register_forward_hook(watch)]

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        assert self._seen is not None
        x, given = self._seen  # (tokens, in), (tokens, out)
        now = hidden_out.flatten(0, -2) if self._whole_block else given
        lacking = self._targets[self._batch].float() - now.float()
        weights = self._weights[self._batch]
        held_out = self._batch >= self._first_held_out
        (self.held_out if held_out else self.fitted).add(x, lacking, weights)
        if held_out:
            self.squares += float(((given.float() + lacking) * weights[:, None]).square().sum(dtype=torch.float64))
        self._batch += 1

    def finish(self) -> dict[str, Tensor]:
        return {}


def adds_to_its_block(stream: BlockStream, index: int, site: str) -> bool:
    """Whether what a module of a block writes is added, as it is, to what the block gives.

    Not so where a norm follows (BERT, Gemma 3). Tried on one batch: a change of the module's output must come out
    again. No table of families has to say it.
    """
    module = stream.blocks[index].get_submodule(site)
    before = stream.once(index)
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(before.shape[-1], generator=generator).to(before) * before.float().std().to(before)
    handle = module.register_forward_hook(lambda module, args, out: out + change)
    try:
        came_out = stream.once(index).float() - before.float()
    finally:
        handle.remove()
    return bool((came_out - change.float()).abs().mean() <= _TOLERANCE * change.float().abs().mean())


def weight_of(module: nn.Module) -> Tensor:
    """A view `(in, out)` of the weight of a linear layer, or of GPT-2's Conv1D."""
    stored = module.weight
    assert isinstance(stored, Tensor)
    return stored.detach() if isinstance(module, Conv1D) else stored.detach().T


def apply_change(module: nn.Module, change: Tensor) -> None:
    """Adds `change` `(in, out)`, whose last row is the bias's where the module has one, rounded to its dtype."""
    weight = weight_of(module)
    weight.copy_(weight.double() + change[: len(weight)])
    if isinstance(module.bias, Tensor):
        module.bias.detach().copy_(module.bias.detach().double() + change[-1])
