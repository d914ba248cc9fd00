"""Phi 1, 1.5 and 2: attention and MLP read the same norm, biases everywhere."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import HEADS, HIDDEN, KV_HEADS, NEURONS, WHOLE, embedding, linear, norms
from core.engine.models.architectures.llama import MISTRAL

PHI = replace(
    MISTRAL,
    name="Phi",
    model_types=("phi",),
    inside={
        **linear("self_attn.q_proj", HEADS, HIDDEN),
        **linear("self_attn.k_proj", KV_HEADS, HIDDEN),
        **linear("self_attn.v_proj", KV_HEADS, HIDDEN),
        **linear("self_attn.dense", HIDDEN, HEADS),
        **{f"self_attn.{n}_layernorm.{p}": (WHOLE,) for n in "qk" for p in ("weight", "bias")},
        **linear("mlp.fc1", NEURONS, HIDDEN),
        **linear("mlp.fc2", HIDDEN, NEURONS),
        **norms("input_layernorm"),
    },
    outside={
        **embedding("embed_tokens"),
        **norms("final_layernorm"),
        **linear("lm_head", WHOLE, HIDDEN),
        **linear("score", WHOLE, HIDDEN),
    },
    block_norms=("input_layernorm",),
    neuron_site="mlp.fc2",
    head_site="self_attn.dense",
)

FAMILIES = (PHI,)
