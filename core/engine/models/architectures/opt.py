"""OPT: learned positions, biases everywhere, ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.engine.models.architectures.base import HEADS, HIDDEN, NEURONS, WHOLE, Family, embedding, linear, norms


def _adjust(config: Any, kept: Sequence[int]) -> None:
    config.word_embed_proj_dim = config.hidden_size


OPT = Family(
    name="OPT",
    model_types=("opt",),
    blocks="decoder.layers",
    keys={
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "neurons": "ffn_dim",
        "heads": "num_attention_heads",
    },
    inside={
        **linear("self_attn.q_proj", HEADS, HIDDEN),
        **linear("self_attn.k_proj", HEADS, HIDDEN),
        **linear("self_attn.v_proj", HEADS, HIDDEN),
        **linear("self_attn.out_proj", HIDDEN, HEADS),
        **linear("fc1", NEURONS, HIDDEN),
        **linear("fc2", HIDDEN, NEURONS),
        **norms("self_attn_layer_norm", "final_layer_norm"),
    },
    outside={
        **embedding("decoder.embed_tokens"),
        **embedding("decoder.embed_positions"),
        **norms("decoder.final_layer_norm"),
        **linear("lm_head", WHOLE, HIDDEN),
        **linear("score", WHOLE, HIDDEN),
    },
    block_norms=("self_attn_layer_norm", "final_layer_norm"),
    neuron_site="fc2",
    head_site="self_attn.out_proj",
    square=True,
    adjust=_adjust,
)

FAMILIES = (OPT,)
