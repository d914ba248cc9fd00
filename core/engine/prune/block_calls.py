"""How a model calls one of its blocks: with hidden states, and with what else it gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from core.base.errors import RetortError


@dataclass
class Call:
    """What a block is called with besides its hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str | None  # the keyword the hidden states go under, or None for the first positional argument

    def run(self, block: nn.Module, hidden: Tensor) -> Tensor:
        if self.key is not None:
            return first_tensor(block(*self.args, **{**self.kwargs, self.key: hidden}))
        return first_tensor(block(hidden, *self.args, **self.kwargs))


def split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Tensor]:
    """The call without its hidden states, and the hidden states."""
    kwargs = {k: None if isinstance(v, Cache) else v for k, v in kwargs.items()}
    if args:
        return Call(args[1:], kwargs, None), args[0]
    hidden = kwargs.pop("hidden_states", None)
    if not isinstance(hidden, Tensor):
        raise RetortError(
            "The layers of this model do not take hidden states as their first argument.",
            "Use a method that needs no calibration, such as magnitude, or another model.",
        )
    return Call((), kwargs, "hidden_states"), hidden


def first_tensor(output: Any) -> Tensor:
    """The hidden states in what a block returns."""
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def same_values(a: Any, b: Any) -> bool:
    """Equal in value, tensors included."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same_values(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_values(a[k], b[k]) for k in a)
    return a is b or (type(a) is type(b) and bool(a == b))


def shared(new: Any, old: Any) -> Any:
    """`old` where both are equal, so that the copy can be freed."""
    return old if same_values(new, old) else new
