"""The families of models Retort knows, one line each: what a config.json of that `model_type` stands for.

A family that is not here still works where nothing has to be known about it: weight pruning finds the matrices by
themselves. A new architecture is one file in `core/engine/models/architectures/` and one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Family:
    """What is known of a `model_type` without its weights."""

    id: str
    reads: Literal["causal", "encoder"]
    """`causal`: each token sees the ones before it. `encoder`: every token sees all."""
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


def _decoder(name: str, adapted: bool = False, gguf: str = "") -> Family:
    """A family built like Llama."""
    return Family(name, "causal", adapted=adapted, gguf=gguf)


def _encoder(name: str, adapted: bool = True) -> Family:
    """A family built like BERT."""
    return Family(name, "encoder", adapted=adapted, gated=False, learned_positions=True, square=adapted)


FAMILIES: dict[str, Family] = {
    family.id: family
    for family in (
        _decoder("llama", adapted=True, gguf="llama"),
        _decoder("mistral", adapted=True, gguf="llama"),
        _decoder("qwen2", adapted=True, gguf="qwen2"),
        _decoder("qwen3", adapted=True, gguf="qwen3"),
        _decoder("smollm3"),
        _decoder("gemma"),
        _decoder("gemma2"),
        _decoder("gemma3"),
        _decoder("gemma3_text", adapted=True),
        _decoder("phi3", adapted=True),
        _decoder("mixtral", adapted=True),
        _decoder("qwen2_moe", adapted=True),
        _decoder("qwen3_moe", adapted=True),
        _decoder("olmo2"),
        _decoder("granite"),
        Family("phi", "causal", gated=False),
        Family("gptj", "causal", gated=False),
        Family("gpt_neox", "causal", adapted=True, gated=False, square=True),
        Family("gpt2", "causal", adapted=True, gated=False, learned_positions=True, square=True, gguf="gpt2"),
        Family("opt", "causal", adapted=True, gated=False, learned_positions=True, square=True),
        _encoder("bert"),
        _encoder("roberta"),
        _encoder("distilbert"),
        _encoder("xlm-roberta", adapted=False),
        Family("electra", "encoder"),
    )
}


def reads(model_type: str) -> Literal["causal", "encoder"] | None:
    """How models of this `model_type` read; None where it is not known."""
    return FAMILIES[model_type].reads if model_type in FAMILIES else None


def is_adapted(model_type: str) -> bool:
    """Whether parts of such models can be taken out."""
    return model_type in FAMILIES and FAMILIES[model_type].adapted


def is_square(model_type: str) -> bool:
    """Whether the hidden size of such models is always heads times head size."""
    return model_type in FAMILIES and FAMILIES[model_type].square
