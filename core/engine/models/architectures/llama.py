"""Llama and the families built like it: Mistral, Qwen, Gemma 1, Granite, SmolLM, OLMo 2, Cohere, StableLM."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    KV_HEADS,
    NEURONS,
    WHOLE,
    Dim,
    Family,
    OptionalBias,
    Run,
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
_ONE_A_HEAD: Dim = (Run("heads"),)
_ONE_A_KV_HEAD: Dim = (Run("kv_heads"),)
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

GEMMA = replace(QWEN3, name="Gemma", model_types=("gemma",))
GRANITE = replace(LLAMA, name="Granite and SmolLM3", model_types=("granite", "smollm3"), hidden_multiple_of_heads=False)
OLMO2 = replace(
    QWEN3,
    name="OLMo 2",
    model_types=("olmo2",),
    inside={
        **ATTENTION,
        # these norms run over all heads together
        "self_attn.q_norm.weight": (HEADS,),
        "self_attn.k_norm.weight": (KV_HEADS,),
        **MLP,
        **norms("post_attention_layernorm", "post_feedforward_layernorm"),
    },
    block_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
)
COHERE = replace(
    QWEN3,
    name="Cohere",
    model_types=("cohere", "cohere2"),
    inside={
        **ATTENTION,
        "self_attn.q_norm.weight": (_ONE_A_HEAD, WHOLE),
        "self_attn.k_norm.weight": (_ONE_A_KV_HEAD, WHOLE),
        **MLP,
        **norms("input_layernorm"),
    },
    block_norms=("input_layernorm",),
)
STABLELM = replace(
    MISTRAL,
    name="StableLM",
    model_types=("stablelm",),
    inside={**ATTENTION, **MLP, **norms(*BLOCK_NORMS)},
    square=True,
)

FAMILIES = (LLAMA, MISTRAL, QWEN3, GEMMA, GRANITE, OLMO2, COHERE, STABLELM)
