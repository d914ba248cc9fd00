"""What several training processes must do together: add up gradients, and decide by the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn

_BUCKET_BYTES = 32 << 20  # few large messages cost less than many small ones (Li et al. 2020, PyTorch Distributed)


def sum_gradients(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Replaces every gradient by its sum over all processes. With one process nothing changes.

    Each process's gradient is its share of the mean over the whole step's counted tokens, so the sum is the
    gradient one process would have had. Where nothing reached a parameter here, zeros take part.
    """
    if accelerator.num_processes == 1:
        return
    for bucket in _buckets(parameters):
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat: Tensor = accelerator.reduce(torch.cat([g.reshape(-1) for g in gradients]), "sum")
        for parameter, part in zip(bucket, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = part.view_as(parameter)


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters in order, in groups of one dtype and about `_BUCKET_BYTES`."""
    buckets: list[list[nn.Parameter]] = []
    room, dtype = 0, None
    for parameter in parameters:
        if room <= 0 or parameter.dtype != dtype:
            buckets.append([])
            room, dtype = _BUCKET_BYTES, parameter.dtype
        buckets[-1].append(parameter)
        room -= parameter.numel() * parameter.element_size()
    return buckets


def mean_over_all(values: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """The mean over all processes: what a process decides by must be the same number on each of them."""
    if accelerator.num_processes == 1:
        return values
    own = torch.tensor(list(values.values()), dtype=torch.float64, device=accelerator.device)
    means = (accelerator.reduce(own, "sum") / accelerator.num_processes).tolist()
    return dict(zip(values, means, strict=True))
