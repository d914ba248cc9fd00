"""Which architectures structured pruning knows, and what it knows about a given model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import iter_modules
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.base.functions import load_function
from core.engine.models.architectures.base import Axis, Family, Run, Shape

FAMILIES: dict[str, Family] = {
    model_type: family
    for file in iter_modules(__path__)  # each file of this folder but the one that says what a family is
    if file.name != "base"
    for family in load_function(f"{__name__}.{file.name}:FAMILIES")
    for model_type in family.model_types
}

Sizes = dict[Axis, int]
"""How many units each axis has."""

_STILL_WORKS = "Pruning weights (magnitude, Wanda, SparseGPT) works with it; removing parts does not."


@dataclass(frozen=True)
class Architecture:
    """A family and the sizes of one model of it."""

    family: Family
    layers: int
    sizes: Mapping[Axis, int]
    head_dim: int

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.sizes["heads"] // self.sizes.get("kv_heads", self.sizes["heads"])

    def rows(self, run: Run) -> int:
        """Rows one unit of the run owns."""
        return run.head_rows * self.head_dim if run.head_rows else 1

    def blocks(self, model: PreTrainedModel) -> nn.ModuleList:
        """The stack of blocks, first to last."""
        found = base_of(model).get_submodule(self.family.blocks)
        assert isinstance(found, nn.ModuleList)
        return found

    def place(self, model: PreTrainedModel, name: str) -> tuple[int | None, str]:
        """(block index, name inside the block) of a parameter, or (None, name below the base model)."""
        prefix = f"{model.base_model_prefix}."
        short = name.removeprefix(prefix) if base_of(model) is not model else name
        if short.startswith(f"{self.family.blocks}."):
            index, inner = short.removeprefix(f"{self.family.blocks}.").split(".", 1)
            return int(index), inner
        return None, short

    def full_name(self, model: PreTrainedModel, index: int, inner: str) -> str:
        """The parameter's name in the whole model: the inverse of `place`."""
        prefix = f"{model.base_model_prefix}." if base_of(model) is not model else ""
        return f"{prefix}{self.family.blocks}.{index}.{inner}"

    def shape(self, model: PreTrainedModel, name: str) -> Shape:
        """Which units own which rows of a parameter.

        Raises:
            RetortError: the family's description does not name it, or its sizes do not fit.
        """
        index, inner = self.place(model, name)
        known = self.family.outside if index is None else self.family.inside
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
        for name, parameter in model.named_parameters():
            shape = self.shape(model, name)
            fits = len(shape) == parameter.ndim and all(
                not dim or sum(self.sizes[run.axis] * self.rows(run) for run in dim) == parameter.shape[d]
                for d, dim in enumerate(shape)
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
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise Impossible(
            f"Retort does not know where the layers, heads and neurons of a '{config.model_type}' model are.",
            _STILL_WORKS,
        )
    reason = family.refuse(config) if family.refuse else None
    if reason is not None:
        raise Impossible(f"Parts of this {family.name} model cannot be removed: {reason}.", _STILL_WORKS)
    sizes = _sizes(config, family)
    head_dim = getattr(config, "head_dim", None) or sizes["hidden"] // sizes["heads"]
    found = Architecture(family, int(getattr(config, family.keys["layers"])), sizes, int(head_dim))
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
    return sizes
