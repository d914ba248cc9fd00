"""What a model weighs: parameters, zeros, bytes. Three denominators side by side, so that none misleads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.engine.models.matrices import Matrix, prunable
from core.engine.models.packed import count_nonzero, held, packed_weights
from core.errors import RetortError
from core.metrics import Measurement

WEIGHT_FILES = (".safetensors", ".gguf")


def size_measurements(
    model: PreTrainedModel, folder: Path | None = None, matrices: Iterable[Matrix] | None = None
) -> list[Measurement]:
    """Parameters, non-zero ones, sparsity of the pruned matrices and of the whole model, bytes in memory and on disk.

    Args:
        folder: the saved model; without it there is no size on disk.
        matrices: what counts as prunable; by default the linear layers inside the blocks.
    Raises:
        RetortError: `folder` holds no weight file.
    """
    parameters = unique(model.parameters())
    total, nonzero = sum(p.numel() for p in parameters), sum(count_nonzero(p) for p in parameters)
    everything = [inner for t in (*model.parameters(), *model.buffers()) for inner in held(t)]
    memory = sum(t.numel() * t.element_size() for t in unique(everything))
    common: dict[str, Any] = {"device": model.device.type, "dtype": str(model.dtype).removeprefix("torch.")}
    packed = sum(p.numel() for p in packed_weights(model))
    widths = {"int8_parameters": packed} if packed else {}
    found = [
        Measurement(metric="parameters", value=total, unit="", settings={"tied": "counted once"}, **common),
        Measurement(metric="nonzero_parameters", value=nonzero, unit="", **common),
        Measurement(
            metric="sparsity_model",
            value=100.0 * (total - nonzero) / total,
            unit="%",
            settings={"of": "all parameters, tied ones once", "parameters": total},
            **common,
        ),
        Measurement(metric="memory_bytes", value=memory, unit="B", settings=dict(widths), **common),
    ]
    pruned = pruned_sparsity(prunable(model) if matrices is None else matrices)
    if pruned is not None:
        share, weights = pruned
        settings = {"of": "weights of the linear layers inside the blocks", "weights": weights}
        found.append(Measurement(metric="sparsity_pruned", value=100.0 * share, unit="%", settings=settings, **common))
    if folder is not None:
        weight_bytes, all_bytes = disk_bytes(folder)
        settings = {"of": "weight files", "with_tokenizer_and_config": all_bytes, **widths}
        found.append(Measurement(metric="disk_bytes", value=weight_bytes, unit="B", settings=settings, **common))
    return found


def unique(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Tensors that do not share their storage with an earlier one: tied weights come once."""
    seen: set[tuple[torch.device, int, int]] = set()
    kept: list[Tensor] = []
    for tensor in tensors:
        place = (tensor.device, held(tensor)[0].data_ptr(), tensor.numel())
        if tensor.numel() == 0 or place not in seen:
            kept.append(tensor)
        seen.add(place)
    return kept


def pruned_sparsity(matrices: Iterable[Matrix]) -> tuple[float, int] | None:
    """Share of zeros in `matrices` and how many weights they hold; None where there are none."""
    weights = zeros = 0
    for matrix in matrices:
        weights += matrix.numel()
        zeros += matrix.numel() - count_nonzero(matrix.stored)
    return (zeros / weights, weights) if weights else None


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of the weight files in `folder`, and of all its files.

    Raises RetortError where there is no weight file.
    """
    files = [f for f in folder.rglob("*") if f.is_file()]
    weights = [f for f in files if f.suffix in WEIGHT_FILES]
    if not weights:
        raise RetortError(
            f"The folder {folder.name} holds no safetensors or GGUF file.",
            "Save the model again, or choose another folder.",
        )
    return sum(f.stat().st_size for f in weights), sum(f.stat().st_size for f in files)
