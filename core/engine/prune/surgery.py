"""Cutting units and layers out of a model: the result is a new model of the same class, built from a new config.

Nothing is patched. The kept rows are gathered, the config gets the new sizes, and transformers builds the
model from both exactly as it will when the saved folder is loaded. The dense model shares no memory with it.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from core.base.errors import RetortError
from core.engine.models.architectures import Architecture, Sizes
from core.engine.models.architectures.base import Axis, Dim
from core.engine.models.packed import packed_weights

logger = logging.getLogger("retort")


@dataclass
class Keep:
    """What stays: layers, and units by axis. What is not named stays whole.

    Attributes:
        layers: original indices, ascending.
        hidden: (channels,) original channel indices, the same in every layer.
        units: axis to one index tensor a kept layer, in the order of `layers`, all of one length.
        bias: axis (`neurons`, `heads`) to one (hidden,) vector a kept layer, added to the output-side bias.
    """

    layers: list[int]
    hidden: Tensor | None = None
    units: dict[Axis, list[Tensor]] = field(default_factory=dict)
    bias: dict[Axis, list[Tensor]] = field(default_factory=dict)

    def indices(self, axis: Axis, position: int | None) -> Tensor | None:
        """Kept units of an axis in the kept layer at `position` (None outside the layers); None keeps all."""
        if axis == "hidden":
            return self.hidden
        return self.units[axis][position] if axis in self.units and position is not None else None

    def sizes(self, architecture: Architecture) -> Sizes:
        """The sizes of the model that stays."""
        sizes: Sizes = dict(architecture.sizes)
        if self.hidden is not None:
            sizes["hidden"] = len(self.hidden)
        for axis, chosen in self.units.items():
            sizes[axis] = len(chosen[0])
        return sizes


def cut(model: PreTrainedModel, architecture: Architecture, keep: Keep) -> PreTrainedModel:
    """The model without what `keep` leaves out, in `eval` mode, on the same device and in the same dtype.

    Raises:
        RetortError: transformers refuses the new sizes, or the weights are packed in fewer bits.
    """
    if packed_weights(model):
        raise RetortError(
            "Parts of a quantised model cannot be removed: its weights are packed.",
            "Prune first and quantise the result.",
        )
    state = dict(model.state_dict())
    config = new_config(model, architecture, keep)
    _add_bias(state, config, model, architecture, keep)
    position = {layer: i for i, layer in enumerate(keep.layers)}
    encoder = sum(layer < architecture.encoder_layers for layer in keep.layers)
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        index, inner = architecture.place(model, name)
        if index is not None and index not in position:
            continue
        at = None if index is None else position[index]
        target = name if at is None else architecture.full_name(model, at, inner, encoder)
        kept[target] = _gather(tensor, architecture, model, name, keep, at)
    return build(model, config, kept)


def new_config(model: PreTrainedModel, architecture: Architecture, keep: Keep) -> Any:
    """A copy of the model's config with the sizes, and the entries of the layers, that stay."""
    config = copy.deepcopy(model.config)
    family = architecture.family
    for key in family.per_layer:
        entries = getattr(config, key, None)
        derived = isinstance(getattr(type(config), key, None), property)
        if isinstance(entries, list) and len(entries) == architecture.layers and not derived:
            setattr(config, key, [entries[i] for i in keep.layers])
    for key, count in architecture.layer_counts(keep.layers).items():
        setattr(config, key, count)
    sizes = keep.sizes(architecture)
    for axis, size in sizes.items():
        setattr(config, family.keys[axis], size)
    if "heads" in sizes and not family.square and sizes["hidden"] != sizes["heads"] * architecture.head_dim:
        config.head_dim = architecture.head_dim  # it no longer follows from the other two
    if family.adjust is not None:
        family.adjust(config, keep.layers)
    return config


def unit_sums(
    model: PreTrainedModel, architecture: Architecture, values: Mapping[str, Tensor], axis: Axis, layer: int
) -> Tensor:
    """Sums a value per weight over the weights each unit of a layer owns.

    Args:
        values: parameter name to a tensor of its shape.

    Returns:
        (units,) float32.
    """
    total = torch.zeros(architecture.sizes[axis])
    for name, value in values.items():
        if architecture.place(model, name)[0] != layer:
            continue
        for d, dim in enumerate(architecture.shape(model, name)):
            segments = architecture.segments(dim)
            if not any(s.axis == axis for s in segments):
                continue
            others = [i for i in range(value.ndim) if i != d]
            rows = value.float().sum(dim=others).cpu() if others else value.float().cpu()  # (rows,)
            start = 0
            for s in segments:
                length = s.units * s.width
                if s.axis == axis:
                    own = rows[start : start + length].view(-1, s.width).sum(1)
                    total[s.first : s.first + s.units] += own
                start += length
    return total


