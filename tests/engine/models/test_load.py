"""Loading: what is accepted, and that each refusal says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.base.errors import RetortError
from core.engine.models.load import compute_dtype, load_model, task_of


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def test_loads_weights_tokenizer_and_task(tiny_llama: Path) -> None:
    loaded = load_model(tiny_llama, "float32")
    stored = load_file(tiny_llama / "model.safetensors")
    assert torch.equal(loaded.model.model.embed_tokens.weight.detach(), stored["model.embed_tokens.weight"])
    assert loaded.task == "causal" and loaded.dtype == torch.float32 and not loaded.model.training
    assert loaded.tokenizer.decode(loaded.tokenizer("The river ran")["input_ids"]) == "The river ran"


def test_bfloat16_is_computed_in_when_asked(tiny_llama: Path) -> None:
    assert load_model(tiny_llama, "bfloat16").model.dtype == torch.bfloat16


def test_auto_follows_the_processor() -> None:
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() or torch.cuda.is_available()
    if not fast:
        assert compute_dtype("auto") == torch.float32
    assert compute_dtype("float32") == torch.float32
    with pytest.raises(RetortError, match="float16"):
        compute_dtype("float16")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("LlamaForCausalLM", "causal"),
        ("GPT2LMHeadModel", "causal"),
        ("BertForMaskedLM", "masked"),
        ("DistilBertForSequenceClassification", "classification"),
        ("BertModel", "encoder"),
    ],
)
def test_task_comes_from_the_architecture(name: str, task: str) -> None:
    assert task_of({"architectures": [name]}) == task


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_a_weight_that_is_no_number(copy: Path, value: float) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RetortError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(copy, "float32")


def test_large_finite_weights_are_accepted(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][:] = 3e38  # their sum overflows, each is finite
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert load_model(copy, "float32").task == "causal"


def test_refuses_pickled_weights(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(RetortError, match="only as a pickle"):
        load_model(copy)


def test_refuses_code_of_the_models_own(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Own"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RetortError, match="program code"):
        load_model(copy)


def test_refuses_an_unknown_type(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["model_type"] = "nosuchtype"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RetortError, match="nosuchtype"):
        load_model(copy)


def test_refuses_a_truncated_file(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RetortError, match="is damaged"):
        load_model(copy)


def test_says_how_much_memory_is_missing(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=1000))
    with pytest.raises(RetortError, match=r"GB of memory; 0\.0 GB is free"):
        load_model(tiny_llama)


def test_refuses_a_model_that_lacks_tensors(copy: Path) -> None:
    """transformers would fill them in at random and say so in a log line only."""
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RetortError, match=r"lack 1 of its tensors, such as 'model\.layers\.2\.mlp\.up_proj"):
        load_model(copy, "float32")


@pytest.mark.parametrize("change", [{"num_attention_heads": 5}, {"num_hidden_layers": "four"}, {"hidden_size": 40}])
def test_refuses_a_config_that_does_not_fit(copy: Path, change: dict[str, object]) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RetortError, match="could not be loaded"):
        load_model(copy, "float32")


def test_refuses_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(RetortError, match=r"no readable config\.json"):
        load_model(tmp_path)


def test_refuses_a_folder_without_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(RetortError, match="tokenizer"):
        load_model(copy, "float32")
