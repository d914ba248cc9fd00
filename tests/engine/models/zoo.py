"""One tiny model of every architecture, built from its config, with every parameter random."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from transformers import PreTrainedModel

VOCABULARY = 96
_LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NO_HEAD_DIM = {k: v for k, v in _LLAMA.items() if k != "head_dim"}
_MHA = {k: v for k, v in _NO_HEAD_DIM.items() if k != "num_key_value_heads"}
_BERT = {k: v for k, v in _MHA.items() if k not in ("bos_token_id", "eos_token_id")}
_MOE = {**_LLAMA, "num_experts_per_tok": 2}
_SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 5}

CONFIGS: dict[str, tuple[type[PreTrainedModel], Any, dict[str, Any]]] = {
    "llama": (t.LlamaForCausalLM, t.LlamaConfig, {**_LLAMA, "tie_word_embeddings": True}),
    "llama-bias": (t.LlamaForCausalLM, t.LlamaConfig, {**_LLAMA, "attention_bias": True, "mlp_bias": True}),
    "mistral": (t.MistralForCausalLM, t.MistralConfig, {**_LLAMA, "sliding_window": 6}),
    "qwen2": (t.Qwen2ForCausalLM, t.Qwen2Config, {**_NO_HEAD_DIM, **_SLIDING, "use_sliding_window": True}),
    "qwen3": (t.Qwen3ForCausalLM, t.Qwen3Config, {**_LLAMA, "head_dim": 16, "tie_word_embeddings": True}),
    "gemma3": (
        t.Gemma3ForCausalLM,
        t.Gemma3TextConfig,
        {**_LLAMA, **_SLIDING, "head_dim": 16, "query_pre_attn_scalar": 16, "tie_word_embeddings": True},
    ),
    "phi3": (t.Phi3ForCausalLM, t.Phi3Config, _NO_HEAD_DIM),
    "gpt2": (
        t.GPT2LMHeadModel,
        t.GPT2Config,
        {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 4, "n_head": 6, "n_positions": 64, "n_inner": 40},
    ),
    "gpt2-usual-width": (
        t.GPT2LMHeadModel,
        t.GPT2Config,
        {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 4, "n_head": 6, "n_positions": 64},
    ),
    "opt": (
        t.OPTForCausalLM,
        t.OPTConfig,
        {**{k: v for k, v in _MHA.items() if k != "intermediate_size"}, "ffn_dim": 40, "word_embed_proj_dim": 48},
    ),
    "gpt-neox": (t.GPTNeoXForCausalLM, t.GPTNeoXConfig, _MHA),
    "bert": (t.BertForMaskedLM, t.BertConfig, _BERT),
    "bert-classifier": (t.BertForSequenceClassification, t.BertConfig, {**_BERT, "num_labels": 3}),
    "bert-encoder": (t.BertModel, t.BertConfig, _BERT),
    "roberta": (t.RobertaForMaskedLM, t.RobertaConfig, {**_MHA, "pad_token_id": 0}),
    "distilbert": (
        t.DistilBertForMaskedLM,
        t.DistilBertConfig,
        {
            "vocab_size": VOCABULARY,
            "dim": 48,
            "hidden_dim": 40,
            "n_layers": 4,
            "n_heads": 6,
            "max_position_embeddings": 64,
        },
    ),
    "distilbert-classifier": (
        t.DistilBertForSequenceClassification,
        t.DistilBertConfig,
        {
            "vocab_size": VOCABULARY,
            "dim": 48,
            "hidden_dim": 40,
            "n_layers": 4,
            "n_heads": 6,
            "max_position_embeddings": 64,
        },
    ),
    "mixtral": (t.MixtralForCausalLM, t.MixtralConfig, {**_MOE, "num_local_experts": 6}),
    "qwen2-moe": (
        t.Qwen2MoeForCausalLM,
        t.Qwen2MoeConfig,
        {
            **_NO_HEAD_DIM,
            "num_experts_per_tok": 2,
            "num_experts": 6,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 24,
            "decoder_sparse_step": 2,
        },
    ),
    "qwen3-moe": (
        t.Qwen3MoeForCausalLM,
        t.Qwen3MoeConfig,
        {**_MOE, "num_experts": 6, "moe_intermediate_size": 16, "mlp_only_layers": [1], "norm_topk_prob": True},
    ),
}

MOE = ["mixtral", "qwen2-moe", "qwen3-moe"]
GROUPED = ["llama", "llama-bias", "mistral", "qwen2", "qwen3", "gemma3", "phi3", *MOE]
SQUARE = [n for n in CONFIGS if n not in GROUPED]


def tiny(name: str, **changes: Any) -> PreTrainedModel:
    """The model in float32 and eval mode. Norms and biases are random too, so that a wrong slice shows."""
    kind, config, settings = CONFIGS[name]
    torch.manual_seed(0)
    model = kind(config(**{**settings, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2)
    return model.eval()


def ids(batch: int = 2, length: int = 14) -> torch.Tensor:
    """(batch, length) token ids without the special ones."""
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(1))


def output(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Logits, or the last hidden states of a model without a head."""
    with torch.inference_mode():
        out = model(tokens)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state
