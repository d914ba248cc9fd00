"""A model's class is kept: nothing is saved that was not in it, and nothing left out without a word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from safetensors.torch import load_file

from core.analysis.doctor import diagnose, export_options
from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.exportable import describe
from core.engine.models.load import load_model
from core.engine.models.save import save_model
from tests.engine.models.wild import add_tensors, edit, without_tensors
from tests.engine.models.zoo import VOCABULARY, tiny

BERT = {
    "vocab_size": 384,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
T5 = t.T5Config(vocab_size=384, d_model=32, d_ff=40, num_layers=2, num_heads=2, d_kv=16)
OTHERS: dict[str, Any] = {
    "BertForTokenClassification": lambda: t.BertForTokenClassification(t.BertConfig(**BERT, num_labels=5)),
    "BertForQuestionAnswering": lambda: t.BertForQuestionAnswering(t.BertConfig(**BERT)),
    "BertForMultipleChoice": lambda: t.BertForMultipleChoice(t.BertConfig(**BERT)),
    "BertForNextSentencePrediction": lambda: t.BertForNextSentencePrediction(t.BertConfig(**BERT)),
    "BertForPreTraining": lambda: t.BertForPreTraining(t.BertConfig(**BERT)),
    "LongT5ForConditionalGeneration": lambda: t.LongT5ForConditionalGeneration(t.LongT5Config(**T5.to_dict())),
    "T5ForSequenceClassification": lambda: t.T5ForSequenceClassification(T5),
    "GPT2DoubleHeadsModel": lambda: t.GPT2DoubleHeadsModel(
        t.GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    ),
    "LlamaForTokenClassification": lambda: t.LlamaForTokenClassification(tiny("llama").config),
}


def folder_of(model: Any, tiny_llama: Path, folder: Path) -> Path:
    model.save_pretrained(folder)
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy2(file, folder / file.name)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_a_class_retort_does_not_serve_is_refused_by_name(
    name: str, tiny_llama: Path, tmp_path: Path, home: Settings
) -> None:
    folder = folder_of(OTHERS[name](), tiny_llama, tmp_path / "in")
    with pytest.raises(RetortError, match=name):
        load_model(folder, "float32")
    found = anatomy(folder)
    assert name in found.obstacle and found.way_on and found.shape.task == "unknown"
    assert not any(v.possible for v in diagnose(found, 10**12, home))
    assert not any(o.possible for o in export_options(describe(folder)))


@pytest.mark.parametrize("architectures", [None, []])
def test_without_a_named_class_the_tensors_tell(architectures: Any, tiny_llama: Path, tmp_path: Path) -> None:
    tied = edit(Path(shutil.copytree(tiny_llama, tmp_path / "tied")), architectures=architectures)
    assert anatomy(tied).shape.task == "causal" and load_model(tied, "float32").task == "causal"
    classifier = t.LlamaForSequenceClassification(_config(tiny_llama))
    folder = edit(folder_of(classifier, tiny_llama, tmp_path / "head"), architectures=architectures)
    assert load_model(folder, "float32").task == "classification" == anatomy(folder).shape.task
    labels = edit(folder_of(OTHERS["BertForTokenClassification"](), tiny_llama, tmp_path / "ner"), architectures=None)
    with pytest.raises(RetortError, match="names no class in 'architectures'"):
        load_model(labels, "float32")


def _config(folder: Path) -> Any:
    return t.AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize(
    ("named", "tensor"),
    [
        ("BertModel", "classifier__weight"),
        ("BertModel", "qa_outputs__weight"),
        ("BertForMaskedLM", "classifier__weight"),
        ("BertModel", "cls__predictions__bias"),
    ],
)
def test_a_head_the_named_class_has_not_is_refused(named: str, tensor: str, tiny_llama: Path, tmp_path: Path) -> None:
    model = getattr(t, named)(t.BertConfig(**BERT))
    folder = add_tensors(folder_of(model, tiny_llama, tmp_path / "in"), **{tensor: torch.ones(5, 32)})
    with pytest.raises(RetortError, match=tensor.replace("__", r"\.")):
        load_model(folder, "float32")
    assert "would be lost" in anatomy(folder).obstacle


def test_tensors_without_a_place_are_refused_and_tables_are_not(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "in"))
    add_tensors(folder, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4))
    assert load_model(folder, "float32").remarks == ()
    add_tensors(folder, model__layers__3__mlp__adapter__weight=torch.ones(4, 4))
    with pytest.raises(RetortError, match=r"model\.layers\.3\.mlp\.adapter\.weight"):
        load_model(folder, "float32")


def test_pretraining_leftovers_stay_behind_with_a_word(tiny_llama: Path, tmp_path: Path) -> None:
    """As in the published BERT: a masked model whose file still holds the head for the next sentence."""
    folder = folder_of(t.BertForMaskedLM(t.BertConfig(**BERT)), tiny_llama, tmp_path / "in")
    add_tensors(folder, cls__seq_relationship__weight=torch.ones(2, 32), bert__pooler__dense__bias=torch.ones(32))
    (remark,) = load_model(folder, "float32").remarks
    assert "bert.pooler.dense.bias, cls.seq_relationship.weight" in remark and "left out" in remark


def test_no_pooler_is_made_up(tiny_llama: Path, tmp_path: Path) -> None:
    model = t.BertModel(t.BertConfig(**BERT))
    folder = without_tensors(folder_of(model, tiny_llama, tmp_path / "in"), "pooler")
    loaded = load_model(folder, "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == set(load_file(folder / "model.safetensors"))
    kept = load_model(folder_of(model, tiny_llama, tmp_path / "whole"), "float32").model
    assert torch.equal(kept.pooler.dense.weight, model.pooler.dense.weight)


def test_a_classifier_without_its_pooler_is_incomplete(tiny_llama: Path, tmp_path: Path) -> None:
    model = t.BertForSequenceClassification(t.BertConfig(**BERT))
    folder = without_tensors(folder_of(model, tiny_llama, tmp_path / "in"), "pooler")
    with pytest.raises(RetortError, match=r"lack 2 of its tensors, such as 'bert\.pooler"):
        load_model(folder, "float32")


@pytest.mark.parametrize("stored", ["another head", "the same head", "no head"])
def test_the_config_says_of_the_head_what_the_file_holds(stored: str, tiny_llama: Path, tmp_path: Path) -> None:
    model = t.LlamaForCausalLM(_config(tiny_llama))
    model.config.tie_word_embeddings = True
    folder = folder_of(model, tiny_llama, tmp_path / "in")
    words = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    if stored != "no head":
        add_tensors(folder, lm_head__weight=words.clone() if stored == "the same head" else words + 1)
    own = stored == "another head"
    loaded, found = load_model(folder, "float32"), anatomy(folder)
    assert found.tied is not own and bool(loaded.remarks) is own
    assert found.parameters == sum(p.numel() for p in loaded.model.parameters())
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is not own
    assert ("lm_head.weight" in load_file(tmp_path / "out" / "model.safetensors")) is own


def test_tokens_beyond_the_embeddings_are_refused_with_both_sizes(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "in"))
    tokenizer = t.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["wiki_new", "second"])
    tokenizer.save_pretrained(folder)
    said = r"'wiki_new' the number 384, and the model has embeddings for 384 tokens \(0 to 383\)"
    with pytest.raises(RetortError, match=said) as refused:
        load_model(folder, "float32")
    assert "resize_token_embeddings(385)" in refused.value.remedy
    assert "'wiki_new' the number 384" in anatomy(folder).obstacle
    assert VOCABULARY < 384 and anatomy(tiny_llama).obstacle == ""


@pytest.mark.parametrize("empty", [None, {}])
def test_empty_values_are_absence(empty: Any, tiny_llama: Path, tmp_path: Path) -> None:
    folder = edit(
        Path(shutil.copytree(tiny_llama, tmp_path / "in")),
        quantization_config=empty,
        auto_map=empty,
        transformers_weights=None,
        rope_scaling=empty,
        text_config=None,
    )
    edit(folder, "tokenizer_config.json", auto_map=empty)
    assert load_model(folder, "float32").task == "causal"
    assert anatomy(folder).obstacle == "" and [o.possible for o in export_options(describe(folder))][:2] == [True, True]
