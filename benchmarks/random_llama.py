"""A random Llama of a billion parameters, for benchmarks of size: what it says means nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase


def random_llama(folder: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> Path:
    """Writes it in bfloat16, in shards, with the tokenizer: 0.97 billion parameters and the embeddings."""
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="500MB")
    finally:
        torch.set_default_dtype(before)
    tokenizer.save_pretrained(folder)
    return folder
