"""Leaks, refusing templates and heads that cannot learn: found before the first step, and said."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.references import resolve
from core.commands.models import _show_anatomy
from core.engine.distil.classification_head import head_parameters, unchanged, untrained_head
from core.engine.models.load import load_model
from core.engine.pipeline import execute
from core.recipe.recipe import Recipe
from core.registry.measurement import find_metric
from tests.engine.conftest import Memory

TRAINING = "\n\n".join(
    f"Line {i} speaks of boats, {i * 3} nets and {i % 7} men who went out to sea." for i in range(300)
)


@pytest.fixture
def start(home: Settings, model: Path, tiny_text: str) -> Callable[..., Memory]:
    """A run of these steps that is judged on `tiny_text`, and learns from a text of its own."""
    (home.roots[0] / "evaluation.txt").write_text(tiny_text)

    def go(training: str, *before: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> Memory:
        path = home.roots[0] / ("training.jsonl" if data else "training.txt")
        path.write_text(training)
        source = {"data": f"path:{path}", "split": None, "length": 32, **(data or {})}
        lesson = {
            "step": "finetune",
            "losses": [{"loss": "cross_entropy"}],
            "data": source,
            "budget": {"steps": 1},
            "batch": 2,
            "held_out": 2,
        }
        hooks = Memory(home)
        execute(
            Recipe.model_validate(
                {
                    "name": "t",
                    "model": f"path:{model}",
                    "dtype": "float32",
                    "latency": None,
                    "evaluation": {"data": f"path:{home.roots[0] / 'evaluation.txt'}", "tokens": 512, "window": 64},
                    "steps": [{"step": "evaluate"}, *before, lesson, {"step": "evaluate"}],
                    **more,
                }
            ),
            hooks,
        )
        return hooks

    return go


def test_a_training_text_that_holds_the_evaluation_text_is_refused_before_the_first_step(
    start: Callable[..., Memory], home: Settings, tiny_text: str
) -> None:
    with pytest.raises(RetortError, match=r"evaluation text also stands in the training text path:.*training.txt"):
        start(TRAINING + "\n\n" + tiny_text, {"step": "prune", "method": "magnitude", "sparsity": 0.1})
    assert not list((home.home / "candidates").glob("*")), "refused before any work"


def test_a_text_of_its_own_is_no_leak(start: Callable[..., Memory]) -> None:
    hooks = start(TRAINING)
    assert len(hooks.results) == 2
    assert not any("also stands in" in m for m, _ in hooks.events)


def test_conversations_are_looked_at_too(start: Callable[..., Memory], tiny_text: str) -> None:
    rows = [{"prompt": "Go on.", "answer": part} for part in tiny_text.split("\n\n")]
    with pytest.raises(RetortError, match="also stands in the training text"):
        start("".join(json.dumps(r) + "\n" for r in rows), data={"form": "chat"})


def test_what_is_left_out_is_said_in_the_run_and_with_the_candidate(start: Callable[..., Memory]) -> None:
    rows = [{"prompt": "boat " * (200 if i % 2 else 2), "answer": "A net."} for i in range(12)]
    hooks = start("".join(json.dumps(r) + "\n" for r in rows), data={"form": "chat"})
    sentence = "6 of 12 conversations have no answer within 32 tokens and were left out."
    assert any(sentence in m for m, _ in hooks.events)
    assert sentence in hooks.results[hooks.trials[-1].key].notes


def labelled(path: Path, count: int, seed: int) -> None:
    dice = random.Random(seed)
    words = {"a": ["good", "nice", "great"], "b": ["bad", "ugly", "poor"]}
    rows = [(" ".join(dice.choices([*words[c], "the", "film"], k=8)), c) for c in dice.choices("ab", k=count)]
    path.write_text("text,label\n" + "".join(f"{t},{c}\n" for t, c in rows))


@pytest.fixture
def encoder(home: Settings, tiny_llama: Path) -> Path:
    torch.manual_seed(0)
    folder = home.roots[0] / "encoder"
    config = BertConfig(
        vocab_size=384,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    return folder


def test_a_new_head_learns_under_lora(home: Settings, encoder: Path) -> None:
    train, test = home.roots[0] / "train.csv", home.roots[0] / "test.csv"
    labelled(train, 160, 1)
    labelled(test, 80, 2)
    accuracies = {}
    for name, more in (("full", {}), ("lora", {"lora": {"rank": 8, "alpha": 16}})):
        lesson = {
            "step": "finetune",
            "losses": [{"loss": "cross_entropy"}],
            "budget": {"steps": 60},
            "batch": 16,
            "data": {"data": f"path:{train}", "form": "labels", "length": 32},
            "held_out": 20,
            "schedule": {"learning_rate": 1e-3},
            **more,
        }
        hooks = Memory(home)
        execute(
            Recipe.model_validate(
                {
                    "name": name,
                    "model": f"path:{encoder}",
                    "dtype": "float32",
                    "latency": None,
                    "evaluation": {
                        "data": f"path:{train.with_suffix('.txt')}",
                        "tokens": 64,
                        "window": 16,
                        "labelled": {"data": f"path:{test}"},
                    },
                    "steps": [lesson, {"step": "evaluate"}],
                }
            ),
            hooks,
        )
        result = hooks.results[hooks.trials[-1].key]
        found = find_metric(result.measurements, "accuracy")
        assert found is not None
        accuracies[name] = found.value
        assert not any("chance" in note for note in result.notes)
    assert accuracies["full"] > 0.9 and accuracies["lora"] > 0.9


@pytest.fixture(autouse=True)
def some_text(home: Settings, tiny_text: str) -> None:
    (home.roots[0] / "train.txt").write_text(tiny_text)


def test_a_head_is_what_stands_beside_the_model_and_its_pooler(home: Settings, encoder: Path) -> None:
    BertForSequenceClassification.from_pretrained(encoder, num_labels=2).save_pretrained(encoder)
    loaded = load_model(encoder, "float32")
    names = set(head_parameters(loaded.model))
    assert names == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    before = untrained_head(loaded)
    assert unchanged(loaded, before)
    with torch.no_grad():
        loaded.model.get_parameter("classifier.bias").add_(1.0)
    assert not unchanged(loaded, before) and not unchanged(loaded, {})


def test_texts_that_train_and_judge_are_counted(home: Settings, encoder: Path) -> None:
    train, test = home.roots[0] / "train.csv", home.roots[0] / "test.csv"
    train.write_text("text,label\nGood  film,a\nbad film,b\nfine,a\npoor,b\n")
    test.write_text("text,label\ngood film,a\nother,b\n")
    lesson = {
        "step": "finetune",
        "losses": [{"loss": "cross_entropy"}],
        "budget": {"steps": 1},
        "batch": 2,
        "data": {"data": f"path:{train}", "form": "labels", "length": 32},
        "held_out": 1,
    }
    hooks = Memory(home)
    execute(
        Recipe.model_validate(
            {
                "name": "leak",
                "model": f"path:{encoder}",
                "dtype": "float32",
                "latency": None,
                "evaluation": {
                    "data": f"path:{train.with_suffix('.txt')}",
                    "tokens": 64,
                    "window": 16,
                    "labelled": {"data": f"path:{test}"},
                },
                "steps": [lesson, {"step": "evaluate"}],
            }
        ),
        hooks,
    )
    assert any("1 of the 2 texts the accuracy is measured on" in m and "flatters" in m for m, _ in hooks.events)


def test_a_regression_model_is_refused_before_the_start_and_the_doctor_says_so(
    home: Settings, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert anatomy(encoder).unjudged == ""
    BertForSequenceClassification.from_pretrained(encoder, num_labels=1).save_pretrained(encoder)
    found = anatomy(encoder)
    _show_anatomy(resolve(f"path:{encoder}", home, LOCAL), found)
    assert "Not judged        How often it is right: it gives one number (regression" in capsys.readouterr().out
    test = home.roots[0] / "test.csv"
    test.write_text("text,label\na,0.1\nb,0.2\n")
    with pytest.raises(RetortError, match=r"gives one number \(regression or reward\), which Retort does not judge"):
        execute(
            Recipe.model_validate(
                {
                    "name": "r",
                    "model": f"path:{encoder}",
                    "dtype": "float32",
                    "steps": [{"step": "evaluate"}],
                    "evaluation": {
                        "data": f"path:{home.roots[0] / 'train.txt'}",
                        "tokens": 64,
                        "window": 16,
                        "labelled": {"data": f"path:{test}"},
                    },
                }
            ),
            Memory(home),
        )
