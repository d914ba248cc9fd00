"""A resume is offered, on pages and in the terminal, only where it can help."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core import __version__
from core.base.errors import SAME_AGAIN, Impossible, RetortError, recorded_remedy
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.outcome import failures, say_failures
from core.jobs import actions, resumable
from core.store import RunRow, Store, TrialRow
from tests.pages.study import failed_run, finished_study

LATER = "Close other programs, then retry."
NEVER = recorded_remedy(Impossible("It cannot be.", "Ask for less."))


def run(state: Any, remedy: str = "", version: str = __version__, **counts: int) -> RunRow:
    return RunRow(
        1,
        "r1",
        "sweep",
        "Study",
        "path:/m",
        {},
        state,
        0,
        0,
        "",
        0.0,
        0.0,
        1.0,
        1,
        "It failed." if remedy else "",
        remedy,
        False,
        (),
        "",
        version,
        **counts,
    )


def trial(index: int, state: Any, remedy: str = "") -> TrialRow:
    return TrialRow("r1", index, f"k{index}", f"Trial {index}", None, state, 0.0, 1.0, "Why." if remedy else "", remedy)


CASES: list[tuple[RunRow, list[TrialRow], bool]] = [
    (run("queued"), [], False),
    (run("cancelled"), [trial(0, "done"), trial(1, "queued")], True),
    (run("done"), [trial(0, "done")], False),
    (run("done"), [trial(0, "done"), trial(1, "failed", LATER)], True),
    (run("done"), [trial(0, "done"), trial(1, "failed", NEVER)], False),
    (run("done"), [trial(0, "failed", NEVER), trial(1, "failed", LATER)], True),
    (run("failed", LATER), [], True),
    (run("failed", NEVER), [trial(0, "done"), trial(1, "failed", NEVER), trial(2, "queued")], False),
    (run("failed", NEVER, version="0.0.1"), [trial(0, "failed", NEVER)], True),
    (run("done", version="0.0.1"), [trial(0, "done")], False),
]


@pytest.mark.parametrize(("row", "trials", "helps"), CASES)
def test_trying_again_helps_unless_recipe_and_model_decide(row: RunRow, trials: list[TrialRow], helps: bool) -> None:
    assert resumable.can_help(row, trials) is helps


def test_what_is_impossible_stays_so_on_its_way_from_another_process() -> None:
    arrived = pickle.loads(pickle.dumps(Impossible("It cannot be.", "Ask for less.")))
    assert type(arrived) is Impossible and recorded_remedy(arrived) == f"Ask for less. {SAME_AGAIN}"
    assert type(pickle.loads(pickle.dumps(RetortError("a", "b")))) is RetortError
    assert recorded_remedy(RetortError("a", LATER)) == LATER


def test_the_terminal_offers_a_resume_only_then(capsys: pytest.CaptureFixture[str]) -> None:
    mixed = [trial(0, "done"), trial(1, "failed", LATER), trial(2, "failed", NEVER)]
    say_failures(run("done", trials_total=3, trials_done=1, trials_failed=2), mixed)
    assert capsys.readouterr().err.splitlines() == [
        f"'Trial 1' failed: Why. {LATER}",
        f"'Trial 2' failed: Why. {NEVER}",
        "2 of 3 candidates failed. When that is mended, go on with: python -m core resume r1",
    ]
    say_failures(run("failed", NEVER, trials_total=1, trials_failed=1), [trial(0, "failed", NEVER)])
    said = capsys.readouterr().err.splitlines()
    assert said == [f"'Trial 0' failed: Why. {NEVER}", f"It failed. {NEVER}"], "no resume"


def test_a_list_names_a_few_and_says_where_the_rest_is() -> None:
    trials = [trial(i, "failed", LATER) for i in range(5)]
    told = failures(run("done"), trials, 2)
    assert told == [
        f"'Trial 0' failed: Why. {LATER}",
        f"'Trial 1' failed: Why. {LATER}",
        "3 more failed; all of them: python -m core show r1",
    ]


@pytest.mark.parametrize("make", [finished_study, failed_run])
def test_a_retry_of_what_cannot_be_is_refused(home: Settings, make: Callable[..., str]) -> None:
    run_id = make(home, failed=1) if make is finished_study else make(home)
    store = Store(home)
    if make is finished_study:
        store.trials.fail(run_id, 11, "It cannot be.", NEVER)
    else:
        store.runs.requeue(run_id, LOCAL)
        store.runs.claim(run_id)
        store.runs.finish(run_id, "failed", cause="It cannot be.", remedy=NEVER)
    with pytest.raises(RetortError, match="again cannot help. It cannot be.") as refused:
        actions.retry(run_id, home, LOCAL)
    assert refused.value.remedy == SAME_AGAIN
    row = store.runs.get(run_id)
    assert not row.active
    assert resumable.can_help(replace(row, version="0.0.1"), store.trials.of(run_id)), "a newer Retort may be able to"
