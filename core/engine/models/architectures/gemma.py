"""Gemma 2 and the text models of Gemma 3: sliding windows in some layers, four norms per block."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import norms
from core.engine.models.architectures.llama import ATTENTION, ATTENTION_BIAS, LLAMA, MLP

_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
GEMMA = replace(
    LLAMA,
    name="Gemma",
    model_types=("gemma2", "gemma3_text"),
    inside={**ATTENTION, **MLP, **norms(*_NORMS)},
    block_norms=_NORMS,
    hidden_multiple_of_heads=False,
    optional_bias={"heads": ATTENTION_BIAS},
)

FAMILIES = (GEMMA,)
