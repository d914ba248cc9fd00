"""What cannot be exported is refused with the reason, before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.analysis.doctor import export_options
from core.base.errors import RetortError
from core.catalogue.exportable import Described, reason_against, remark_on
from core.catalogue.vocabulary import vocabulary_kind
from core.recipe.recipe import Recipe
from core.registry.formats import EXPORTS
from tests.engine.conftest import Memory

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 2,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 100,
    "hidden_act": "silu",
}


def reason(format_id: str, vocabulary: str = "gpt-2", packed: bool = False, **changes: Any) -> str | None:
    return reason_against(EXPORTS[format_id], Described(LLAMA | changes, vocabulary, packed))


def test_an_ordinary_llama_goes_everywhere() -> None:
    assert [reason(f) for f in ("huggingface", "onnx", "gguf")] == [None, None, None]
    remark = remark_on(EXPORTS["gguf"], Described(LLAMA, "gpt-2"))
    assert remark == "K-quants need rows that are multiples of 256; rows of 576 fall back to other types."
    assert remark_on(EXPORTS["gguf-q4_0"], Described(LLAMA, "gpt-2")) == ""
    narrow = remark_on(EXPORTS["gguf-q4_0"], Described(LLAMA | {"intermediate_size": 1500}, "gpt-2"))
    assert narrow == "Blocks hold 32 weights; rows of 1500 are no multiple of that and stay float16."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_key_value_heads": 2}, "9 heads cannot be shared out over 2 key-value heads"),
        ({"model_type": "opt", "architectures": ["OPTForCausalLM"]}, "this is 'opt'"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "this is 'bert'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "stretched ('llama3')"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "stretched ('linear')"),
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "activation is 'gelu'"),
        ({"model_type": "mistral", "sliding_window": 16}, "sliding window"),
        ({"vocabulary": ""}, "tokenizer"),
        ({"packed": True}, "export before the quantise step"),
    ],
)
def test_gguf_says_why_not(changes: dict[str, Any], said: str) -> None:
    assert said in str(reason("gguf", **changes))


def test_onnx_says_why_not() -> None:
    assert "int8" in str(reason("onnx", packed=True))
    assert "experts" in str(reason("onnx", model_type="mixtral", num_local_experts=4))
    assert reason("huggingface", packed=True) is None
    grown = {"rope_type": "dynamic", "factor": 4.0}
    assert "length of the text" in str(reason("onnx", rope_parameters=grown))
    assert "length of the text" in str(reason("onnx", rope_scaling={"type": "dynamic", "factor": 4.0}))
    assert reason("onnx", rope_parameters={"rope_type": "yarn", "factor": 4.0}) is None
    classifier = {"architectures": ["LlamaForSequenceClassification"]}
    assert (
        "'pad_token_id'" in str(reason("onnx", **classifier)) and reason("onnx", **classifier, pad_token_id=0) is None
    )
    assert reason("onnx", architectures=["BertForSequenceClassification"], model_type="bert") is None


def cut(step: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {"model": {"type": "BPE", **model}, "pre_tokenizer": step, "normalizer": None}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES]}


@pytest.mark.parametrize(
    ("tokenizer", "kind"),
    [
        (cut(BYTES), "gpt-2"),
        (cut(DIGITS), "smollm"),
        (cut(BYTES | {"add_prefix_space": True}), ""),
        (cut(BYTES, byte_fallback=True), ""),
        (cut(BYTES) | {"normalizer": {"type": "Lowercase"}}, ""),
        (cut({"type": "BertPreTokenizer"}), ""),
        ({"model": {"type": "WordPiece"}, "pre_tokenizer": BYTES}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_the_rule_a_tokenizer_cuts_by_is_told_from_its_file(tokenizer: Any, kind: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert vocabulary_kind(tmp_path) == kind


def test_a_recipe_with_an_impossible_export_does_not_start(run: Callable[..., Memory], model: Path, home: Any) -> None:
    hooks = Memory(home)
    with pytest.raises(RetortError, match="cannot be exported as ONNX: its int8 weights"):
        run(model, {"step": "quantise"}, {"step": "export", "format": "onnx"}, hooks=hooks)
    assert hooks.trials == [] and not list(home.home.glob("candidates/*"))


def test_quantised_models_are_neither_pruned_nor_quantised_again() -> None:
    prune = {"step": "prune", "method": "magnitude", "sparsity": 0.5}
    for steps in ([{"step": "quantise"}, prune], [{"step": "quantise"}, {"step": "quantise"}]):
        with pytest.raises(ValidationError, match="comes after those steps"):
            Recipe.model_validate({"name": "x", "model": "sample:x", "steps": steps})
    aside = [{"step": "quantise", "of": "baseline"}, prune, {"step": "quantise"}]
    assert len(Recipe.model_validate({"name": "x", "model": "sample:x", "steps": aside}).steps) == 3
    with pytest.raises(ValidationError, match="unknown format 'pickle'; known: huggingface, onnx, onnx-int8, "):
        Recipe.model_validate({"name": "x", "model": "sample:x", "steps": [{"step": "export", "format": "pickle"}]})


def test_the_doctor_lists_every_form_with_its_reason() -> None:
    told = {
        o.id: o for o in export_options(Described(LLAMA | {"model_type": "mixtral", "num_local_experts": 4}, "gpt-2"))
    }
    assert list(told) == ["int8", *EXPORTS]
    assert [told[o].possible for o in ("int8", "huggingface", "onnx", "gguf")] == [False, True, False, False]
    assert all(o.why.endswith(".") for o in told.values() if not o.possible)
    assert export_options(Described(LLAMA, "gpt-2"))[0].possible


@pytest.mark.parametrize(
    ("config", "unread"),
    [
        ({"model_type": "qwen3", "head_dim": 128}, ""),
        ({"model_type": "qwen3", "head_dim": 64}, "the head size of 64"),
        ({"model_type": "qwen2", "head_dim": 128}, "the head size of 128"),
        ({"model_type": "qwen2"}, ""),
        ({"model_type": "llama", "head_dim": 32}, ""),
    ],
)
def test_what_plain_transformers_does_not_read_back_is_said(config: dict[str, Any], unread: str) -> None:
    sizes = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    remark = remark_on(EXPORTS["gguf"], Described(LLAMA | sizes | config, "gpt-2"))
    assert (unread in remark) if unread else remark == ""