class Counts(NamedTuple):
    """Parameters inside the blocks and outside them, tied ones once."""

    blocks: int
    outside: int

    @property
    def total(self) -> int:
        return self.blocks + self.outside


def count_parameters(model: PreTrainedModel, architecture: Architecture, sizes: Sizes, layers: Sequence[int]) -> Counts:
    """Parameters the model would have with these sizes and layers. Builds nothing."""
    kept = set(layers)
    blocks = outside = 0
    for name, parameter in model.named_parameters():
        index, _ = architecture.place(model, name)
        if index is not None and index not in kept:
            continue
        shape = architecture.shape(model, name)
        count = 1 if shape else parameter.numel()
        for d, dim in enumerate(shape):
            count *= architecture.length(dim, sizes) if dim else parameter.shape[d]
        blocks, outside = (blocks, outside + count) if index is None else (blocks + count, outside)
    return Counts(blocks, outside)


def _rows(dim: Dim, architecture: Architecture, keep: Keep, at: int | None) -> Tensor | None:
    """Indices of the kept rows of a dimension, or None where all stay."""
    parts, start, whole = [], 0, True
    for axis, first, count, width in architecture.segments(dim):
        chosen = keep.indices(axis, at)
        if chosen is None:
            chosen = torch.arange(count)
        else:
            whole = False
            chosen = chosen[(chosen >= first) & (chosen < first + count)] - first
        parts.append((start + chosen[:, None] * width + torch.arange(width)).flatten())
        start += count * width
    return None if whole else torch.cat(parts)


def _gather(
    tensor: Tensor, architecture: Architecture, model: PreTrainedModel, name: str, keep: Keep, at: int | None
) -> Tensor:
    """A copy of the kept rows of a tensor, along each of its dimensions."""
    out = tensor.detach()
    for d, dim in enumerate(architecture.shape(model, name)):
        rows = _rows(dim, architecture, keep, at)
        if rows is not None:
            out = out.index_select(d, rows.to(out.device))
    return out.clone() if out.data_ptr() == tensor.data_ptr() else out


def _add_bias(
    state: dict[str, Tensor], config: Any, model: PreTrainedModel, architecture: Architecture, keep: Keep
) -> None:
    """Adds the bias of `keep` to the output side; where the modules have none, the config allows it first."""
    family = architecture.family
    for axis, vectors in keep.bias.items():
        site = family.neuron_site if axis == "neurons" else family.head_site
        assert site is not None
        optional = family.optional_bias.get(axis)
        for layer, vector in zip(keep.layers, vectors, strict=True):
            name = architecture.full_name(model, layer, f"{site}.bias")
            if name not in state:
                assert optional is not None
                setattr(config, optional.key, True)
                for module in optional.modules:
                    weight = state[architecture.full_name(model, layer, f"{module}.weight")]
                    state[architecture.full_name(model, layer, f"{module}.bias")] = weight.new_zeros(weight.shape[0])
            state[name] = state[name] + vector.to(state[name])


def build(model: PreTrainedModel, config: Any, state: dict[str, Tensor]) -> PreTrainedModel:
    """A model of the same class from a new config and all of its tensors, by name.

    Raises:
        RetortError: transformers refuses the sizes.
    """
    transformers_logging.disable_progress_bar()
    config.architectures = [type(model).__name__]
    try:
        config.validate()  # else a size it refuses would be found out only when the model is saved
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built: Any = type(model).from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=model.dtype,
                output_loading_info=True,
                attn_implementation=model.config._attn_implementation,
            )
    except (ValueError, RuntimeError, StrictDataclassError) as error:
        logger.info("transformers refused the new sizes", exc_info=error)
        raise RetortError(
            f"transformers cannot build this model with the sizes asked for: {' '.join(str(error).split())[:200]}.",
            "Choose other sizes.",
        ) from error
    new, info = built
    if odd := [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]:
        raise RetortError(
            f"transformers builds another kind of model with the sizes asked for: '{odd[0]}' has no counterpart in it.",
            "Choose other sizes.",
        )
    if getattr(model, "generation_config", None) is not None:
        new.generation_config = copy.deepcopy(model.generation_config)
    finished: PreTrainedModel = new.to(model.device).eval()
    return finished
