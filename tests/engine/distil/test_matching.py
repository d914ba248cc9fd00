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
from core.engine.models.compatibility import label_order
from core.engine.models.load import Loaded
from core.engine.models.shared_tokens import shared_tokens


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def changed(tokenizer: Any, old: str, new: str) -> Any:
    """The same tokenizer with one piece of its definition replaced."""
    text = tokenizer.backend_tokenizer.to_str()
    assert old in text
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text.replace(old, new, 1)))


def test_equal_tokenizers_pass(tokenizer: Any, teacher: Loaded) -> None:
    assert shared_tokens(tokenizer, copy.deepcopy(tokenizer), teacher.model, teacher.model) is None


def test_tokens_with_other_numbers_are_found_by_their_text(tokenizer: Any, teacher: Loaded) -> None:
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    first, second = (next(t for t, i in vocabulary.items() if i == n) for n in (300, 301))
    vocabulary[first], vocabulary[second] = 301, 300
    swapped = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(definition)))
    shared = shared_tokens(tokenizer, swapped, teacher.model, teacher.model)
    assert shared is not None and shared.count == 384 and shared.unknown == []
    assert shared.read(torch.tensor([[0, 300, 301, 383]])).tolist() == [[0, 301, 300, 383]]


def test_a_token_the_teacher_lacks_is_refused(tokenizer: Any, teacher: Loaded) -> None:
    more = copy.deepcopy(tokenizer)
    more.add_tokens(["<|tool|>"])
    with pytest.raises(RetortError, match="1 of the student's 385 are none of the teacher's, such as '<|tool|>'"):
        shared_tokens(tokenizer, more, teacher.model, teacher.model)
    assert shared_tokens(more, tokenizer, teacher.model, teacher.model) is not None


def test_the_same_tokens_for_another_text_are_refused(tokenizer: Any, teacher: Loaded) -> None:
    other = changed(tokenizer, '"decoder":{"type":"ByteLevel"', '"decoder":{"type":"Fuse"')
    other.add_tokens(["<|tool|>"])
    with pytest.raises(RetortError, match="stand for another text with the teacher"):
        shared_tokens(other, tokenizer, teacher.model, teacher.model)


def test_equal_tokens_split_differently_are_refused(tokenizer: Any, teacher: Loaded) -> None:
    spaced = changed(tokenizer, '"add_prefix_space":false', '"add_prefix_space":true')
    assert spaced.get_vocab() == tokenizer.get_vocab()
    with pytest.raises(RetortError, match="split the text .* differently: from token 1 on"):
        shared_tokens(tokenizer, spaced, teacher.model, teacher.model)


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
