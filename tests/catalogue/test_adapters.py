"""A folder with a LoRA adapter is its model with the adapter merged in, as peft merges it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from core.base.errors import Impossible, RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from tests.engine.models.wild import edit


def adapter(home: Settings, base: Path, modules: list[str], dtype: torch.dtype, **more: Any) -> tuple[Path, Any]:
    """A random adapter of rank 3 on a base in the home, and the model that peft merges from both."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    torch.manual_seed(1)
    found: Any = get_peft_model(model, LoraConfig(r=3, lora_alpha=7, target_modules=modules, **more))
    for name, parameter in found.named_parameters():
        if "lora_B" in name:  # which starts as zeros
            torch.nn.init.normal_(parameter, std=0.1)
    folder = home.roots[0] / "adapter"
    found.save_pretrained(folder)
    return folder, found.merge_and_unload()


@pytest.fixture
def base(home: Settings, tiny_llama: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, home.roots[0] / "base"))


@pytest.mark.parametrize("rslora", [False, True])
def test_it_is_what_peft_merges(base: Path, home: Settings, rslora: bool) -> None:
    folder, expected = adapter(home, base, ["q_proj", "down_proj"], torch.float32, use_rslora=rslora)
    found = resolve(f"path:{folder}", home, LOCAL)
    merged = AutoModelForCausalLM.from_pretrained(found.folder)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, expected(ids).logits, atol=1e-6)
        dense = AutoModelForCausalLM.from_pretrained(base)(ids).logits
    assert float((merged(ids).logits - dense).abs().max()) > 1e-3
    assert found.provenance["made_from"] == f"path:{base}"
    assert (found.folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    again = resolve(f"path:{folder}", home, None)
    assert (again.folder, again.fingerprint) == (found.folder, found.fingerprint)


def test_bfloat16_is_rounded_as_pytorch_rounds(base: Path, home: Settings) -> None:
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    folder, _ = adapter(home, base, ["v_proj"], torch.bfloat16)
    parts, before = load_file(folder / "adapter_model.safetensors"), load_file(base / "model.safetensors")
    after = load_file(resolve(f"path:{folder}", home, LOCAL).folder / "model.safetensors")
    name = "model.layers.2.self_attn.v_proj"
    a, b = (parts[f"base_model.model.{name}.lora_{m}.weight"].float() for m in "AB")
    by_hand = (before[f"{name}.weight"].float() + (7 / 3) * (b @ a)).bfloat16()
    assert torch.equal(after[f"{name}.weight"], by_hand)
    assert torch.equal(after["model.norm.weight"], before["model.norm.weight"])


def test_transposed_layers(home: Settings) -> None:
    torch.manual_seed(0)
    base = home.roots[0] / "gpt2"
    GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=32)).save_pretrained(base)
    folder, expected = adapter(home, base, ["c_attn"], torch.float32, fan_in_fan_out=True)
    merged = AutoModelForCausalLM.from_pretrained(resolve(f"path:{folder}", home, LOCAL).folder)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, expected(ids).logits, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "of the kind 'IA3'"),
        ({"bias": "all"}, "biases of its own"),
        ({"r": None}, "no rank and scale"),
        ({"r": 4}, "do not fit that tensor"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(
    base: Path, home: Settings, changes: dict[str, Any], said: str
) -> None:
    folder, _ = adapter(home, base, ["q_proj"], torch.float32)
    edit(folder, "adapter_config.json", **changes)
    with pytest.raises(Impossible, match=said):
        resolve(f"path:{folder}", home, LOCAL)


def test_a_base_that_is_not_there_is_asked_for(base: Path, home: Settings, tmp_path: Path) -> None:
    folder, _ = adapter(home, base, ["q_proj"], torch.float32)
    for named, said in (
        ("../nowhere", "does not exist"),
        (str(tmp_path.parent), "outside the folders"),
        (3, "not say"),
    ):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": named}))
        with pytest.raises(RetortError, match=said) as refused:
            resolve(f"path:{folder}", home, LOCAL)
        assert "base_model_name_or_path" in refused.value.remedy
