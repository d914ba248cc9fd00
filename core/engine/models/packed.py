"""Weights that are kept in fewer bits: told apart from ordinary tensors, counted and weighed truthfully.

torchao's tensors say of themselves that they are 32 or 16 bits wide and hide the integers they hold;
the tensors inside are found through PyTorch's own protocol for such subclasses, `__tensor_flatten__`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def is_packed(tensor: Tensor) -> bool:
    """True where `tensor` is made of other tensors (integers and scales)."""
    return hasattr(tensor, "__tensor_flatten__")


def held(tensor: Tensor) -> list[Tensor]:
    """The ordinary tensors that hold the memory of `tensor`; itself where it is one."""
    if not is_packed(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
    return [inner for name in names for inner in held(getattr(tensor, name))]


def unpacked(tensor: Tensor) -> Tensor:
    """The values `tensor` stands for, as an ordinary tensor; itself where it is one."""
    if not is_packed(tensor):
        return tensor.detach()
    values: Tensor = tensor.dequantize()
    return values


def count_nonzero(tensor: Tensor) -> int:
    """Values that are not zero. (The sum of a mask would be computed on a copy of it in 64-bit integers.)"""
    return int(torch.count_nonzero(unpacked(tensor)))


def packed_weights(model: nn.Module) -> list[Tensor]:
    """The packed parameters of a model."""
    return [p for p in model.parameters() if is_packed(p)]


def all_finite(tensor: Tensor) -> bool:
    """Whether every value is a number. Of a packed tensor the scales decide: its integers always are numbers."""
    # A sum is not finite as soon as one entry is not, and needs no mask as large as the tensor.
    return all(
        bool(torch.isfinite(inner.detach().sum(dtype=torch.float32))) or bool(torch.isfinite(inner).all())
        for inner in held(tensor)
    )
