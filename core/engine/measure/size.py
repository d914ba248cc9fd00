"""What a model weighs: parameters, zeros, bytes. Three denominators side by side, so that none misleads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.catalogue.weight_files import weight_files
from core.engine.models.matrices import Matrix, prunable
from core.engine.models.packed import count_nonzero, held, packed_weights
from core.registry.measurement import Measurement


def size_measurements(
    model: PreTrainedModel,
    folder: Path | None = None,
    matrices: Iterable[Matrix] | None = None,
    zeros_before_rounding: int | None = None,
) -> list[Measurement]:
    """Parameters, non-zero ones, sparsity of the pruned matrices and of the whole model, bytes in memory and on disk.

    Args:
        folder: the saved model; without it there is no size on disk.
        matrices: what counts as prunable; by default the linear layers inside the blocks.
        zeros_before_rounding: of packed weights, how many of the prunable ones were zero before: rounding makes zeros
            that nothing pruned, and those are no sparsity. Without it every zero counts.
    Raises:
        RetortError: `folder` holds no weight file.
    """
    parameters = unique(model.parameters())
    total, nonzero = sum(p.numel() for p in parameters), sum(count_nonzero(p) for p in parameters)
    pruned = pruned_zeros(prunable(model) if matrices is None else matrices)
    rounded = 0 if zeros_before_rounding is None or pruned is None else pruned[0] - zeros_before_rounding
    nonzero += rounded
    everything = [inner for t in (*model.parameters(), *model.buffers()) for inner in held(t)]
    memory = sum(t.numel() * t.element_size() for t in unique(everything))
    common: dict[str, Any] = {"device": model.device.type, "dtype": str(model.dtype).removeprefix("torch.")}
    packed = sum(p.numel() for p in packed_weights(model))
    widths = {"int8_parameters": packed} if packed else {}
    left_out = {} if zeros_before_rounding is None else {"zeros_of_rounding_left_out": rounded}
    found = [
        Measurement(metric="parameters", value=total, unit="", settings={"tied": "counted once"}, **common),
        Measurement(metric="nonzero_parameters", value=nonzero, unit="", settings=dict(left_out), **common),
        Measurement(
            metric="sparsity_model",
            value=100.0 * (total - nonzero) / total,
            unit="%",
            settings={"of": "all parameters, tied ones once", "parameters": total, **left_out},
            **common,
        ),
        Measurement(metric="memory_bytes", value=memory, unit="B", settings=dict(widths), **common),
    ]
    if pruned is not None:
        zeros, weights = pruned
        settings = {"of": "weights of the linear layers inside the blocks", "weights": weights, **left_out}
        share = 100.0 * (zeros - rounded) / weights
        found.append(Measurement(metric="sparsity_pruned", value=share, unit="%", settings=settings, **common))
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


def pruned_zeros(matrices: Iterable[Matrix]) -> tuple[int, int] | None:
    """Zeros in `matrices` and how many weights they hold; None where there are none."""
    weights = zeros = 0
    for matrix in matrices:
        weights += matrix.numel()
        zeros += matrix.numel() - count_nonzero(matrix.stored)
    return (zeros, weights) if weights else None


def disk_bytes(folder: Path, endings: tuple[str, ...] = ()) -> tuple[int, int]:
    """Bytes of the weight files in `folder` (what `core.catalogue.anatomy` counts), and of all its files.

    Args:
        endings: of the weight files of an export, in the place of those transformers loads. Of one file, as GGUF has
            it, the tokenizer in it counts.

    Raises:
        RetortError: there is no weight file.
    """
    files = [f for f in folder.rglob("*") if f.is_file()]
    loadable = any(f.suffix == ".safetensors" for f in folder.iterdir())
    weights = weight_files(folder) if loadable else [f for f in files if f.name.endswith(endings)]
    if not weights:
        raise RetortError(
            f"The folder {folder.name} holds no weight file.",
            "Save the model again, or choose another folder.",
        )
    return sum(f.stat().st_size for f in weights), sum(f.stat().st_size for f in files)
