"""What a family of models is, as data: the form of the lines in `core.registry.families`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Config = Mapping[str, Any]
"""A parsed config.json, or the same values by name."""


@dataclass(frozen=True)
class Stays:
    """Parts (as recipes name them) that cannot be taken out, though others can."""

    parts: tuple[str, ...]
    why: str
    """A clause that goes on after 'because'."""
    when: Callable[[Config], bool] | None = None
    """In which models of the family; None: in all."""


@dataclass(frozen=True)
class Family:
    """What is known of a `model_type` without its weights."""

    id: str
    reads: Literal["causal", "encoder", "pair"]
    """`causal`: each token sees the ones before it. `encoder`: every token sees all. `pair`: an encoder, then a decoder
    that sees what it gave."""
    adapted: bool = False
    """Layers, heads, neurons and channels can be taken out: `core.engine.models.architectures` has an adapter."""
    gated: bool = True
    """The feed-forward part has three matrices, of which one gates; otherwise it has two."""
    learned_positions: bool = False
    """Positions are a table of embeddings; otherwise they are computed."""
    square: bool = False
    """Its hidden size is always heads times head size, so that the two change together."""
    gguf: str = ""
    """The name llama.cpp knows the family under, where Retort writes it as GGUF."""
    stays: tuple[Stays, ...] = ()
    """Which parts cannot be taken out all the same."""
    pinned: tuple[int, ...] = ()
    """Layers that cannot be taken out: they hold what all others use."""
    counted: bool = True
    """Its parameters follow from the usual sizes in its config (`core.catalogue.stated`)."""


PARTS = ("layers", "neurons", "heads", "kv_groups", "hidden", "experts")
"""All parts that recipes name."""
CALIBRATION = "calibration"
"""What stands among the parts that stay where methods that watch the layers on text cannot work."""
ONNX = "onnx"
"""What stands among them where the model cannot be written as an ONNX graph."""
