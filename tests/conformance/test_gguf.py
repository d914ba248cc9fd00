"""A GGUF file against llama.cpp's definition of a Llama, computed from the file alone in NumPy.

llama.cpp's rules: rotary pairs side by side (2i, 2i + 1) with angle position / base^(2i/d); query head h reads
key-value head h // (heads / kv_heads); RMS norm; SwiGLU; without `output.weight` the head is the embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

from core.base.progress import InMemoryReporter
from core.engine.export.write import export
from core.registry.formats import EXPORTS

Array = Any


def norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def rotate(x: Array, base: float) -> Array:
    """x (tokens, heads, d): each pair (2i, 2i + 1) turned by its token's angle."""
    out = np.empty_like(x)
    d = x.shape[-1]
    for t in range(x.shape[0]):
        for i in range(d // 2):
            c, s = np.cos(t * base ** (-2 * i / d)), np.sin(t * base ** (-2 * i / d))
            a, b = x[t, :, 2 * i], x[t, :, 2 * i + 1]
            out[t, :, 2 * i], out[t, :, 2 * i + 1] = a * c - b * s, a * s + b * c
    return out


def attend(q: Array, k: Array, v: Array) -> Array:
    tokens, heads, d = q.shape
    out = np.zeros_like(q)
    for h in range(heads):
        g = h // (heads // k.shape[1])
        for t in range(tokens):
            scores = k[: t + 1, g] @ q[t, h] / np.sqrt(d)
            weights = np.exp(scores - scores.max())
            out[t, h] = (weights / weights.sum()) @ v[: t + 1, g]
    return out.reshape(tokens, heads * d)


def llama(path: Path, ids: list[int]) -> Array:
    reader = gguf.GGUFReader(path)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    w = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    heads, groups, d = (
        meta[f"llama.{key}"] for key in ("attention.head_count", "attention.head_count_kv", "attention.key_length")
    )
    eps, base = meta["llama.attention.layer_norm_rms_epsilon"], meta["llama.rope.freq_base"]
    x = w["token_embd.weight"][ids]  # (tokens, hidden)
    n = len(ids)
    for i in range(meta["llama.block_count"]):
        b = f"blk.{i}."
        y = norm(x, w[b + "attn_norm.weight"], eps)
        q = rotate((y @ w[b + "attn_q.weight"].T).reshape(n, heads, d), base)
        k = rotate((y @ w[b + "attn_k.weight"].T).reshape(n, groups, d), base)
        v = (y @ w[b + "attn_v.weight"].T).reshape(n, groups, d)
        x = x + attend(q, k, v) @ w[b + "attn_output.weight"].T
        y = norm(x, w[b + "ffn_norm.weight"], eps)
        gate = y @ w[b + "ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[b + "ffn_up.weight"].T)) @ w[b + "ffn_down.weight"].T
    head = w.get("output.weight", w["token_embd.weight"])
    return norm(x, w["output_norm.weight"], eps) @ head.T


def test_the_file_is_the_model_by_llama_cpps_rules(tiny_llama: Path, tmp_path: Path) -> None:
    export(EXPORTS["gguf"], tiny_llama, tmp_path / "out", "x", InMemoryReporter())
    ids = [5, 300, 17, 17, 250, 3, 99, 381]
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).double().eval()
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    found = llama(tmp_path / "out" / "model.gguf", ids)
    assert np.abs(found - expected).max() <= 1e-5
