"""Tiny random models of several families, for tests of pruning. Seeded; nothing is fetched."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn

_COMMON = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_DECODER = _COMMON | {"intermediate_size": 48, "max_position_embeddings": 64}
_GQA = _DECODER | {"num_key_value_heads": 2, "head_dim": 8}
_MOE = _GQA | {"num_local_experts": 4, "num_experts_per_tok": 2}
_GEMMA = _GQA | {
    "sliding_window": 4,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "query_pre_attn_scalar": 8,
}
_GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
_DISTIL = {"vocab_size": 97, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}
_OPT = _COMMON | {"ffn_dim": 48, "max_position_embeddings": 64, "word_embed_proj_dim": 32}

FAMILIES: dict[str, tuple[type[hf.PretrainedConfig], type[nn.Module], dict[str, object]]] = {
    "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, _GQA),
    "gemma3": (hf.Gemma3TextConfig, hf.Gemma3ForCausalLM, _GEMMA),
    "gpt2": (hf.GPT2Config, hf.GPT2LMHeadModel, _GPT2),
    "neox": (hf.GPTNeoXConfig, hf.GPTNeoXForCausalLM, _DECODER),
    "opt": (hf.OPTConfig, hf.OPTForCausalLM, _OPT),
    "bert": (hf.BertConfig, hf.BertForMaskedLM, _DECODER),
    "distilbert": (hf.DistilBertConfig, hf.DistilBertForMaskedLM, _DISTIL),
    "mixtral": (hf.MixtralConfig, hf.MixtralForCausalLM, _MOE),
}


def tiny(family: str, layers: int = 3, seed: int = 0) -> nn.Module:
    """A random model in eval mode, float32."""
    config, model, options = FAMILIES[family]
    changed = {k: layers if k in ("num_hidden_layers", "n_layer", "n_layers") else v for k, v in options.items()}
    if layers != 3:
        changed.pop("layer_types", None)
    torch.manual_seed(seed)
    return model(config(**changed)).eval()


def windows(sequences: int = 5, length: int = 24, seed: int = 1) -> torch.Tensor:
    """Random token ids `(sequences, length)`."""
    return torch.randint(3, 97, (sequences, length), generator=torch.Generator().manual_seed(seed))
