"""Falcon: three ways to lay queries, keys and values out in one projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    NEURONS,
    WHOLE,
    Dim,
    Family,
    Run,
    Shape,
    embedding,
    linear,
    norms,
)

_QKV_BY_GROUP: Dim = (Run("grouped", 1),)
_ONE_KEY_AND_VALUE: Dim = (Run("heads", 1), Run("fixed", 2))
_QKV_BY_HEAD: Dim = (Run("heads", 3),)
_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "neurons": "ffn_hidden_size",
    "heads": "num_attention_heads",
}


def _inside(qkv: Dim) -> dict[str, Shape]:
    return {
        **linear("self_attention.query_key_value", qkv, HIDDEN),
        **linear("self_attention.dense", HIDDEN, HEADS),
        **linear("mlp.dense_h_to_4h", NEURONS, HIDDEN),
        **linear("mlp.dense_4h_to_h", HIDDEN, NEURONS),
        **norms("ln_attn", "ln_mlp", "input_layernorm", "post_attention_layernorm"),
    }


def _adjust(config: Any, kept: Sequence[int]) -> None:
    """Where every head has its own key and value, the config states their number twice."""
    if not config.new_decoder_architecture:
        config.num_kv_heads = config.num_attention_heads


BY_GROUP = Family(
    name="Falcon",
    model_types=("falcon",),
    blocks="h",
    keys={**_KEYS, "kv_heads": "num_kv_heads"},
    inside=_inside(_QKV_BY_GROUP),
    outside={
        **embedding("word_embeddings"),
        **norms("ln_f"),
        **linear("lm_head", WHOLE, HIDDEN),
        **linear("score", WHOLE, HIDDEN),
    },
    block_norms=("ln_attn", "ln_mlp", "input_layernorm", "post_attention_layernorm"),
    neuron_site="mlp.dense_4h_to_h",
    head_site="self_attention.dense",
    square=True,
    adjust=_adjust,
    when=lambda config: bool(config.new_decoder_architecture),
)
ONE_GROUP = replace(
    BY_GROUP, keys=_KEYS, inside=_inside(_ONE_KEY_AND_VALUE), when=lambda config: bool(config.multi_query)
)
BY_HEAD = replace(ONE_GROUP, inside=_inside(_QKV_BY_HEAD), when=None)

FAMILIES = (BY_GROUP, ONE_GROUP, BY_HEAD)
