"""Calibration text that also stands in the evaluation text: 6 % is refused before any work, 4 % is said."""

from __future__ import annotations

import re
from typing import Any

import pytest
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.engine.pipeline import execute
from core.recipe.results import Trial
from tests.engine import by_hand
from tests.engine.conftest import Memory, Study

TOKENS, WINDOW = 2048, 256


def runs(text: str) -> set[tuple[str, ...]]:
    """Every 13 words in a row."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 13]) for i in range(len(words) - 12)}


def sharing(study: Study, share: float) -> tuple[dict[str, Any], float]:
    """A sweep whose calibration holds about this share of the evaluation text, and the exact share, by hand."""
    tokenizer = AutoTokenizer.from_pretrained(study.model)
    ids = by_hand.windows(study.evaluation, study.model, TOKENS, WINDOW)
    judged = [tokenizer.decode(row) for row in ids]
    asked = set().union(*map(runs, judged))
    count = round(share * len(asked)) + 12 if share else 0
    copied = " ".join(re.findall(r"\w+", judged[3])[5 : 5 + count])
    whole = f"{' '.join(study.calibration.read_text().split()[:90])}. {copied}"
    study.calibration.write_text(whole)
    # As many windows as there are places: together they hold the whole text.
    places = len(tokenizer(whole)["input_ids"]) - WINDOW + 1
    recipe = {
        "calibration": {"data": f"path:{study.calibration}", "split": None, "sequences": places, "length": WINDOW},
        "evaluation": {"data": f"path:{study.evaluation}", "split": None, "tokens": TOKENS, "window": WINDOW},
        "sweep": {"grid": [{"method": "wanda", "sparsity": [0.5]}], "keep": "none"},
    }
    return recipe, len(asked & runs(whole)) / len(asked)


class Counted(Exception):
    """Raised at the first trial: the texts were accepted."""


class Stops(Memory):
    """Goes no further than the first trial."""

    def trial_started(self, index: int) -> None:
        raise Counted

    def register_trials(self, trials: list[Trial]) -> None:
        self.trials = trials


def stopping(study: Study) -> Stops:
    return Stops(study.hooks("one").settings)


def test_six_in_a_hundred_are_refused_before_any_work(study: Study) -> None:
    recipe, share = sharing(study, 0.06)
    assert 0.055 < share < 0.065
    hooks = study.hooks("one")
    with pytest.raises(RetortError) as refused:
        execute(study.recipe(**recipe), hooks)
    assert refused.value.cause == (
        "6 % of the evaluation text also stands in the calibration text, so the figures would flatter."
    )
    assert "another text" in refused.value.remedy
    assert hooks.started == [] and hooks.results == {}


@pytest.mark.parametrize("wanted", [0.04, 0.0])
def test_four_in_a_hundred_are_said_with_the_number_and_none_are_not(wanted: float, study: Study) -> None:
    recipe, share = sharing(study, wanted)
    assert abs(share - wanted) < 0.003
    hooks = stopping(study)
    with pytest.raises(Counted):
        execute(study.recipe(**recipe), hooks)
    said = [message for message, _ in hooks.events if "evaluation text" in message]
    assert said == (
        [f"{100 * share:.1f} % of the evaluation text also stands in the calibration text."] if wanted else []
    )
