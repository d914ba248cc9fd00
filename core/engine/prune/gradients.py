"""First-order importance: |w * dL/dw|, with L the mean loss over the calibration windows."""

from __future__ import annotations

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from core.base import memory
from core.base.durable_files import replacing
from core.base.errors import Impossible, RetortError
from core.base.integrity import seal, whole
from core.base.progress import Reporter
from core.engine.models.architectures import Architecture
from core.engine.models.architectures.base import Axis
from core.engine.models.load import task_of
from core.engine.prune.statistics import Statistics
from core.engine.prune.surgery import unit_sums

_FILE = "taylor.safetensors"
_AXES: tuple[Axis, ...] = ("neurons", "heads", "kv_heads", "hidden", "experts")


def taylor_sums(
    model: PreTrainedModel,
    architecture: Architecture,
    windows: Tensor | None,
    statistics: Statistics | None,
    reporter: Reporter,
) -> dict[str, Tensor]:
    """Sums of |w * dL/dw| over what each block and each unit owns. Molchanov et al. 2019, eq. 8, summed per weight.

    Computed once: kept beside the other statistics of the same calibration.

    Args:
        windows: (sequences, length) tokens; L is the mean over all their predictions.

    Returns:
        `blocks` (layers,) and, for each axis, `AXIS/LAYER` (units,), float32.

    Raises:
        RetortError: no calibration text, not a causal model, or too little memory for the gradients.
    """
    cache = statistics.folder / _FILE if statistics is not None else None
    if cache is not None and whole(cache, "sums of gradients"):
        return load_file(cache)
    if windows is None:
        raise RetortError("Importance by gradients needs calibration text.", "Choose a calibration text.")
    products = {name: (p.detach().float() * g).abs() for (name, p), g in _gradients(model, windows, reporter)}
    sums = {"blocks": torch.zeros(architecture.layers)}
    for name, product in products.items():
        index, _ = architecture.place(model, name)
        if index is not None:
            sums["blocks"][index] += product.sum().cpu()
    for axis in _AXES:
        if axis in architecture.sizes:
            for layer in range(architecture.layers):
                sums[f"{axis}/{layer}"] = unit_sums(model, architecture, products, axis, layer)
    if cache is not None:
        with replacing(cache) as temporary:
            save_file(sums, temporary)
        seal(cache)
    return sums


def _gradients(
    model: PreTrainedModel, windows: Tensor, reporter: Reporter
) -> list[tuple[tuple[str, torch.nn.Parameter], Tensor]]:
    """dL/dw of every parameter, accumulated in float32 whatever the model computes in."""
    parameters = list(model.named_parameters())
    _refuse_without_memory(sum(p.numel() for _, p in parameters))
    refuse_unless_causal(model, "Importance by gradients")
    before = [p.requires_grad for _, p in parameters]
    sums = [torch.zeros_like(p, dtype=torch.float32) for _, p in parameters]
    try:
        for _, p in parameters:
            p.requires_grad_(True)
        for i, window in enumerate(windows.to(model.device).split(1)):
            reporter.checkpoint()
            reporter.progress(i, len(windows), "Computing gradients on the calibration text.")
            with torch.enable_grad():
                loss = model(window, labels=window, use_cache=False).loss
                loss.backward()
            for total, (_, p) in zip(sums, parameters, strict=True):
                if p.grad is not None:
                    total += p.grad.float() / len(windows)
                    p.grad = None
    finally:
        for (_, p), needed in zip(parameters, before, strict=True):
            p.grad = None
            p.requires_grad_(needed)
    return list(zip(parameters, sums, strict=True))


def refuse_unless_causal(model: PreTrainedModel, what: str) -> None:
    """Raises a RetortError where the model has no next-token loss."""
    if task_of({"architectures": [type(model).__name__]}) != "causal":
        raise Impossible(
            f"{what} needs a model that predicts the next token.",
            "Choose a method that looks at activations, such as block influence.",
        )


def _refuse_without_memory(count: int) -> None:
    needed, free = count * 12, memory.available()
    if needed > free:
        raise RetortError(
            f"The gradients take about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB is free.",
            "Choose a method that looks at activations, such as block influence.",
        )
