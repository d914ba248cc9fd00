"""GPT-NeoX and Pythia: each head's query, key and value rows lie side by side; attention and MLP run in parallel."""

from __future__ import annotations

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    NEURONS,
    WHOLE,
    Dim,
    Family,
    Run,
    embedding,
    linear,
    norms,
)

_QKV_BY_HEAD: Dim = (Run("heads", 3),)

GPT_NEOX = Family(
    name="GPT-NeoX and Pythia",
    model_types=("gpt_neox",),
    blocks="layers",
    keys={
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "neurons": "intermediate_size",
        "heads": "num_attention_heads",
    },
    inside={
        **linear("attention.query_key_value", _QKV_BY_HEAD, HIDDEN),
        **linear("attention.dense", HIDDEN, HEADS),
        **linear("mlp.dense_h_to_4h", NEURONS, HIDDEN),
        **linear("mlp.dense_4h_to_h", HIDDEN, NEURONS),
        **norms("input_layernorm", "post_attention_layernorm"),
    },
    outside={
        **embedding("embed_in"),
        **norms("final_layer_norm"),
        **linear("lm_head", WHOLE, HIDDEN),
        **linear("score", WHOLE, HIDDEN),
    },
    block_norms=("input_layernorm", "post_attention_layernorm"),
    neuron_site="mlp.dense_4h_to_h",
    head_site="attention.dense",
    square=True,
)

FAMILIES = (GPT_NEOX,)
