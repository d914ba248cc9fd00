"""Classification against counts made one item at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.evaluate.classify import classification_measurements, confusion_matrix, macro_f1, predictions

TEXTS = [
    "Rain fell.",
    "The market opened as usual, then it closed because of rain.",
    "A lighthouse",
    "stones " * 200,
]


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=384,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        max_position_embeddings=64,
        id2label={0: "earn", 1: "acq", 2: "ship"},
        initializer_range=0.4,
    )
    return BertForSequenceClassification(config).double().eval(), AutoTokenizer.from_pretrained(tiny_llama)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_macro_f1_is_the_mean_of_precision_and_recall_of_each_class(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = [g for g, _ in pairs], [p for _, p in pairs]
    scores = []
    for c in range(4):
        hits = sum(g == p == c for g, p in pairs)
        precision = hits / predicted.count(c) if predicted.count(c) else 0.0
        recall = hits / gold.count(c) if gold.count(c) else 0.0
        if gold.count(c) or predicted.count(c):
            scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    matrix = confusion_matrix(gold, predicted, 4)
    assert macro_f1(matrix) == pytest.approx(sum(scores) / len(scores))
    assert all(matrix[g, p] == pairs.count((g, p)) for g in range(4) for p in range(4))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_padding_never_changes_a_prediction(loaded: tuple[Any, Any], batch: int) -> None:
    model, tokenizer = loaded
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text)[:64]])
        with torch.no_grad():
            expected.append(int(model(ids).logits.argmax()))
    assert predictions(model, tokenizer, TEXTS, batch, InMemoryReporter()) == expected


def test_figures_and_confusion(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    predicted = predictions(model, tokenizer, TEXTS, 2, InMemoryReporter())
    gold = [predicted[0], predicted[1], (predicted[2] + 1) % 3, predicted[3]]
    acc, f1 = classification_measurements(
        model, tokenizer, TEXTS, gold, 2, InMemoryReporter(), settings={"corpus": "own"}
    )
    assert acc.value == 0.75 and acc.samples == [1.0, 1.0, 0.0, 1.0] and acc.settings["corpus"] == "own"
    assert f1.settings["labels"] == ["earn", "acq", "ship"] and np.sum(f1.settings["confusion"]) == 4
    assert f1.settings["confusion"][gold[2]][predicted[2]] >= 1


def test_labels_that_do_not_fit_are_refused(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    for texts, gold in ((TEXTS, [0, 1, 2]), (TEXTS, [0, 1, 2, 3]), ([], [])):
        with pytest.raises(RetortError, match="do not fit a model with 3 classes"):
            classification_measurements(model, tokenizer, texts, gold, 2, InMemoryReporter())


def test_scores_that_are_not_numbers_are_refused(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    broken = BertForSequenceClassification(model.config).eval()
    with torch.no_grad():
        broken.classifier.weight[0, 0] = float("nan")
    with pytest.raises(RetortError, match="finite score"):
        predictions(broken, tokenizer, TEXTS, 2, InMemoryReporter())


def decoder(padding: int | None) -> Any:
    """A classifier that looks at the last token which is not padding."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
        max_position_embeddings=64,
        pad_token_id=padding,
        initializer_range=0.4,
    )
    return LlamaForSequenceClassification(config).double().eval()


@pytest.mark.parametrize("padding", [None, 7, -1, 400])
@pytest.mark.parametrize("own", [True, False])
def test_a_decoder_that_classifies_needs_no_padding_token(tiny_llama: Path, padding: int | None, own: bool) -> None:
    """One after the other by plain transformers, whatever tokenizer and config say of padding."""
    model = decoder(None)
    model.config.pad_token_id = padding
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.pad_token = tokenizer.eos_token if own else None
    texts = [*TEXTS, "Rain", "A river ran to the mill", "stones"]
    expected = []
    for text in texts:
        with torch.no_grad():
            expected.append(int(decoder(None)(torch.tensor([tokenizer.encode(text)[:64]])).logits.argmax()))
    assert len(set(expected)) > 1
    assert predictions(model, tokenizer, texts, 4, InMemoryReporter()) == expected


def test_texts_are_cut_where_roberta_s_positions_end(tiny_llama: Path) -> None:
    """Two rows of its 64 are kept for padding."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=384,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        max_position_embeddings=64,
        pad_token_id=1,
        initializer_range=0.4,
    )
    model, tokenizer = RobertaForSequenceClassification(config).eval(), AutoTokenizer.from_pretrained(tiny_llama)
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            expected.append(int(model(torch.tensor([tokenizer.encode(text)[:62]])).logits.argmax()))
    assert predictions(model, tokenizer, TEXTS, 2, InMemoryReporter()) == expected
