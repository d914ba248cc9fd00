"""Tiny models with an encoder and a decoder: T5 as published first, gated (Flan-T5), mT5, and BART."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t

ROWS = 384  # as many as the tokenizer of the tiny Llama has
_T5: dict[str, Any] = {
    "vocab_size": ROWS,
    "d_model": 32,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "d_kv": 8,
    "pad_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
}
_BART: dict[str, Any] = {
    "vocab_size": ROWS,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
    "init_std": 0.2,
}
_GATED = {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

PAIRS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "t5": lambda: t.T5ForConditionalGeneration(t.T5Config(**_T5)),
    "flan-t5": lambda: t.T5ForConditionalGeneration(t.T5Config(**_GATED)),
    "mt5": lambda: t.MT5ForConditionalGeneration(t.MT5Config(**_T5)),
    "bart": lambda: t.BartForConditionalGeneration(t.BartConfig(**_BART)),
}


def pair_of(name: str) -> t.PreTrainedModel:
    """In `eval` mode, float32, seed 0; three layers read and two write, hidden 32, 4 heads of 8, 48 neurons."""
    torch.manual_seed(0)
    return PAIRS[name]().eval()


def pair_folder(name: str, tokenizer: Path, into: Path) -> Path:
    """The same as a model folder, with the tokenizer's files of another."""
    pair_of(name).save_pretrained(into / name)
    for file in tokenizer.glob("tokenizer*"):
        shutil.copy2(file, into / name / file.name)
    return into / name
