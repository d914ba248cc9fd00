"""Mixtral, Qwen2-MoE and Qwen3-MoE: transformers holds a layer's experts as two three-dimensional tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.engine.models.architectures.base import EXPERTS, HIDDEN, WHOLE, Shape, linear, norms
from core.engine.models.architectures.llama import ATTENTION, ATTENTION_BIAS, BLOCK_NORMS, KEYS, MISTRAL

_EXPERTS: dict[str, Shape] = {
    "mlp.experts.gate_up_proj": (EXPERTS, WHOLE, HIDDEN),
    "mlp.experts.down_proj": (EXPERTS, HIDDEN, WHOLE),
    "mlp.gate.weight": (EXPERTS, HIDDEN),
}
_KEYS = {k: v for k, v in KEYS.items() if k != "neurons"}


def _dense(prefix: str) -> dict[str, Shape]:
    """An ordinary MLP of the block, whose own width stays as it is."""
    return {
        **linear(f"{prefix}.gate_proj", WHOLE, HIDDEN),
        **linear(f"{prefix}.up_proj", WHOLE, HIDDEN),
        **linear(f"{prefix}.down_proj", HIDDEN, WHOLE),
    }


def _adjust(config: Any, kept: Sequence[int]) -> None:
    """Which layers have experts is stated by index and step: state it by index alone for the kept ones."""
    dense, step = config.mlp_only_layers or [], config.decoder_sparse_step
    config.mlp_only_layers = [new for new, old in enumerate(kept) if old in dense or (old + 1) % step]
    config.decoder_sparse_step = 1


MIXTRAL = replace(
    MISTRAL,
    name="Mixtral",
    model_types=("mixtral",),
    keys={**_KEYS, "experts": "num_local_experts"},
    inside={**ATTENTION, **_EXPERTS, **norms(*BLOCK_NORMS)},
    neuron_site=None,
    expert_site="mlp.experts",
)
QWEN2_MOE = replace(
    MIXTRAL,
    name="Qwen2-MoE",
    model_types=("qwen2_moe",),
    keys={**_KEYS, "experts": "num_experts"},
    inside={
        **MIXTRAL.inside,
        **_dense("mlp"),
        **_dense("mlp.shared_expert"),
        **linear("mlp.shared_expert_gate", WHOLE, HIDDEN),
    },
    adjust=_adjust,
)
QWEN3_MOE = replace(
    QWEN2_MOE,
    name="Qwen3-MoE",
    model_types=("qwen3_moe",),
    inside={**MIXTRAL.inside, **_dense("mlp")},
    optional_bias={"heads": ATTENTION_BIAS},
)

FAMILIES = (MIXTRAL, QWEN2_MOE, QWEN3_MOE)
