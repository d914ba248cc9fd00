"""Classifiers answering the same labelled texts: against one forward pass a text; kept answers; refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.base.errors import Cancelled, RetortError
from core.base.settings import Settings
from core.engine.live import classify as operation
from core.engine.live.classify import classify, labelled
from tests.engine.live.classifiers import CLASSES, TEXTS, write_classifiers
from tests.engine.live.test_compare import Models


@pytest.fixture
def world(home: Settings, tiny_llama: Path) -> tuple[Models, dict[str, str]]:
    return Models(home), write_classifiers(home, tiny_llama)


def classified(events: Any) -> dict[str, Any]:
    found: dict[str, Any] = [e for e in events if "classified" in e][-1]["classified"]
    return found


def one_by_one(reference: str, texts: tuple[str, ...]) -> list[str]:
    """The name of the likeliest class of each text, alone in its batch."""
    folder = reference.removeprefix("path:")
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = [int(model(torch.tensor([tokenizer.encode(t)[:64]])).logits.argmax()) for t in texts]
    return [model.config.id2label[i] for i in found]


def test_answers_are_those_of_each_model_alone_in_the_first_models_classes(world: Any) -> None:
    host, made = world
    request = {"models": [made["one"], made["two"]], "data": made["data"], "items": None}
    events = list(classify(host, request))
    told = classified(events)
    assert told["labels"] == list(CLASSES) and len(told["gold"]) == 40
    for given, name in zip(told["predicted"], ("one", "two"), strict=True):
        assert [CLASSES[a] for a in given] == one_by_one(made[name], TEXTS)
    differ = [i for i in range(40) if told["predicted"][0][i] != told["predicted"][1][i]]
    assert differ and [tuple(t) for t in told["texts"]] == [(i, TEXTS[i]) for i in differ]
    assert sum("of 40 texts" in e.get("stage", "") for e in events) >= 2
    host.stop_after = 0
    again = classified(list(classify(host, request)))
    assert again == told, "no text is read twice: a host whom nobody waits for still answers at once"


def test_only_the_first_so_many_and_long_texts_are_cut(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, made = world
    monkeypatch.setattr(operation, "MOST_CHARACTERS", 5)
    told = classified(list(classify(host, {"models": [made["one"], made["two"]], "data": made["data"], "items": 12})))
    assert len(told["gold"]) == 12 and {t for _, t in told["texts"]} == {"Text "}


def test_kept_answers_need_no_model_and_must_fit_the_texts(world: Any) -> None:
    host, made = world
    answers = [[i % 3 for i in range(40)], [0] * 40]
    request = {"data": made["data"], "items": 40, "labels": CLASSES, "predicted": answers}
    told = classified(list(labelled(host, request)))
    assert not host.loaded and told["predicted"] == answers and told["gold"] == [i % 3 for i in range(40)]
    assert [i for i, _ in told["texts"]] == [i for i in range(40) if i % 3]
    with pytest.raises(RetortError, match="their number has changed"):
        list(labelled(host, request | {"predicted": [[0] * 39]}))


def test_what_cannot_be_compared_is_said(world: Any, tiny_llama: Path) -> None:
    host, made = world
    writes = host.settings.home / "models" / "writes"
    shutil.copytree(tiny_llama, writes)
    with pytest.raises(RetortError, match="tells no classes apart"):
        list(classify(host, {"models": [f"path:{writes}"], "data": made["data"]}))
    with pytest.raises(RetortError, match="different classes"):
        host.model(made["two"]).model.config.id2label = {0: "a", 1: "b", 2: "c"}
        list(classify(host, {"models": [made["one"], made["two"]], "data": made["data"]}))


def test_nobody_waits(world: Any) -> None:
    host, made = world
    host.stop_after = 1
    with pytest.raises(Cancelled):
        list(classify(host, {"models": [made["one"]], "data": made["data"]}))
