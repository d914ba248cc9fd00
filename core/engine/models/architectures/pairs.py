"""T5, mT5 and BART: an encoder, and a decoder that attends to what the encoder gave."""

from __future__ import annotations

from typing import Any

from core.engine.models.architectures.base import HIDDEN, NEURONS, WHOLE, Family, Shape, embedding, linear, norms

_ALL_HEADS = WHOLE
"""Heads are not taken out of these models, so what belongs to them is never cut."""


_WORDS: dict[str, Shape] = {
    **embedding("shared"),
    # the same once more
    **embedding("encoder.embed_tokens"),
    **embedding("decoder.embed_tokens"),
}


def _attention(modules: tuple[str, ...], reading: tuple[str, ...], writing: str) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for module in modules:
        for name in reading:
            found |= linear(f"{module}.{name}", _ALL_HEADS, HIDDEN)
        found |= linear(f"{module}.{writing}", HIDDEN, _ALL_HEADS)
    return found


T5 = Family(
    name="T5 and mT5",
    model_types=("t5", "mt5"),
    blocks="encoder.block",
    decoder_blocks="decoder.block",
    keys={"layers": "num_layers", "decoder_layers": "num_decoder_layers", "hidden": "d_model", "neurons": "d_ff"},
    inside={
        **_attention(("layer.*.SelfAttention", "layer.*.EncDecAttention"), ("q", "k", "v"), "o"),
        "layer.*.SelfAttention.relative_attention_bias.weight": (WHOLE, _ALL_HEADS),
        **linear("layer.*.DenseReluDense.wi", NEURONS, HIDDEN),
        **linear("layer.*.DenseReluDense.wi_0", NEURONS, HIDDEN),
        **linear("layer.*.DenseReluDense.wi_1", NEURONS, HIDDEN),
        **linear("layer.*.DenseReluDense.wo", HIDDEN, NEURONS),
        **norms("layer.*.layer_norm"),
    },
    outside={
        **_WORDS,
        **norms("encoder.final_layer_norm", "decoder.final_layer_norm"),
        **linear("lm_head", WHOLE, HIDDEN),
    },
    block_norms=(),
    neuron_site="layer.*.DenseReluDense.wo",
    head_site=None,
)


def _both(config: Any, kept: Any) -> None:
    config.decoder_ffn_dim = config.encoder_ffn_dim


BART = Family(
    name="BART",
    model_types=("bart",),
    blocks="encoder.layers",
    decoder_blocks="decoder.layers",
    keys={
        "layers": "encoder_layers",
        "decoder_layers": "decoder_layers",
        "hidden": "d_model",
        "neurons": "encoder_ffn_dim",
    },
    inside={
        **_attention(("self_attn", "encoder_attn"), ("q_proj", "k_proj", "v_proj"), "out_proj"),
        **linear("fc1", NEURONS, HIDDEN),
        **linear("fc2", HIDDEN, NEURONS),
        **norms("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    },
    outside={
        **_WORDS,
        **embedding("encoder.embed_positions"),
        **embedding("decoder.embed_positions"),
        **norms("encoder.layernorm_embedding", "decoder.layernorm_embedding"),
        **linear("lm_head", WHOLE, HIDDEN),
        "final_logits_bias": (WHOLE, WHOLE),
    },
    block_norms=(),
    neuron_site="fc2",
    head_site=None,
    adjust=_both,
)

FAMILIES = (T5, BART)
