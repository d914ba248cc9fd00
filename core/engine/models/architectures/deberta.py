"""DeBERTa v2 and v3: positions are embeddings of their own that pass through each layer's projections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.engine.models.architectures.base import HEADS, HIDDEN, WHOLE, embedding, linear, norms
from core.engine.models.architectures.bert import BERT

_BERT = BERT.inside or {}


def _adjust(config: Any, kept: Sequence[int]) -> None:
    config.pooler_hidden_size = config.hidden_size


DEBERTA = replace(
    BERT,
    name="DeBERTa",
    model_types=("deberta-v2",),
    inside={
        **{name: shape for name, shape in _BERT.items() if ".self." not in name},
        **linear("attention.self.query_proj", HEADS, HIDDEN),
        **linear("attention.self.key_proj", HEADS, HIDDEN),
        **linear("attention.self.value_proj", HEADS, HIDDEN),
        **linear("attention.self.pos_key_proj", HEADS, HIDDEN),
        **linear("attention.self.pos_query_proj", HEADS, HIDDEN),
    },
    outside={
        **BERT.outside,
        **embedding("encoder.rel_embeddings"),
        **norms("encoder.LayerNorm", "encoder.conv.LayerNorm", "lm_predictions.lm_head.LayerNorm"),
        "encoder.conv.conv.weight": (HIDDEN, HIDDEN, WHOLE),
        "encoder.conv.conv.bias": (HIDDEN,),
        **linear("lm_predictions.lm_head.dense", HIDDEN, HIDDEN),
        "lm_predictions.lm_head.bias": (WHOLE,),
    },
    adjust=_adjust,
)

FAMILIES = (DEBERTA,)
