"""What a recipe asserts: kept or not, with the interval, and the classes that suffer most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from core.analysis.asserted import all_held, verdicts
from core.analysis.weak_classes import class_changes, weakest
from core.base.settings import Settings
from core.commands import runs
from core.recipe.asserts import Asserts
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.recipe import Prune, Recipe
from core.recipe.results import Result
from core.recipe.trial_keys import Identity, chain_key
from core.registry.measurement import Measurement
from core.report.classes import class_table
from core.report.html import to_html
from core.report.model import build
from core.store import Store
from tests.pages.study import finished_study

NAMES = ["card acceptance", "lost card", "top up"]
DENSE = [[30, 10, 0], [1, 39, 0], [0, 2, 18]]
SMALL = [[23, 17, 0], [0, 40, 0], [1, 1, 18]]


def figure(metric: str, value: float, **more: Any) -> Measurement:
    return Measurement(metric=metric, value=value, unit=more.pop("unit", ""), **more)


def classified(key: str, matrix: list[list[int]], **more: Any) -> Result:
    right = sum(row[i] for i, row in enumerate(matrix))
    samples = [1.0] * right + [0.0] * (sum(map(sum, matrix)) - right)
    figures = [
        figure("accuracy", right / len(samples), samples=samples),
        figure("f1", 0.8, settings={"labels": NAMES, "confusion": matrix}),
        figure("disk_bytes", 20.1e6, unit="B"),
    ]
    return Result(key=key, label=key, model="m", method="dense", measurements=figures, **more)


RESULTS = [classified("dense", DENSE, baseline=True), classified("small", SMALL)]


def sentences(**asserts: Any) -> list[str]:
    return [v.sentence for v in verdicts(Asserts(**asserts), RESULTS, sweep=False)]


def test_every_assertion_is_a_sentence_with_its_interval() -> None:
    assert sentences(megabytes=25.0) == ["Kept: small, weights on disk 20.1 MB, at most 25 MB asserted."]
    assert sentences(megabytes=20.0) == ["Not kept: small, weights on disk 20.1 MB, at most 20 MB asserted."]
    assert sentences(decode_ms=5.0) == ["Not kept: small, latency per token was not measured, at most 5 ms asserted."]
    assert sentences(class_recall={"lost card": 0.9, "top up": 0.95, "theft": 0.5}) == [
        "Kept: small, recall of 'lost card' 1.000, 40 of 40 texts (0.91 to 1.00), at least 0.9 asserted.",
        "Not kept: small, recall of 'top up' 0.900, 18 of 20 texts (0.70 to 0.97), at least 0.95 asserted; its error "
        "does not rule the other out.",
        "Not kept: small, no text of the class 'theft' was judged, at least 0.5 asserted.",
    ]
    assert [s.partition(":")[0] for s in sentences(recall=0.6, class_recall={"card acceptance": 0.5})] == ["Kept"] * 3
    assert sentences(accuracy_points=7.0)[0].startswith("Kept: small, accuracy \u22126 points")
    assert sentences(accuracy_points=5.0)[0].startswith("Not kept: small, accuracy \u22126 points")


def test_which_candidates_are_meant() -> None:
    results = [*RESULTS, classified("smaller", [[40, 0, 0], [0, 40, 0], [0, 0, 20]])]
    bound = {"class_recall": {"card acceptance": 0.6}}
    assert [v.candidate for v in verdicts(Asserts(**bound), results, sweep=False)] == ["smaller"]
    some = verdicts(Asserts(of="some", **bound), results, sweep=False)
    assert all_held(some) and [v.candidate for v in some] == ["smaller"]
    every = verdicts(Asserts(of="every", **bound), results, sweep=False)
    assert not all_held(every) and [v.held for v in every] == [False, True]
    assert not all_held(verdicts(Asserts(**bound), RESULTS[:1], sweep=True)), "no candidate keeps nothing"
    assert verdicts(None, RESULTS, sweep=True) == []


def test_the_weakest_classes_are_named() -> None:
    assert [c.words for c in weakest(RESULTS[1], RESULTS[0])] == ["'card acceptance' falls from 30 to 23 of 40 texts"]
    assert [(c.name, c.before, c.right) for c in class_changes(RESULTS[1], None)][0] == ("card acceptance", None, 23)
    table = class_table(RESULTS[1], RESULTS[0])
    assert table is not None and table.rows[0] == ("card acceptance", "40", "30", "23", "lost card 17")
    assert table.matrix[0] == ("card acceptance", "23", "17", "0")
    assert class_table(Result(key="x", label="x", model="m", method="dense"), None) is None


STEPS = """\
model: sample:minilm
assert: {loss_percent: 5.0, megabytes: 30.0}
steps:
  - {step: prune, name: Small student, method: magnitude, sparsity: 0.5}
  - {step: quantise}
"""


def test_a_recipe_says_it_and_is_written_back() -> None:
    recipe = load_recipe(STEPS)
    assert recipe.asserts == Asserts(loss_percent=5.0, megabytes=30.0)
    written = dump_recipe(recipe)
    assert "\nassert:\n" in written and load_recipe(written) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(ValidationError, match="asserts nothing"):
        Asserts(of="every")


class Older:
    """A step as it was dumped before steps had names."""

    def __init__(self, step: Prune) -> None:
        self.said = {k: v for k, v in step.model_dump(mode="json").items() if k != "name"}

    def model_dump(self, mode: str) -> dict[str, Any]:
        return self.said


def test_a_step_without_a_name_has_the_key_it_always_had() -> None:
    recipe, step = load_recipe(STEPS), Prune(method="magnitude", sparsity=0.5)
    older, now, named = (
        chain_key(recipe, Identity("m"), [s], {})  # type: ignore[list-item]
        for s in (Older(step), step, step.model_copy(update={"name": "Small"}))
    )
    assert older == now != named


def test_what_is_not_kept_has_a_status_of_its_own(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    for megabytes, status in ((1e-6, 3), (1e9, 0)):
        asked = replace(run, recipe={**run.recipe, "asserts": {"megabytes": megabytes}})
        assert runs._kept(asked, results, False) == status
        line = capsys.readouterr().out.strip()
        assert line.startswith("Not kept: " if status else "Kept: ")
        report = build(asked, results)
        assert f"Asserted. {line}" in report.notes()
    assert runs._kept(run, results, False) == 0
    shown = to_html(build(run, [RESULTS[0], *RESULTS[1:]], audience="engineers"))
    assert "Most often taken for" in shown and "falls from 30 to 23 of 40 texts" in shown
