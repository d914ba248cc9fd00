"""GGUF files: read back by gguf's reader and by transformers, for every family Retort writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.export.write import export
from core.registry.formats import EXPORTS

SIZES: dict[str, Any] = {
    "vocab_size": 390,  # six rows more than the tokenizer has tokens
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def build(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=390, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0)
        )
    if family == "narrow":  # two of the heads were pruned: hidden is not heads times head size
        return LlamaForCausalLM(LlamaConfig(**SIZES | {"num_attention_heads": 2, "num_key_value_heads": 1}, head_dim=8))
    kinds: dict[str, Any] = {
        "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=True)),
        "mistral": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=None)),
        "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=True)),
        "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=16)),
    }
    kind, config = kinds[family]
    model: PreTrainedModel = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases start at nought and norms at one: a mix-up would not show
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def saved(model: PreTrainedModel, folder: Path, tokenizer: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)
    return folder


EXPORTED_AS = {
    "llama": "llama",
    "narrow": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gpt2": "gpt2",
}


@pytest.mark.parametrize("family", EXPORTED_AS)
def test_what_is_read_back_is_the_same_function(family: str, tmp_path: Path, tiny_llama: Path) -> None:
    model = build(family).eval()
    folder = saved(model, tmp_path / "model", tiny_llama)
    facts = export(EXPORTS["gguf"], folder, tmp_path / "out", "x", InMemoryReporter())
    assert facts["max_logit_difference"] <= 1e-5
    config = None if EXPORTED_AS[family] == "llama" else model.config  # what transformers' reader leaves out
    again = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", gguf_file="model.gguf", config=config, dtype=torch.float32
    ).eval()
    assert facts["architecture"] == EXPORTED_AS[family]
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        assert (again(ids).logits - model(ids).logits).abs().max() <= 1e-5
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_rounded_weights_are_read_back_in_every_layout(family: str, tmp_path: Path, tiny_llama: Path) -> None:
    folder = saved(build(family).eval(), tmp_path / "model", tiny_llama)
    facts = export(EXPORTS["gguf-q8_0"], folder, tmp_path / "out", "x", InMemoryReporter())
    assert facts["max_logit_difference"] <= 1e-5 and 0.0 < facts["relative_error"] <= 0.02
    matrices = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "out" / "model.gguf").tensors}
    down = "F16" if family == "qwen3" else "Q8_0"  # rows of 48 and of 128
    assert (matrices["blk.0.ffn_up.weight"], matrices["blk.1.ffn_down.weight"]) == ("Q8_0", down)


def test_half_precision_stays_as_it_is_stored(tmp_path: Path, tiny_llama: Path) -> None:
    model = build("llama").to(torch.bfloat16).eval()
    folder = saved(model, tmp_path / "model", tiny_llama)
    facts = export(EXPORTS["gguf"], folder, tmp_path / "out", "x", InMemoryReporter())
    assert (facts["tensor_type"], facts["max_logit_difference"] <= 1e-5) == ("BF16", True)
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "out" / "model.gguf").tensors}
    assert tensors["blk.0.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType.BF16
    assert tensors["blk.0.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert "output.weight" not in tensors, "a tied head is not written twice"


def test_the_tokenizer_and_the_sizes_are_in_the_file(tmp_path: Path, tiny_llama: Path) -> None:
    folder = saved(build("llama"), tmp_path / "model", tiny_llama)
    export(EXPORTS["gguf"], folder, tmp_path / "out", "x", InMemoryReporter())
    fields = gguf.GGUFReader(tmp_path / "out" / "model.gguf").fields
    stored = {name: field.contents() for name, field in fields.items()}
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokens = stored["tokenizer.ggml.tokens"]
    assert tokens[:384] == tokenizer.convert_ids_to_tokens(range(384)) and len(tokens) == 390
    merges = json.loads((tiny_llama / "tokenizer.json").read_text())["model"]["merges"]
    assert stored["tokenizer.ggml.merges"] == [m if isinstance(m, str) else " ".join(m) for m in merges]
    types = stored["tokenizer.ggml.token_type"]
    assert (types[0], types[1], types[389]) == (gguf.TokenType.CONTROL, gguf.TokenType.NORMAL, gguf.TokenType.UNUSED)
    assert stored["tokenizer.ggml.pre"] == "gpt-2" and stored["tokenizer.ggml.eos_token_id"] == 0
    assert stored["llama.attention.head_count_kv"] == 2 and stored["llama.attention.key_length"] == 8


def test_an_export_is_complete_or_absent_and_not_written_twice(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = saved(build("llama"), tmp_path / "model", tiny_llama), tmp_path / "out"
    export(EXPORTS["gguf"], folder, out, "first", InMemoryReporter())
    written = (out / "model.gguf").stat().st_mtime_ns
    export(EXPORTS["gguf"], folder, out, "first", InMemoryReporter())
    assert (out / "model.gguf").stat().st_mtime_ns == written
    # A converter that forgets to reorder the rows writes a file that loads and computes something else.
    monkeypatch.setattr("core.engine.export.gguf.side_by_side", lambda weight, heads: weight)
    with pytest.raises(RetortError, match="computes something else"):
        export(EXPORTS["gguf"], folder, tmp_path / "wrong", "second", InMemoryReporter())
    assert sorted(p.name for p in tmp_path.glob("[!.]*")) == ["model", "out"]


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(tmp_path: Path, tiny_llama: Path) -> None:
    small = LlamaForCausalLM(LlamaConfig(**SIZES | {"vocab_size": 380}))
    folder = saved(small, tmp_path / "model", tiny_llama)
    with pytest.raises(RetortError, match=r"the number 380, and the model has embeddings for 380 tokens"):
        export(EXPORTS["gguf"], folder, tmp_path / "out", "x", InMemoryReporter())
