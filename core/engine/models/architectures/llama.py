"""Llama and the families built like it: Mistral, Qwen2, Qwen3, SmolLM (which is a Llama)."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    KV_HEADS,
    NEURONS,
    WHOLE,
    Family,
    OptionalBias,
    Shape,
    embedding,
    linear,
    norms,
)

KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "neurons": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
}
ATTENTION: dict[str, Shape] = {
    **linear("self_attn.q_proj", HEADS, HIDDEN),
    **linear("self_attn.k_proj", KV_HEADS, HIDDEN),
    **linear("self_attn.v_proj", KV_HEADS, HIDDEN),
    **linear("self_attn.o_proj", HIDDEN, HEADS),
    # one norm over head_dim, shared by all heads (Qwen3, Gemma 3)
    "self_attn.q_norm.weight": (WHOLE,),
    "self_attn.k_norm.weight": (WHOLE,),
}
MLP: dict[str, Shape] = {
    **linear("mlp.gate_proj", NEURONS, HIDDEN),
    **linear("mlp.up_proj", NEURONS, HIDDEN),
    **linear("mlp.down_proj", HIDDEN, NEURONS),
}
BLOCK_NORMS = ("input_layernorm", "post_attention_layernorm")
OUTSIDE: dict[str, Shape] = {
    **embedding("embed_tokens"),
    **norms("norm"),
    **linear("lm_head", WHOLE, HIDDEN),
    **linear("score", WHOLE, HIDDEN),
}
ATTENTION_BIAS = OptionalBias("attention_bias", tuple(f"self_attn.{m}_proj" for m in "qkvo"))
MLP_BIAS = OptionalBias("mlp_bias", ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"))

LLAMA = Family(
    name="Llama",
    model_types=("llama",),
    blocks="layers",
    keys=KEYS,
    inside={**ATTENTION, **MLP, **norms(*BLOCK_NORMS)},
    outside=OUTSIDE,
    block_norms=BLOCK_NORMS,
    neuron_site="mlp.down_proj",
    head_site="self_attn.o_proj",
    hidden_multiple_of_heads=True,
    optional_bias={"heads": ATTENTION_BIAS, "neurons": MLP_BIAS},
)
MISTRAL = replace(
    LLAMA, name="Mistral and Qwen2", model_types=("mistral", "qwen2"), hidden_multiple_of_heads=False, optional_bias={}
)
QWEN3 = replace(MISTRAL, name="Qwen3", model_types=("qwen3",), optional_bias={"heads": ATTENTION_BIAS})

FAMILIES = (LLAMA, MISTRAL, QWEN3)
