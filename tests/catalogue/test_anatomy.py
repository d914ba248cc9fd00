"""Anatomy against the models themselves: counts equal what transformers builds, for every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tr
from safetensors.torch import load_file, save_file

from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.anatomy import Anatomy, anatomy

SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
GROUPED = SMALL | {"num_key_value_heads": 2}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS: dict[str, tuple[Any, type[Any], dict[str, Any]]] = {
    "llama": (tr.LlamaForCausalLM, tr.LlamaConfig, GROUPED),
    "llama tied": (tr.LlamaForCausalLM, tr.LlamaConfig, GROUPED | {"tie_word_embeddings": True}),
    "mistral": (tr.MistralForCausalLM, tr.MistralConfig, GROUPED),
    "qwen2": (tr.Qwen2ForCausalLM, tr.Qwen2Config, GROUPED),
    "qwen3": (tr.Qwen3ForCausalLM, tr.Qwen3Config, GROUPED | {"head_dim": 16}),
    "gemma3": (tr.Gemma3ForCausalLM, tr.Gemma3TextConfig, GROUPED | {"head_dim": 16, "sliding_window": 8}),
    "phi3": (tr.Phi3ForCausalLM, tr.Phi3Config, GROUPED | IDS),
    "phi": (tr.PhiForCausalLM, tr.PhiConfig, SMALL),
    "neox": (tr.GPTNeoXForCausalLM, tr.GPTNeoXConfig, SMALL),
    "gpt2": (tr.GPT2LMHeadModel, tr.GPT2Config, {"vocab_size": 96, "n_embd": 32, "n_layer": 3, "n_head": 4}),
    "opt": (
        tr.OPTForCausalLM,
        tr.OPTConfig,
        {k: v for k, v in SMALL.items() if k != "intermediate_size"} | {"ffn_dim": 48, "word_embed_proj_dim": 16},
    ),
    "mixtral": (tr.MixtralForCausalLM, tr.MixtralConfig, GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2 moe": (
        tr.Qwen2MoeForCausalLM,
        tr.Qwen2MoeConfig,
        GROUPED
        | {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 24}
        | {"num_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen3 moe": (
        tr.Qwen3MoeForCausalLM,
        tr.Qwen3MoeConfig,
        GROUPED | {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 1, "head_dim": 8},
    ),
    "bert": (tr.BertModel, tr.BertConfig, SMALL),
    "bert masked": (tr.BertForMaskedLM, tr.BertConfig, SMALL),
    "bert classes": (tr.BertForSequenceClassification, tr.BertConfig, SMALL),
    "roberta masked": (tr.RobertaForMaskedLM, tr.RobertaConfig, SMALL),
    "distilbert classes": (
        tr.DistilBertForSequenceClassification,
        tr.DistilBertConfig,
        {"vocab_size": 96, "dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4},
    ),
    "codegen, not a known family": (
        tr.CodeGenForCausalLM,
        tr.CodeGenConfig,
        {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4},
    ),
}


def build(name: str, folder: Path) -> tuple[torch.nn.Module, Anatomy]:
    kind, config, values = CONFIGS[name]
    torch.manual_seed(0)
    model = kind(config(**values))
    model.save_pretrained(folder)
    return model, anatomy(folder)


@pytest.mark.parametrize("name", CONFIGS)
def test_counts_equal_the_built_model(name: str, tmp_path: Path) -> None:
    model, found = build(name, tmp_path)
    total = sum(p.numel() for p in model.parameters())
    assert found.parameters == total == sum(found.by_part.values())
    assert [layer.index for layer in found.layers] == [0, 1, 2]
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 3)
    assert [layer.total for layer in found.layers] == [sum(p.numel() for p in b.parameters()) for b in blocks]
    assert found.bytes_in("float32") == 4 * total and found.dtype == "float32"
    assert found.disk_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert "other" not in found.by_part or name in ("bert", "bert classes")  # only their pooler


@pytest.mark.parametrize("name", [n for n in CONFIGS if "not a known" not in n])
def test_shape_and_parts_by_module_type(name: str, tmp_path: Path) -> None:
    model, found = build(name, tmp_path)
    shape = found.shape
    assert shape.known and (shape.layers, shape.hidden, shape.heads, shape.vocab) == (3, 32, 4, 96)
    assert shape.intermediate == (128 if name == "gpt2" else 48)
    norms = [m for m in model.modules() if "Norm" in type(m).__name__]
    in_head = sum(
        p.numel()
        for n, p in model.named_parameters()
        if n.startswith(("cls.", "lm_head.layer_norm")) and "norm" in n.lower()
    )
    assert found.by_part["norms"] == sum(p.numel() for m in norms for p in m.parameters()) - in_head
    attention = [m for m in model.modules() if type(m).__name__.endswith(("Attention", "SelfAttention", "SelfOutput"))]
    inside = {id(p): p.numel() for m in attention for n, p in m.named_parameters() if "norm" not in n.lower()}
    assert found.by_part["attention"] == sum(inside.values())


@pytest.mark.parametrize(("name", "tied"), [("llama", False), ("llama tied", True), ("gpt2", True), ("bert", False)])
def test_tied(name: str, tied: bool, tmp_path: Path) -> None:
    assert build(name, tmp_path)[1].tied is tied


def test_a_tied_head_stored_twice_counts_once(tmp_path: Path) -> None:
    model, _ = build("llama tied", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    assert anatomy(tmp_path).parameters == sum(p.numel() for p in model.parameters())


def test_stored_masks_and_positions_are_no_parameters(tmp_path: Path) -> None:
    model, _ = build("gpt2", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    tensors["transformer.position_ids"] = torch.arange(8)
    save_file(tensors, tmp_path / "model.safetensors")
    assert anatomy(tmp_path).parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "opt", "neox", "phi3", "qwen3", "mixtral", "mistral"])
@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_cache_bytes_equal_a_real_cache(name: str, tokens: int, tmp_path: Path) -> None:
    """The cache transformers fills, in float32, takes twice the 16-bit bytes stated."""
    kind, config, values = CONFIGS[name]
    window = {"sliding_window": 8} if name in ("gemma3", "mistral") else {}
    model = kind(config(**values | window)).eval()
    model.save_pretrained(tmp_path)
    found = anatomy(tmp_path)
    cache = model(torch.arange(tokens)[None] % 90, use_cache=True).cache
    kept = [min(tokens, w) if w else tokens for w in found.shape.windows]
    # A sliding layer of transformers keeps one token less than its window: the next one completes it.
    real = sum(
        layer.keys.numel() * n // layer.keys.shape[-2] + layer.values.numel() * n // layer.values.shape[-2]
        for layer, n in zip(cache.layers, kept, strict=True)
    )
    assert found.kv_bytes(tokens) == real * 2
    assert all(layer.keys.shape[-2] in (n, n - 1) for layer, n in zip(cache.layers, kept, strict=True))


def test_encoders_keep_no_cache(tmp_path: Path) -> None:
    assert build("bert", tmp_path)[1].kv_bytes_per_token is None


def test_an_unknown_family_claims_no_more_than_it_knows(tmp_path: Path) -> None:
    found = build("codegen, not a known family", tmp_path)[1]
    assert not found.shape.known and found.shape.kv_heads is None and found.kv_bytes_per_token is None


def test_active_parameters_of_a_mixture(tmp_path: Path) -> None:
    model, found = build("mixtral", tmp_path)
    routed = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n)
    assert found.active_parameters == found.parameters - routed // 2


@pytest.mark.parametrize(
    "text", ['{"model_type": 3}', '{"hidden_size": "x", "num_hidden_layers": -1}', '{"text_config": []}', "{}"]
)
def test_odd_configs_still_give_totals(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    save_file({"a": torch.zeros(3, 4), "model.layers.0.mlp.w": torch.zeros(5)}, tmp_path / "model.safetensors")
    found = anatomy(tmp_path)
    assert found.parameters == 17 and found.by_part == {"other": 12, "mlp": 5} and found.kv_bytes_per_token is None


def test_damaged_weights_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny_llama / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((tiny_llama / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(RetortError, match="is damaged"):
        anatomy(tmp_path)


def test_licence_of_a_model_card(tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_llama / name).read_bytes())
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\nlicense: none\n")
    found = anatomy(tmp_path)
    assert (found.licence, found.source) == ("apache-2.0", "model card")


def test_anatomy_is_json(tiny_llama: Path) -> None:
    found = anatomy(tiny_llama)
    assert Anatomy.model_validate(json.loads(found.model_dump_json())) == found


@pytest.mark.sample
def test_the_sample_is_what_the_catalogue_says(sample_home: Settings) -> None:
    found = anatomy(sample_home.samples / "smollm2-135m")
    assert found.parameters == 134_515_008 and found.tied and found.dtype == "bfloat16"
    shape = found.shape
    assert (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.vocab) == (30, 576, 9, 3, 49_152)
    assert found.kv_bytes_per_token == 30 * 2 * 3 * 64 * 2
    assert found.licence == "Apache-2.0" and "Q4_1" in found.note
