"""ALBERT: one layer (or a few) that is used again and again; words are narrower than hidden states."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import HEADS, HIDDEN, NEURONS, WHOLE, linear, norms
from core.engine.models.architectures.bert import BERT

_LAYER = "albert_layers.*."

ALBERT = replace(
    BERT,
    name="ALBERT",
    model_types=("albert",),
    blocks="encoder.albert_layer_groups",
    keys={**BERT.keys, "layers": "num_hidden_groups"},
    inside={
        **linear(f"{_LAYER}attention.query", HEADS, HIDDEN),
        **linear(f"{_LAYER}attention.key", HEADS, HIDDEN),
        **linear(f"{_LAYER}attention.value", HEADS, HIDDEN),
        **linear(f"{_LAYER}attention.dense", HIDDEN, HEADS),
        **linear(f"{_LAYER}ffn", NEURONS, HIDDEN),
        **linear(f"{_LAYER}ffn_output", HIDDEN, NEURONS),
        **norms(f"{_LAYER}attention.LayerNorm", f"{_LAYER}full_layer_layer_norm"),
    },
    outside={
        **{f"embeddings.{n}_embeddings.weight": (WHOLE, WHOLE) for n in ("word", "position", "token_type")},
        **{f"{n}.LayerNorm.{p}": (WHOLE,) for n in ("embeddings", "predictions") for p in ("weight", "bias")},
        **linear("encoder.embedding_hidden_mapping_in", HIDDEN, WHOLE),
        **linear("pooler", HIDDEN, HIDDEN),
        **linear("predictions.dense", WHOLE, HIDDEN),
        **linear("predictions.decoder", WHOLE, WHOLE),
        "predictions.bias": (WHOLE,),
        **linear("classifier", WHOLE, HIDDEN),
    },
    block_norms=("albert_layers.0.attention.LayerNorm", "albert_layers.0.full_layer_layer_norm"),
    neuron_site="albert_layers.0.ffn_output",
    head_site="albert_layers.0.attention.dense",
)

FAMILIES = (ALBERT,)
