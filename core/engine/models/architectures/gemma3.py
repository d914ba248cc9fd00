"""Gemma 3, text models: query and key norms, sliding windows in most layers, four norms per block."""

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
GEMMA3 = replace(
    LLAMA,
    name="Gemma 3 (text)",
    model_types=("gemma3_text",),
    inside={**ATTENTION, **MLP, **norms(*_NORMS)},
    block_norms=_NORMS,
    optional_bias={"heads": ATTENTION_BIAS},
)

FAMILIES = (GEMMA3,)
