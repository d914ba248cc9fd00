"""MPNet: BERT's layers, and one table of relative positions for each head that all layers share."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import HEADS, HIDDEN, NEURONS, WHOLE, linear, norms
from core.engine.models.architectures.bert import BERT

MPNET = replace(
    BERT,
    name="MPNet",
    model_types=("mpnet",),
    inside={
        **linear("attention.attn.q", HEADS, HIDDEN),
        **linear("attention.attn.k", HEADS, HIDDEN),
        **linear("attention.attn.v", HEADS, HIDDEN),
        **linear("attention.attn.o", HIDDEN, HEADS),
        **linear("intermediate.dense", NEURONS, HIDDEN),
        **linear("output.dense", HIDDEN, NEURONS),
        **norms("attention.LayerNorm", "output.LayerNorm"),
    },
    outside={**BERT.outside, "encoder.relative_attention_bias.weight": (WHOLE, WHOLE)},
    block_norms=("attention.LayerNorm", "output.LayerNorm"),
    head_site=None,
)

FAMILIES = (MPNET,)
