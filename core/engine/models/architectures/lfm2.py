"""LFM2: short convolutions in most layers, attention in the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    KV_HEADS,
    NEURONS,
    WHOLE,
    Axis,
    Family,
    embedding,
    linear,
    norms,
)
from core.engine.models.architectures.llama import KEYS


def _sized(config: Any) -> Mapping[Axis, int]:
    """The width of the MLP, which the config may state before it is shrunk and rounded up."""
    width = int(config.intermediate_size)
    if config.block_auto_adjust_ff_dim:
        width = int(2 * width / 3)
        if config.block_ffn_dim_multiplier is not None:
            step = config.block_multiple_of
            width = -(-int(config.block_ffn_dim_multiplier * width) // step) * step
    return {"neurons": width}


def _adjust(config: Any, kept: Sequence[int]) -> None:
    config.block_auto_adjust_ff_dim = False  # the width is stated as it is


LFM2 = Family(
    name="LFM2",
    model_types=("lfm2",),
    blocks="layers",
    keys=KEYS,
    inside={
        "conv.conv.weight": (WHOLE, WHOLE, WHOLE),
        "conv.conv.bias": (WHOLE,),
        **linear("conv.in_proj", WHOLE, HIDDEN),
        **linear("conv.out_proj", HIDDEN, WHOLE),
        **linear("self_attn.q_proj", HEADS, HIDDEN),
        **linear("self_attn.k_proj", KV_HEADS, HIDDEN),
        **linear("self_attn.v_proj", KV_HEADS, HIDDEN),
        **linear("self_attn.out_proj", HIDDEN, HEADS),
        "self_attn.q_layernorm.weight": (WHOLE,),
        "self_attn.k_layernorm.weight": (WHOLE,),
        **linear("feed_forward.w1", NEURONS, HIDDEN),
        **linear("feed_forward.w3", NEURONS, HIDDEN),
        **linear("feed_forward.w2", HIDDEN, NEURONS),
        **norms("operator_norm", "ffn_norm"),
    },
    outside={**embedding("embed_tokens"), **norms("embedding_norm"), **linear("lm_head", WHOLE, HIDDEN)},
    block_norms=("operator_norm", "ffn_norm"),
    neuron_site="feed_forward.w2",
    head_site=None,
    sized=_sized,
    adjust=_adjust,
)

FAMILIES = (LFM2,)
