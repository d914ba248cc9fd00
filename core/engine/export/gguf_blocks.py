"""Weights in blocks of few bits, by the gguf package's own quantisers, as ggml-quants.c defines them.

Rows are cut into blocks of 32 weights, each with a float16 scale d. Q8_0 keeps w = d q with d = max |w| / 127 and q in
[-127, 127]; Q4_0 keeps w = d q with d = m / -8, m the weight furthest from nought, and q in [-8, 7]. What cannot be cut
so stays float16, as in llama.cpp. In Q4_0 the head is Q8_0 (llama.cpp: Q6_K, which the gguf package cannot write).
"""

from __future__ import annotations

import gguf
import torch
from torch import Tensor
from transformers import PreTrainedModel

BLOCK = 32
BLOCK_TYPES = (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0)


def type_of(
    place: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType, model: PreTrainedModel
) -> gguf.GGMLQuantizationType:
    """The type a tensor of `shape`, (out, in) or (out,), is stored in where `kind` is asked for.

    Args:
        place: its name in GGUF.
    """
    if len(shape) == 1:
        return gguf.GGMLQuantizationType.F32
    if kind not in BLOCK_TYPES:
        return kind
    if shape[-1] % BLOCK:
        return gguf.GGMLQuantizationType.F16
    head = "token_embd.weight" if model.config.tie_word_embeddings else "output.weight"
    return gguf.GGMLQuantizationType.Q8_0 if place == head else kind


def round_weights(weight: Tensor, kind: gguf.GGMLQuantizationType) -> Tensor:
    """What is left of `weight`, (out, in) or (out,), once it was stored as `kind`: float32."""
    values = weight.float().contiguous().numpy()
    return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind).reshape(values.shape))
