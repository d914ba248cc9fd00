"""What structured pruning must know about an architecture, as data: no family needs code of its own.

A parameter's shape is described dimension by dimension. A dimension is a sequence of runs, and a run
says which units own its rows and how many rows each owns: a fused query-key-value projection is three
runs in one dimension, a gated projection two. From that follow slicing, parameter counts and
per-unit sums, for every family alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import nn

Axis = Literal["hidden", "neurons", "heads", "kv_heads", "experts", "fixed", "grouped"]


class Run(NamedTuple):
    """Consecutive rows of one dimension, owned by the units of `axis` in order.

    `head_rows` 0: one row a unit. Otherwise a unit owns `head_rows` times head_dim rows. Axis `fixed`: rows that
    always stay, as one unit. Axis `grouped`: for each key-value head its query heads, then its key, then its value.
    """

    axis: Axis
    head_rows: int = 0


class Segment(NamedTuple):
    """Consecutive rows owned by `units` units of `axis` from `first` on, `width` rows each."""

    axis: Axis
    first: int
    units: int
    width: int


Dim = tuple[Run, ...]
Shape = tuple[Dim, ...]

WHOLE: Dim = ()
"""A dimension that is never cut (vocabulary, positions, labels, head_dim)."""
HIDDEN: Dim = (Run("hidden"),)
NEURONS: Dim = (Run("neurons"),)
GATED: Dim = (Run("neurons"), Run("neurons"))
HEADS: Dim = (Run("heads", 1),)
KV_HEADS: Dim = (Run("kv_heads", 1),)
EXPERTS: Dim = (Run("experts"),)


def linear(name: str, out: Dim, into: Dim) -> dict[str, Shape]:
    """nn.Linear: weight (out, in), bias (out)."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def conv1d(name: str, out: Dim, into: Dim) -> dict[str, Shape]:
    """GPT-2's Conv1D stores the transpose: weight (in, out), bias (out)."""
    return {f"{name}.weight": (into, out), f"{name}.bias": (out,)}


def embedding(name: str) -> dict[str, Shape]:
    """nn.Embedding: weight (entries, hidden)."""
    return {f"{name}.weight": (WHOLE, HIDDEN)}


def norms(*names: str) -> dict[str, Shape]:
    """LayerNorm or RMSNorm over the hidden channels."""
    return {f"{n}.{p}": (HIDDEN,) for n in names for p in ("weight", "bias")}


@dataclass(frozen=True)
class OptionalBias:
    """A config switch that gives modules a bias they do not have, so that a lost mean can be made up for."""

    key: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """One family of architectures.

    Attributes:
        name: as a person calls it.
        model_types: values of `model_type` in config.json.
        blocks: path of the list of blocks below the base model; of an encoder-decoder the encoder's.
        decoder_blocks: path of the decoder's, whose blocks are counted on from the encoder's.
        keys: config key of each axis, and of `layers`.
        inside: parameters of a block, by name relative to it.
        outside: all others, by name relative to the base model (heads: relative to the whole model).
            An index inside a name is written `*`. None: only whole layers can be taken out, and no parameter is named.
        block_norms: modules of a block whose outputs show how active a hidden channel is.
        neuron_site: module whose input is the neurons' activations, or None where they cannot be cut. An index inside
            its name is written `*`, as in those of parameters.
        head_site: module whose input is the heads' outputs side by side, or None where they cannot be cut.
        expert_site: module that is called with (tokens, chosen experts, their gates), or None.
        square: True where the config has no head_dim, so heads times head_dim must stay the hidden size.
        hidden_multiple_of_heads: True where transformers refuses a hidden size that the heads do not divide.
        per_layer: config keys that hold one entry a layer.
        optional_bias: by axis (`neurons`, `heads`), the switch that allows a bias on the output side.
        adjust: called with the new config and the kept layers (original indices), for what else depends on them.
        sized: called with the config; sizes that it states in another way than by a key.
        when: called with the config; whether it is built so, where a model type has several layouts.
    """

    name: str
    model_types: tuple[str, ...]
    blocks: str
    keys: Mapping[str, str]
    inside: Mapping[str, Shape] | None
    outside: Mapping[str, Shape]
    block_norms: tuple[str, ...]
    neuron_site: str | None
    head_site: str | None
    decoder_blocks: str = ""
    expert_site: str | None = None
    square: bool = False
    hidden_multiple_of_heads: bool = False
    per_layer: tuple[str, ...] = ("layer_types", "mlp_layer_types", "no_rope_layers")
    optional_bias: Mapping[str, OptionalBias] = field(default_factory=dict)
    adjust: Callable[[Any, Sequence[int]], None] | None = None
    sized: Callable[[Any], Mapping[Axis, int]] | None = None
    when: Callable[[Any], bool] | None = None


def starred(name: str) -> str:
    """The name with every index inside it written `*`."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def module_at(block: nn.Module, site: str) -> nn.Module | None:
    """The module a site names, or None in a block without it (of another kind, or of another layout of its family)."""
    return next((module for name, module in block.named_modules() if name == site or starred(name) == site), None)
