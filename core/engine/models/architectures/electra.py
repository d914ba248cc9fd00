"""ELECTRA: BERT's layers; its words may be narrower than its hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.engine.models.architectures.base import HIDDEN, WHOLE, Dim, Shape, linear
from core.engine.models.architectures.bert import BERT


def _outside(words: Dim) -> dict[str, Shape]:
    return {
        **{f"embeddings.{n}_embeddings.weight": (WHOLE, words) for n in ("word", "position", "token_type")},
        **{f"{n}.LayerNorm.{p}": (words,) for n in ("embeddings", "generator_predictions") for p in ("weight", "bias")},
        **linear("embeddings_project", HIDDEN, words),
        **linear("generator_predictions.dense", words, HIDDEN),
        **linear("generator_lm_head", WHOLE, words),
        **linear("classifier.dense", HIDDEN, HIDDEN),
        **linear("classifier.out_proj", WHOLE, HIDDEN),
    }


def _adjust(config: Any, kept: Sequence[int]) -> None:
    config.embedding_size = config.hidden_size


NARROW = replace(
    BERT,
    name="ELECTRA",
    model_types=("electra",),
    outside=_outside(WHOLE),
    when=lambda config: bool(config.embedding_size != config.hidden_size),
)
SAME_WIDTH = replace(NARROW, outside=_outside(HIDDEN), adjust=_adjust, when=None)

FAMILIES = (NARROW, SAME_WIDTH)
