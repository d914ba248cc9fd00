"""One tiny model of every family whose parts Retort takes out, beside those of the zoo: 4 layers, hidden 64.

What stands beside each config was read off transformers' own source: where the blocks are, and which module reads the
neurons and which the heads side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers as t
from transformers import PreTrainedModel

ROWS = 384  # as many as the tokenizer of the tiny Llama has
_LLAMA: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_HEAD = {**_LLAMA, "head_dim": 16}
_PLAIN = {k: v for k, v in _LLAMA.items() if k != "num_key_value_heads"}
_BERT = {k: v for k, v in _PLAIN.items() if k not in ("bos_token_id", "eos_token_id")}
_OWN = {"vocab_size": ROWS, "bos_token_id": 0, "eos_token_id": 0}
_GPT = {**_OWN, "hidden_size": 64, "n_layer": 4, "n_head": 4}
_FALCON = {**_OWN, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 128}
_SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
_MOE = {**_HEAD, "num_experts_per_tok": 2}
_DEEPSEEK = {
    **_PLAIN,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}


@dataclass(frozen=True)
class Member:
    """A tiny model of a family; empty names where it has no such parts to take out."""

    kind: str
    config: str
    settings: dict[str, Any]
    blocks: str = "model.layers"
    down: str = "mlp.down_proj"
    out: str = "self_attn.o_proj"
    grouped: bool = True
    hidden: bool = True
    square: bool = False
    experts: str = ""
    """Config key of the number of experts."""
    first: int = 0
    """The first layer that can be taken out; -1 where none can."""

    def build(self, **changes: Any) -> PreTrainedModel:
        """In float32 and eval mode, every parameter random."""
        torch.manual_seed(0)
        model: PreTrainedModel = getattr(t, self.kind)(getattr(t, self.config)(**{**self.settings, **changes}))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "A_log" not in name:
                    parameter.normal_(0.0, 0.2)
        return model.eval()


def _encoder(kind: str, settings: dict[str, Any], blocks: str, **more: Any) -> Member:
    usual = {"down": "output.dense", "out": "attention.output.dense", "grouped": False, "square": True}
    return Member(f"{kind}ForMaskedLM", f"{kind}Config", settings, blocks, **{**usual, **more})


_WHOLE: dict[str, Any] = {"down": "", "out": "", "grouped": False, "hidden": False}
FAMILIES: dict[str, Member] = {
    "gemma": Member("GemmaForCausalLM", "GemmaConfig", _HEAD),
    "gemma2": Member("Gemma2ForCausalLM", "Gemma2Config", {**_HEAD, **_SLIDING, "query_pre_attn_scalar": 16}),
    "granite": Member("GraniteForCausalLM", "GraniteConfig", {**_LLAMA, "residual_multiplier": 0.5}),
    "smollm3": Member("SmolLM3ForCausalLM", "SmolLM3Config", {**_LLAMA, "no_rope_layers": [1, 0, 1, 0]}),
    "olmo2": Member("Olmo2ForCausalLM", "Olmo2Config", _LLAMA),
    "cohere": Member("CohereForCausalLM", "CohereConfig", {**_LLAMA, "use_qk_norm": True}),
    "cohere2": Member("Cohere2ForCausalLM", "Cohere2Config", {**_LLAMA, **_SLIDING}),
    "stablelm": Member("StableLmForCausalLM", "StableLmConfig", {**_LLAMA, "use_qkv_bias": True}, square=True),
    "phi": Member("PhiForCausalLM", "PhiConfig", _LLAMA, down="mlp.fc2", out="self_attn.dense"),
    "gptj": Member(
        "GPTJForCausalLM",
        "GPTJConfig",
        {**_OWN, "n_embd": 64, "n_layer": 4, "n_head": 4, "rotary_dim": 8, "n_positions": 128},
        "transformer.h",
        "mlp.fc_out",
        "attn.out_proj",
        grouped=False,
        square=True,
    ),
    **{
        name: Member(
            "FalconForCausalLM",
            "FalconConfig",
            {**_FALCON, **layout},
            "transformer.h",
            "mlp.dense_4h_to_h",
            "self_attention.dense",
            grouped=name == "falcon",
            hidden="alibi" not in layout,
            square=True,
        )
        for name, layout in {
            "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
            "falcon-7b": {"multi_query": True, "parallel_attn": True},
            "falcon-heads": {"multi_query": False, "parallel_attn": False, "bias": True},
            "falcon-alibi": {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
        }.items()
    },
    "bloom": Member("BloomForCausalLM", "BloomConfig", _GPT, "transformer.h", **_WHOLE),
    "mpt": Member(
        "MptForCausalLM",
        "MptConfig",
        {**_OWN, "d_model": 64, "n_layers": 4, "n_heads": 4, "max_seq_len": 128},
        "transformer.blocks",
        **_WHOLE,
    ),
    "mamba": Member(
        "MambaForCausalLM",
        "MambaConfig",
        {**_OWN, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8, "pad_token_id": 0},
        "backbone.layers",
        **_WHOLE,
    ),
    "mamba2": Member(
        "Mamba2ForCausalLM",
        "Mamba2Config",
        {
            **_OWN,
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 16,
            "n_groups": 2,
            "chunk_size": 16,
            "pad_token_id": 0,
        },
        "backbone.layers",
        **_WHOLE,
    ),
    "lfm2": Member(
        "Lfm2ForCausalLM",
        "Lfm2Config",
        {
            **_LLAMA,
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
            "block_multiple_of": 16,
            "block_auto_adjust_ff_dim": True,
        },
        down="feed_forward.w2",
        out="",
        hidden=False,
    ),
    "gpt_oss": Member(
        "GptOssForCausalLM",
        "GptOssConfig",
        {**_MOE, **_SLIDING, "num_local_experts": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        down="",
        experts="num_local_experts",
    ),
    "deepseek_v3": Member(
        "DeepseekV3ForCausalLM", "DeepseekV3Config", _DEEPSEEK, down="", out="", experts="n_routed_experts"
    ),
    "deepseek_v2": Member(
        "DeepseekV2ForCausalLM", "DeepseekV2Config", _DEEPSEEK, down="", out="", experts="n_routed_experts"
    ),
    "xlm-roberta": _encoder("XLMRoberta", {**_BERT, "pad_token_id": 1}, "roberta.encoder.layer"),
    "camembert": _encoder("Camembert", {**_BERT, "pad_token_id": 1}, "roberta.encoder.layer"),
    "electra": _encoder("Electra", {**_BERT, "embedding_size": 24}, "electra.encoder.layer"),
    "electra-wide": _encoder("Electra", {**_BERT, "embedding_size": 64}, "electra.encoder.layer"),
    "mpnet": _encoder("MPNet", {**_BERT, "pad_token_id": 1}, "mpnet.encoder.layer", out="", hidden=False),
    "albert": _encoder(
        "Albert",
        {**_BERT, "embedding_size": 32},
        "albert.encoder.albert_layer_groups",
        down="albert_layers.0.ffn_output",
        out="albert_layers.0.attention.dense",
        first=-1,
    ),
    "modernbert": _encoder(
        "ModernBert",
        {**_BERT, "local_attention": 16, "cls_token_id": 0, "sep_token_id": 0, "bos_token_id": 0, "eos_token_id": 0},
        "model.layers",
        down="mlp.Wo",
        out="attn.Wo",
        first=1,
    ),
    "deberta-v2": _encoder(
        "DebertaV2",
        {
            **_BERT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
        },
        "deberta.encoder.layer",
    ),
}
