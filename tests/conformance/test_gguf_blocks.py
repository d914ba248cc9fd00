"""Q8_0 and Q4_0 in a GGUF file against ggml-quants.c's definitions, block by block in plain Python."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from core.base.progress import InMemoryReporter
from core.engine.export.write import export
from core.registry.formats import EXPORTS
from tests.conformance.test_gguf import llama


def half(value: float) -> float:
    """The nearest float16."""
    return float(struct.unpack("<e", struct.pack("<e", value))[0])


def q8_0(block: list[float]) -> list[float]:
    d = float(np.float32(max(abs(w) for w in block)) / np.float32(127))
    return [half(d) * float(int(abs(w) / d + 0.5) * (1 if w > 0 else -1)) for w in block]


def q4_0(block: list[float]) -> list[float]:
    d = max(block, key=abs) / -8
    return [half(d) * (min(15, int(w / d + 8.5)) - 8) for w in block]


ROUNDED = {"Q8_0": q8_0, "Q4_0": q4_0}
BYTES = {"Q8_0": 34, "Q4_0": 18}
"""Of a block of 32: a float16 scale, and 32 whole numbers of 8 or 4 bits."""


@pytest.mark.parametrize(
    ("form", "kind", "head"), [("gguf-q8_0", "Q8_0", "Q8_0"), ("gguf-q4_0", "Q4_0", "Q8_0")], ids=["q8_0", "q4_0"]
)
def test_blocks_are_rounded_as_by_hand(form: str, kind: str, head: str, tiny_llama: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=64,
        intermediate_size=80,  # no multiple of 32: the rows of down_proj cannot be cut into blocks
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama / name, tmp_path / "model")
    reporter = InMemoryReporter()
    facts = export(EXPORTS[form], tmp_path / "model", tmp_path / "out", "x", reporter)
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "out" / "model.gguf").tensors}
    assert {n: t.tensor_type.name for n, t in tensors.items() if "norm" not in n} == {
        "token_embd.weight": kind,
        "output.weight": head,
        "blk.0.attn_q.weight": kind,
        "blk.0.attn_k.weight": kind,
        "blk.0.attn_v.weight": kind,
        "blk.0.attn_output.weight": kind,
        "blk.0.ffn_gate.weight": kind,
        "blk.0.ffn_up.weight": kind,
        "blk.0.ffn_down.weight": "F16",
    }
    assert facts["stay_float16"] == ["blk.0.ffn_down.weight"]
    assert "1 of 12 tensors stay float16" in str(reporter.events)
    up, weight = tensors["blk.0.ffn_up.weight"], model.model.layers[0].mlp.up_proj.weight.detach()
    assert up.n_bytes == 80 * 2 * BYTES[kind]
    found = gguf.quants.dequantize(up.data, up.tensor_type)
    for row, values in zip(found, weight.tolist(), strict=True):
        by_hand = ROUNDED[kind](values[:32]) + ROUNDED[kind](values[32:])
        assert np.abs(row - by_hand).max() <= 1e-6
    ids = [5, 300, 17, 17, 250, 3, 99, 381]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="model.gguf", dtype=torch.float32).eval()
    with torch.inference_mode():
        read = again(torch.tensor([ids])).logits[0].numpy()
        exact = model(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(llama(tmp_path / "out" / "model.gguf", ids) - read).max() <= 1e-5
    assert 1e-4 < np.abs(read - exact).max() <= 0.2 * np.abs(exact).max()
    assert 0.0 < facts["relative_error"] <= 0.2 and facts["max_logit_difference"] <= 1e-5
