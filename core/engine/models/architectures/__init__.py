"""Which architectures structured pruning knows, and what it knows about a given model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pkgutil import iter_modules
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.base.functions import load_function
from core.engine.models.architectures.base import Axis, Dim, Family, Run, Segment, Shape, starred
from core.registry.families import pinned, staying
from core.registry.family import PARTS

FAMILIES: dict[str, list[Family]] = {}
"""The layouts of each model type, of which the first that fits a config is meant."""
for _file in iter_modules(__path__):  # each file of this folder but the one that says what a family is
    for _family in load_function(f"{__name__}.{_file.name}:FAMILIES") if _file.name != "base" else ():
        for _model_type in _family.model_types:
            FAMILIES.setdefault(_model_type, []).append(_family)

Sizes = dict[Axis, int]
"""How many units each axis has."""

_STILL_WORKS = "Pruning weights (magnitude, Wanda, SparseGPT) works with it; removing parts does not."


@dataclass(frozen=True)
class Architecture:
    """A family and the sizes of one model of it.

    Attributes:
        head_dim: 0 where nothing is made of heads.
        stays: parts (as recipes name them) that cannot be taken out, each with the reason.
        pinned: layers that have to stay.
        encoder_layers: how many of the layers are the encoder's, of an encoder-decoder.
    """

    family: Family
    layers: int
    sizes: Mapping[Axis, int]
    head_dim: int
    stays: Mapping[str, str]
    pinned: tuple[int, ...] = ()
    encoder_layers: int = 0

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        heads = self.sizes.get("heads", 1)
        return heads // self.sizes.get("kv_heads", heads)

    def segments(self, dim: Dim, sizes: Mapping[Axis, int] | None = None) -> list[Segment]:
        """The rows of a dimension in order, of a model of these sizes (its own where none are given)."""
        sizes = sizes or self.sizes
        found: list[Segment] = []
        for run in dim:
            width = self.rows(run)
            if run.axis == "fixed":
                found.append(Segment("fixed", 0, 1, width))
            elif run.axis == "grouped":
                inside = sizes["heads"] // sizes["kv_heads"]
                for g in range(sizes["kv_heads"]):
                    found.append(Segment("heads", g * inside, inside, width))
                    found += [Segment("kv_heads", g, 1, width)] * 2
            else:
                found.append(Segment(run.axis, 0, sizes[run.axis], width))
        return found

    def length(self, dim: Dim, sizes: Mapping[Axis, int] | None = None) -> int:
        """Rows of a dimension that is not whole."""
        return sum(s.units * s.width for s in self.segments(dim, sizes))

    def rows(self, run: Run) -> int:
        """Rows one unit of the run owns."""
        return run.head_rows * self.head_dim if run.head_rows else 1

    def blocks(self, model: PreTrainedModel) -> list[nn.Module]:
        """All blocks, first to last; of an encoder-decoder the encoder's, then the decoder's."""
        return [block for path in self._stacks for block in base_of(model).get_submodule(path).children()]

    @property
    def _stacks(self) -> tuple[str, ...]:
        family = self.family
        return (family.blocks, family.decoder_blocks) if family.decoder_blocks else (family.blocks,)

    def place(self, model: PreTrainedModel, name: str) -> tuple[int | None, str]:
        """(block index, name inside the block) of a parameter, or (None, name below the base model)."""
        prefix = f"{model.base_model_prefix}."
        short = name.removeprefix(prefix) if base_of(model) is not model else name
        for before, path in zip((0, self.encoder_layers), self._stacks, strict=False):
            if short.startswith(f"{path}."):
                index, inner = short.removeprefix(f"{path}.").split(".", 1)
                return before + int(index), inner
        return None, short

    def full_name(self, model: PreTrainedModel, index: int, inner: str, encoder_layers: int | None = None) -> str:
        """The parameter's name in the whole model: the inverse of `place`.

        Args:
            encoder_layers: of the model that is named, where it has lost some.
        """
        prefix = f"{model.base_model_prefix}." if base_of(model) is not model else ""
        before = self.encoder_layers if encoder_layers is None else encoder_layers
        if self.family.decoder_blocks and index >= before:
            return f"{prefix}{self.family.decoder_blocks}.{index - before}.{inner}"
        return f"{prefix}{self.family.blocks}.{index}.{inner}"

    def layer_counts(self, kept: Sequence[int]) -> dict[str, int]:
        """What the config says of the number of layers, by key, where only those in `kept` are left."""
        if not self.family.decoder_blocks:
            return {self.family.keys["layers"]: len(kept)}
        encoder = sum(layer < self.encoder_layers for layer in kept)
        return {self.family.keys["layers"]: encoder, self.family.keys["decoder_layers"]: len(kept) - encoder}

    def shape(self, model: PreTrainedModel, name: str) -> Shape:
        """Which units own which rows of a parameter; empty where the family is cut by whole layers only.

        Raises:
            RetortError: the family's description does not name it, or its sizes do not fit.
        """
        index, inner = self.place(model, name)
        if self.family.inside is None:
            return ()
        known = self.family.outside if index is None else self.family.inside
        inner = starred(inner)
        if inner not in known:
            raise RetortError(
                f"This {self.family.name} model has a tensor Retort cannot place: '{name}'.", _STILL_WORKS
            )
        return known[inner]

    def check(self, model: PreTrainedModel) -> None:
        """Compares the description with every parameter of the model.

        Raises:
            RetortError: a parameter is unknown or has another shape than its description says.
        """
        for name, parameter in model.named_parameters() if self.family.inside is not None else ():
            shape = self.shape(model, name)
            fits = len(shape) == parameter.ndim and all(
                not dim or self.length(dim) == parameter.shape[d] for d, dim in enumerate(shape)
            )
            if not fits:
                raise RetortError(
                    f"The tensor '{name}' has a shape that the sizes in the model's config do not explain: "
                    f"{tuple(parameter.shape)}.",
                    _STILL_WORKS,
                )


def adapter_for(model: PreTrainedModel | PreTrainedConfig) -> Architecture:
    """What Retort knows about the model's architecture.

    Raises:
        RetortError: the architecture is unknown, or is a variant whose parts cannot be removed.
    """
    config: Any = model if isinstance(model, PreTrainedConfig) else model.config
    layouts = FAMILIES.get(config.model_type, ())
    family = next((f for f in layouts if f.when is None or f.when(config)), None)
    if family is None:
        raise Impossible(
            f"Retort does not know where the layers, heads and neurons of a '{config.model_type}' model are.",
            _STILL_WORKS,
        )
    stays = staying(config.model_type, config.to_dict())
    if set(PARTS) <= set(stays):
        raise Impossible(f"Parts of this {family.name} model cannot be removed: {stays['layers']}.", _STILL_WORKS)
    sizes = _sizes(config, family)
    head_dim = getattr(config, "head_dim", None) or (sizes["hidden"] // sizes["heads"] if "heads" in sizes else 0)
    layers = int(getattr(config, family.keys["layers"]))
    encoder = layers if family.decoder_blocks else 0
    layers += int(getattr(config, family.keys["decoder_layers"])) if encoder else 0
    ends = pinned(config.model_type, encoder)
    found = Architecture(family, layers, sizes, int(head_dim), stays, ends, encoder)
    if isinstance(model, PreTrainedModel):
        found.check(model)
    return found


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its head; itself where it has none."""
    found = model.base_model
    assert isinstance(found, PreTrainedModel)
    return found


def _sizes(config: Any, family: Family) -> Sizes:
    """Units of each axis, from the config."""
    axes: tuple[Axis, ...] = ("hidden", "neurons", "heads", "kv_heads", "experts")
    sizes: Sizes = {axis: getattr(config, family.keys[axis]) for axis in axes if axis in family.keys}
    if "neurons" in sizes and sizes["neurons"] is None:
        sizes["neurons"] = 4 * sizes["hidden"]  # GPT-2 leaves its usual width out of the config
    return {**sizes, **(family.sized(config) if family.sized else {})}
