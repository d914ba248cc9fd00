"""Teacher and student must mean the same by their tokens, classes and layers; refusals say what differs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from core.base.errors import RetortError
from core.engine.distil.features import layer_map
from core.engine.distil.student import kept_layers
from core.engine.models.compatibility import check_tokenizers, label_order
from core.engine.models.load import Loaded


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def changed(tokenizer: Any, old: str, new: str) -> Any:
    """The same tokenizer with one piece of its definition replaced."""
    text = tokenizer.backend_tokenizer.to_str()
    assert old in text
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text.replace(old, new, 1)))


def test_equal_tokenizers_pass(tokenizer: Any, teacher: Loaded) -> None:
    check_tokenizers(tokenizer, copy.deepcopy(tokenizer), teacher.model, teacher.model)


def test_another_number_of_tokens_is_refused(tokenizer: Any, teacher: Loaded, student: Loaded) -> None:
    student.model.resize_token_embeddings(392)
    with pytest.raises(RetortError, match="The teacher predicts 384 tokens and the student 392"):
        check_tokenizers(tokenizer, tokenizer, teacher.model, student.model)


def test_equal_size_with_other_ids_is_refused(tokenizer: Any, teacher: Loaded) -> None:
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    first, second = (next(t for t, i in vocabulary.items() if i == n) for n in (300, 301))
    vocabulary[first], vocabulary[second] = 301, 300
    swapped = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(definition)))
    assert len(swapped) == len(tokenizer)
    with pytest.raises(RetortError, match="2 differ, such as .* is 300 there and 301 here"):
        check_tokenizers(tokenizer, swapped, teacher.model, teacher.model)


def test_equal_tokens_split_differently_are_refused(tokenizer: Any, teacher: Loaded) -> None:
    spaced = changed(tokenizer, '"add_prefix_space":false', '"add_prefix_space":true')
    assert spaced.get_vocab() == tokenizer.get_vocab()
    with pytest.raises(RetortError, match="split the text .* differently: from token 1 on"):
        check_tokenizers(tokenizer, spaced, teacher.model, teacher.model)


def classifier(names: list[str]) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
    )
    return BertForSequenceClassification(config)


def test_classes_are_matched_by_name() -> None:
    order = label_order(classifier(["Trade", "earn", "grain"]), classifier(["earn", "grain", "trade"]))
    assert torch.tensor([10.0, 20.0, 30.0])[order].tolist() == [20.0, 30.0, 10.0]
    with pytest.raises(RetortError, match=r"only the teacher has \['trade'\], only the student has \['crude'\]"):
        label_order(classifier(["earn", "trade"]), classifier(["earn", "crude"]))


def test_layers_of_a_pruned_student_keep_their_number() -> None:
    assert layer_map(3, 12, [0, 5, 11]) == [(0, 0), (1, 5), (2, 11)]
    assert layer_map(6, 12) == [(0, 1), (1, 3), (2, 5), (3, 7), (4, 9), (5, 11)]
    assert layer_map(4, 4) == [(i, i) for i in range(4)]
    for wrong in ([0, 1], [0, 5, 12], [5, 0, 11]):
        with pytest.raises(RetortError, match="says it kept the layers"):
            layer_map(3, 12, wrong)


def test_layers_kept_by_several_steps() -> None:
    assert kept_layers([{"layers_kept": [0, 2, 3, 5]}, {"sparsity": 0.5}, {"layers_kept": [0, 2, 3]}]) == [0, 3, 5]
    assert kept_layers([{"sparsity": 0.5}]) is None
