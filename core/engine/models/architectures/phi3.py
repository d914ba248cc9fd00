"""Phi-3: a Llama whose query, key and value projections are one matrix, and so are gate and up."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import GATED, HEADS, HIDDEN, NEURONS, Dim, Run, linear, norms
from core.engine.models.architectures.llama import BLOCK_NORMS, MISTRAL

_QKV: Dim = (Run("heads", 1), Run("kv_heads", 1), Run("kv_heads", 1))
PHI3 = replace(
    MISTRAL,
    name="Phi-3",
    model_types=("phi3",),
    inside={
        **linear("self_attn.qkv_proj", _QKV, HIDDEN),
        **linear("self_attn.o_proj", HIDDEN, HEADS),
        **linear("mlp.gate_up_proj", GATED, HIDDEN),
        **linear("mlp.down_proj", HIDDEN, NEURONS),
        **norms(*BLOCK_NORMS),
    },
)

FAMILIES = (PHI3,)
