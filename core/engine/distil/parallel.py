"""What several training processes must do together: add up gradients, hold parts of the weights, decide alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from core.engine.models.matrices import find_blocks

_T = TypeVar("_T")
_BUCKET_BYTES = 32 << 20  # few large messages cost less than many small ones (Li et al. 2020, PyTorch Distributed)


def shard_blocks(model: nn.Module, accelerator: Accelerator) -> None:
    """Each process keeps its part of every block: weights, gradients, optimiser state (FSDP, Zhao et al. 2023).

    A block's whole weights exist while it computes. What stands outside the blocks stays whole on every process.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in find_blocks(model):
        # True: a block that nothing stands above would otherwise stay whole after it computed.
        part: Any = fully_shard(block, mesh=mesh, reshard_after_forward=True)
        # Each process's gradient is its share of the step's already, so they are added, not averaged.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)


def sum_gradients(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Replaces every gradient by its sum over all processes. With one process nothing changes.

    Each process's gradient is its share of the mean over the whole step's counted tokens, so the sum is the
    gradient one process would have had. Where nothing reached a parameter here, zeros take part. Parts of
    sharded weights have their sum already.
    """
    if accelerator.num_processes == 1:
        return
    for bucket in _buckets([p for p in parameters if not isinstance(p, DTensor)]):
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


def gradient_norm(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> float:
    """L2 norm of all gradients together, those of sharded weights on every process."""
    whole = [p.grad for p in parameters if p.grad is not None and not isinstance(p.grad, DTensor)]
    parts = [p.grad.to_local() for p in parameters if isinstance(p.grad, DTensor)]
    squared = _squares(whole)
    if any(isinstance(p, DTensor) for p in parameters):
        squared = squared + accelerator.reduce(_squares(parts).to(accelerator.device), "sum")
    return float(squared.sqrt())


def _squares(gradients: Sequence[Tensor]) -> Tensor:
    squares = [g.float().square().sum() for g in gradients]
    return torch.stack(squares).sum() if squares else torch.zeros(())


def clip(parameters: Sequence[nn.Parameter], most: float, accelerator: Accelerator) -> float:
    """Shortens the gradient to the norm `most` where it is longer; returns the norm it had."""
    if not any(isinstance(p, DTensor) for p in parameters):
        return float(nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], most))
    norm = gradient_norm(parameters, accelerator)
    for gradient in (p.grad for p in parameters if p.grad is not None):
        gradient.mul_(min(1.0, most / (norm + 1e-6)))
    return norm


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together (every process must ask); any other as it is."""
    found: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return found


def gathered(tensors: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """`whole` of each, one after the other; only the first process keeps them."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if accelerator.is_main_process:
            found[name] = full
    return found


def like(tensor: Tensor, parameter: nn.Parameter) -> Tensor:
    """A whole tensor, cut as `parameter` is (every process must ask); of another shape or not sharded: moved."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


def shared(value: _T, accelerator: Accelerator) -> _T:
    """The first process's value, on every process: only it has the folder, since the others may be other machines."""
    if accelerator.num_processes == 1:
        return value
    found: _T = broadcast_object_list([value], 0)[0]
    return found


def mean_over_all(values: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """The mean over all processes: what a process decides by must be the same number on each of them."""
    if accelerator.num_processes == 1:
        return values
    own = torch.tensor(list(values.values()), dtype=torch.float64, device=accelerator.device)
    means = (accelerator.reduce(own, "sum") / accelerator.num_processes).tolist()
    return dict(zip(values, means, strict=True))
