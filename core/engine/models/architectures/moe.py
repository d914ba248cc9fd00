"""Mixtral, Qwen-MoE, GPT-OSS and DeepSeek: transformers holds a layer's experts as three-dimensional tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.engine.models.architectures.base import EXPERTS, HIDDEN, WHOLE, Dim, Run, Shape, linear, norms
from core.engine.models.architectures.llama import ATTENTION, ATTENTION_BIAS, BLOCK_NORMS, KEYS, MISTRAL

_EXPERTS: dict[str, Shape] = {
    "mlp.experts.gate_up_proj": (EXPERTS, WHOLE, HIDDEN),
    "mlp.experts.down_proj": (EXPERTS, HIDDEN, WHOLE),
    "mlp.gate.weight": (EXPERTS, HIDDEN),
}
_INSIDE: dict[str, Shape] = {**ATTENTION, **_EXPERTS, **norms(*BLOCK_NORMS)}
_ONE_A_HEAD: Dim = (Run("heads"),)
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
    inside=_INSIDE,
    neuron_site=None,
    expert_site="mlp.experts",
)
QWEN2_MOE = replace(
    MIXTRAL,
    name="Qwen2-MoE",
    model_types=("qwen2_moe",),
    keys={**_KEYS, "experts": "num_experts"},
    inside={
        **_INSIDE,
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
    inside={**_INSIDE, **_dense("mlp")},
    optional_bias={"heads": ATTENTION_BIAS},
)

GPT_OSS = replace(
    MIXTRAL,
    name="GPT-OSS",
    model_types=("gpt_oss",),
    inside={
        **ATTENTION,
        "self_attn.sinks": (_ONE_A_HEAD,),
        "mlp.experts.gate_up_proj": (EXPERTS, HIDDEN, WHOLE),
        "mlp.experts.gate_up_proj_bias": (EXPERTS, WHOLE),
        "mlp.experts.down_proj": (EXPERTS, WHOLE, HIDDEN),
        "mlp.experts.down_proj_bias": (EXPERTS, HIDDEN),
        **linear("mlp.router", EXPERTS, HIDDEN),
        **norms(*BLOCK_NORMS),
    },
)
_LATENT_ATTENTION: dict[str, Shape] = {
    **linear("self_attn.q_proj", WHOLE, HIDDEN),
    **linear("self_attn.q_a_proj", WHOLE, HIDDEN),
    "self_attn.q_a_layernorm.weight": (WHOLE,),
    **linear("self_attn.q_b_proj", WHOLE, WHOLE),
    **linear("self_attn.kv_a_proj_with_mqa", WHOLE, HIDDEN),
    "self_attn.kv_a_layernorm.weight": (WHOLE,),
    **linear("self_attn.kv_b_proj", WHOLE, WHOLE),
    **linear("self_attn.o_proj", HIDDEN, WHOLE),
}


def _dense_first(config: Any, kept: Sequence[int]) -> None:
    """The first layers have no experts: as many as are left of them."""
    config.first_k_dense_replace = sum(old < config.first_k_dense_replace for old in kept)


DEEPSEEK = replace(
    MIXTRAL,
    name="DeepSeek",
    model_types=("deepseek_v2", "deepseek_v3"),
    keys={**_KEYS, "experts": "n_routed_experts"},
    inside={
        **_LATENT_ATTENTION,
        **_EXPERTS,
        "mlp.gate.e_score_correction_bias": (EXPERTS,),
        **_dense("mlp"),
        **_dense("mlp.shared_experts"),
        **norms(*BLOCK_NORMS),
    },
    head_site=None,
    hidden_multiple_of_heads=True,
    adjust=_dense_first,
)

FAMILIES = (MIXTRAL, QWEN2_MOE, QWEN3_MOE, GPT_OSS, DEEPSEEK)
