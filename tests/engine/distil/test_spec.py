"""The distil step of a recipe: refused with a reason where it makes no sense, before any work."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from pydantic import ValidationError

from core.recipe.distil import Design, Distil, Term, TrainingBudget
from core.registry.losses import LOSSES, loss
from core.registry.mixes import MIXES


def test_every_loss_names_a_function_and_explains_itself() -> None:
    for one in LOSSES.values():
        module, name = one.entry.split(":")
        assert callable(getattr(importlib.import_module(module), name))
        assert one.summary.endswith(".") and one.source
        for parameter in one.parameters:
            assert parameter.refusal(parameter.default) is None
            assert parameter.choices or (parameter.low is not None and parameter.high is not None)


def test_every_mix_is_a_valid_step() -> None:
    for mix in MIXES.values():
        losses = tuple(Term(loss=name, weight=weight, parameters=given) for name, weight, given in mix.terms)
        step = Distil(losses=losses)
        assert Distil.model_validate_json(step.model_dump_json()) == step


def test_unknown_losses_are_none() -> None:
    assert loss("soft_labels") is LOSSES["soft_labels"] and loss("alchemy") is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"losses": [{"loss": "alchemy"}]}, "unknown loss 'alchemy'"),
    ({"losses": []}, "at least 1"),
    ({"losses": [{"loss": "soft_labels", "parameters": {"temperature": 0}}]}, "goes from 0.1 to 20"),
    ({"losses": [{"loss": "soft_labels", "parameters": {"heat": 1}}]}, "has no 'heat'; it takes temperature"),
    ({"losses": [{"loss": "jensen_shannon", "parameters": {"preset": "0.5"}}]}, "is one of forward, mostly_forward"),
    ({"losses": [{"loss": "soft_labels", "weight": 0}]}, "greater than 0"),
    ({"step": "finetune", "losses": [{"loss": "logit_kl"}]}, "fine-tuning takes only"),
    ({"losses": [{"loss": "hidden_mse"}], "cache": {}}, "hidden_mse needs the teacher itself"),
    ({"losses": [{"loss": "logit_mse"}], "cache": {}}, "logit_mse needs the teacher itself"),
    ({"losses": [{"loss": "cross_entropy"}], "cache": {}}, "no loss here uses a teacher"),
    ({"cache": {}, "on_policy": {}}, "cannot judge what the student writes"),
    ({"losses": [{"loss": "cross_entropy"}], "on_policy": {}}, "has no right answer"),
    ({"data": {"form": "labels", "data": "sample:reuters-r8/train"}, "on_policy": {}}, "a classifier writes no text"),
    ({"data": {"length": 32}, "on_policy": {"prompt": 32}}, "leaves nothing of 'length' 32"),
    ({"teacher": "smollm"}, "is 'baseline', 'step:N'"),
    ({"student": "path:/a", "design": {"layers": 3}}, "not both"),
    ({"budget": {"steps": 3, "minutes": 1}}, "exactly one of steps, tokens, minutes"),
    ({"design": {"sizes": {"layers": 3}}}, "number of layers as 'layers'"),
    ({"design": {}}, "give 'layers', 'sizes' or both"),
]


@pytest.mark.parametrize(("given", "reason"), REFUSED)
def test_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        Distil.model_validate(given)


def test_labels() -> None:
    assert Distil(step="finetune", losses=(Term(loss="cross_entropy"),)).label() == "Fine-tuned, 200 steps"
    mixed = Distil(
        losses=(Term(loss="soft_labels", weight=0.5), Term(loss="cross_entropy")), budget=TrainingBudget(minutes=15)
    )
    assert mixed.label() == "Distilled by 0.5 soft labels + 1 cross-entropy on the text, 15 minutes"
    assert Design(layers=3).initialise == "spread"
