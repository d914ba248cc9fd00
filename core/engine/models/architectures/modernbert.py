"""ModernBERT: one projection for queries, keys and values, a gated MLP in one matrix; the first layer lacks a norm."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import (
    GATED,
    HEADS,
    HIDDEN,
    NEURONS,
    WHOLE,
    Dim,
    Run,
    embedding,
    linear,
    norms,
)
from core.engine.models.architectures.bert import BERT

_QKV: Dim = (Run("heads", 1), Run("heads", 1), Run("heads", 1))

MODERNBERT = replace(
    BERT,
    name="ModernBERT",
    model_types=("modernbert",),
    blocks="layers",
    inside={
        **linear("attn.Wqkv", _QKV, HIDDEN),
        **linear("attn.Wo", HIDDEN, HEADS),
        **linear("mlp.Wi", GATED, HIDDEN),
        **linear("mlp.Wo", HIDDEN, NEURONS),
        **norms("attn_norm", "mlp_norm"),
    },
    outside={
        **embedding("embeddings.tok_embeddings"),
        **norms("embeddings.norm", "final_norm", "head.norm"),
        **linear("head.dense", HIDDEN, HIDDEN),
        **linear("decoder", WHOLE, HIDDEN),
        **linear("classifier", WHOLE, HIDDEN),
    },
    block_norms=("attn_norm", "mlp_norm"),
    neuron_site="mlp.Wo",
    head_site="attn.Wo",
)

FAMILIES = (MODERNBERT,)
