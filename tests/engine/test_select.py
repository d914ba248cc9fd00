"""A `select`: recovery may turn the order over, and everything after it goes on from the model that then is best."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.engine.pipeline import execute
from core.engine.run import steps
from core.recipe.results import Result
from tests.engine import by_hand
from tests.engine.conftest import Memory, Study
from tests.engine.test_steps import Watched, lesson, results, saved, watched

pytestmark = pytest.mark.slow
__all__ = ["watched"]


def option(method: str, sparsity: float) -> dict[str, Any]:
    return {"step": "prune", "method": method, "sparsity": sparsity}


@pytest.fixture(autouse=True)
def read_whole(study: Study) -> None:
    """The study is judged on 1,024 tokens of a text that has hardly more: the order below was found on these."""
    told = AutoTokenizer.from_pretrained(study.model)(study.evaluation.read_text(), return_offsets_mapping=True)
    study.evaluation.write_text(study.evaluation.read_text()[: told["offset_mapping"][1040][1]])


OPTIONS = [option("magnitude", 0.8), option("magnitude", 0.1), option("magnitude", 0.95), option("random", 0.9)]
"""By their loss third, last, first and second; the random one is best once the first three were trained a little."""


def recovery(study: Study, learning_rate: float) -> dict[str, Any]:
    return lesson(
        study,
        step="finetune",
        losses=[{"loss": "cross_entropy"}],
        batch=8,
        budget={"steps": 12},
        data={"data": f"path:{study.calibration}", "split": None, "length": 64},
        schedule={"learning_rate": learning_rate, "warmup": 0.0},
    )


def said(found: Memory) -> list[str]:
    return [message for message, _ in found.events if "After recovery" in message]


def losses_by_hand(study: Study, found: Memory, stages: range) -> list[float]:
    ids = by_hand.windows(study.evaluation, study.model, 1024, 64)
    folders = [found.candidate_folder(found.trials[i].key) / "model" for i in stages]
    return [by_hand.loss(by_hand.model_of(folder), ids) for folder in folders]


def ranked(losses: list[float]) -> list[int]:
    return sorted(range(len(losses)), key=losses.__getitem__)


def test_recovery_turns_the_order_over_and_the_next_step_starts_from_the_winner(study: Study, watched: Watched) -> None:
    select = {"step": "select", "options": OPTIONS, "best": 3, "recovery": recovery(study, 0.01)}
    more = [{"step": "export", "format": "huggingface"}, option("magnitude", 0.97), lesson(study, teacher="step:1")]
    found = study.run("one", steps=[select, *more])
    options, recovered = range(1, 5), range(5, 8)
    before, after = (losses_by_hand(study, found, stages) for stages in (options, recovered))
    order = ranked(before)
    assert order[0] not in (0, 1) and order[3] == 1, "the option that is listed first must not be the best one"
    assert ranked(after)[0] == 1, "the second best before recovery must be the best after it"
    keys = [t.key for t in found.trials]
    stages: list[Result] = results(found)
    assert [r.parent for r in stages[1:5]] == [None] * 4
    assert [r.parent for r in stages[5:8]] == [keys[1 + i] for i in order[:3]]
    for got, option_at in zip(watched.lessons[:3], order[:3], strict=True):
        assert by_hand.same(got.student, saved(found, 1 + option_at)), "each recovery trains its own option"
        assert got.teacher is None

    winner = saved(found, 6)
    assert said(found) == [said(found)[0]] and f"After recovery '{stages[6].label}' is best" in said(found)[0]
    assert said(found)[0].endswith("is best: it was number 2 before.")
    assert OPTIONS[order[1]]["method"] == "random" and "Random (control) 90 %" in stages[6].label
    assert by_hand.same(by_hand.weights_of(found.run_folder / "exports" / "7-huggingface"), winner)
    assert stages[8].parent == keys[6]
    model = by_hand.model_of(found.candidate_folder(keys[6]) / "model")
    by_hand.pruned(model, by_hand.magnitude(0.97))
    assert by_hand.same(saved(found, 8), dict(model.named_parameters()))
    last = watched.lessons[3]
    assert last.teacher is not None and by_hand.same(last.teacher, winner), "step 1 is the winner"
    assert by_hand.same(last.student, saved(found, 8)) and stages[9].parent == keys[8]
    assert json.loads((found.run_folder / "result.json").read_text()) == {"candidate": keys[9]}

    # A run that has lost its last two stages finds the winner again, and goes on from it.
    again = study.hooks("again")
    again.settings, again.results = found.settings, {key: found.results[key] for key in keys[:8]}
    execute(study.recipe(steps=[select, *more]), again)
    assert again.started == [8, 9] and said(again) == said(found)
    assert [r.parent for r in results(again)] == [r.parent for r in stages]
    assert by_hand.same(saved(again, 8), dict(model.named_parameters()))


def test_where_recovery_keeps_the_order_it_says_so(study: Study) -> None:
    """Two of three are trained, gently: the better one stays the better one. A run that ends so stands for it."""
    cut = {"step": "prune", "method": "block_influence", "target": {"sizes": {"layers": 1}}}
    options = [OPTIONS[1], option("magnitude", 0.5), cut]
    found = study.run(
        "one", steps=[{"step": "select", "options": options, "best": 2, "recovery": recovery(study, 0.003)}]
    )
    before, after = losses_by_hand(study, found, range(1, 4)), losses_by_hand(study, found, range(4, 6))
    assert ranked(before) == [2, 1, 0] and ranked(after) == [0, 1]
    keys = [t.key for t in found.trials]
    assert [r.parent for r in results(found)[4:]] == [keys[3], keys[2]]
    assert said(found)[0].endswith(f"After recovery '{results(found)[4].label}' is best, as it was before.")
    assert json.loads((found.run_folder / "result.json").read_text()) == {"candidate": keys[4]}


def test_an_option_that_fails_leaves_the_choice_to_the_others(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first option and the recovery of the best cannot be done: what is left of the second best goes on."""
    whole = steps._prune

    def fails_at_80(session: Any, bench: Any, trial: Any, current: Any) -> Any:
        if trial.prune.sparsity == 0.8:
            raise RetortError("Its loss is no number.", "Prune less.")
        return whole(session, bench, trial, current)

    monkeypatch.setattr(steps, "_prune", fails_at_80)
    select = {"step": "select", "options": OPTIONS, "best": 4, "recovery": recovery(study, 1e-9)}
    found = study.run("one", steps=[select, {"step": "quantise"}])
    done = [found.trials[i].key in found.results for i in range(len(found.trials))]
    assert done == [True, False, True, True, True, True, True, True, False, True], "one option, and the fourth recovery"
    assert found.failed == {
        1: "Its loss is no number.",
        8: "Of the options, 3 could be measured, so there is no 4 to recover.",
    }
    keys = [trial.key for trial in found.trials]
    best = 5 + ranked(losses_by_hand(study, found, range(5, 8)))[0]
    assert f"After recovery '{found.results[keys[best]].label}' is best" in said(found)[0]
    assert found.results[keys[9]].parent == keys[best]


def test_where_every_option_fails_so_does_the_run(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RetortError("Its loss is no number.", "Prune less.")

    monkeypatch.setattr(steps, "_prune", fails)
    select = {"step": "select", "options": OPTIONS[:2], "best": 2, "recovery": recovery(study, 1e-9)}
    with pytest.raises(RetortError, match="^Its loss is no number"):
        study.run("one", steps=[select])
