"""What a running run is said to take still, at moments of recorded and of written histories."""

from __future__ import annotations

from typing import Any

import pytest

from core.analysis.remaining import TimeLeft, time_left
from core.store.rows import RunRow, TrialRow, TrialState

START = 1_000.0
Times = tuple[float | None, float | None]
"""Seconds after the start at which a trial began and ended."""


def run(kind: str = "sweep", steps: list[dict[str, Any]] | None = None, **fields: Any) -> RunRow:
    recipe = {"name": "n", "model": "sample:x", "steps": steps} if steps else {}
    values: dict[str, Any] = {"done": 0.0, "total": 0.0, **fields}
    return RunRow(
        seq=1,
        id="r",
        kind=kind,
        name="n",
        model="sample:x",
        recipe=recipe,
        state="running",
        message="",
        created=START,
        started=START,
        finished=None,
        attempts=1,
        cause="",
        remedy="",
        cancel_requested=False,
        tags=(),
        notes="",
        version="",
        **values,
    )


def trials(*rows: tuple[str | None, Times]) -> list[TrialRow]:
    """Method and mode (None: no pruning) and times; what has begun is running, what has ended is done."""
    made = []
    for index, (how, (began, ended)) in enumerate(rows):
        state: TrialState = "done" if ended is not None else "running" if began is not None else "queued"
        prune = None if how is None else dict(zip(("method", "mode"), how.split(), strict=True))
        times = [None if t is None else START + t for t in (began, ended)]
        made.append(TrialRow("r", index, f"k{index}", how or "", prune, state, *times, "", ""))  # type: ignore[arg-type]
    return made


NOT_YET: Times = (None, None)
RECORDED = [  # a sweep of a tiny model on a busy machine: the dense model waited a minute for a quiet moment
    (None, (21.7, 93.2)),
    ("magnitude joint", (93.5, 94.8)),
    ("magnitude joint", (94.8, 96.2)),
    ("wanda joint", (96.3, 97.7)),
    ("wanda joint", (97.6, 98.6)),
    ("sparsegpt sequential", (98.6, 99.8)),
    ("sparsegpt sequential", (99.9, 101.1)),
    ("block_influence joint", (101.1, 102.3)),
    ("block_influence joint", (102.3, 103.5)),
]
ENDED = 103.6


def at(moment: float) -> TimeLeft | None:
    """What is said at a moment of the recorded run."""
    known = []
    for how, (began, ended) in RECORDED:
        times: Times = NOT_YET if began > moment else (began, None) if ended > moment else (began, ended)
        known.append((how, times))
    return time_left(run(), trials(*known), START + moment)


def test_the_dense_model_alone_says_nothing_of_what_pruning_takes() -> None:
    assert [at(m) for m in (0.0, 10.0, 50.0, 93.4, 94.0)] == [None] * 5


@pytest.mark.parametrize("moment", [95.0, 96.0, 97.0, 98.0, 99.0, 100.0, 101.0, 102.0, 103.0])
def test_a_recorded_sweep_was_told_within_two_seconds_once_a_candidate_was_measured(moment: float) -> None:
    left = at(moment)
    assert left is not None and abs(left.seconds - (ENDED - moment)) < 2.0
    assert left.at_least == (moment < 102.3), "until then some method had not been seen yet"


def test_what_waits_takes_as_long_as_its_kind_took_here() -> None:
    known = [(None, (0, 10)), ("wanda joint", (10, 30)), ("sparsegpt sequential", (30, 130))]
    waiting = [("wanda joint", NOT_YET), ("sparsegpt sequential", NOT_YET)]
    assert time_left(run(), trials(*known, *waiting), START + 130) == TimeLeft(120.0)


def test_a_trial_that_takes_longer_than_those_before_is_never_said_to_end_in_seconds() -> None:
    known = [(None, (0, 10)), ("wanda joint", (10, 30)), ("wanda joint", (30, None))]
    assert time_left(run(), trials(*known), START + 40) == TimeLeft(10.0)
    assert time_left(run(), trials(*known), START + 50) == TimeLeft(2.0)
    assert time_left(run(), trials(*known), START + 630) == TimeLeft(150.0, at_least=True)


def test_what_was_found_among_the_finished_ones_says_nothing() -> None:
    known = [(None, (0, 10)), ("wanda joint", (None, 10)), ("wanda joint", (10, 70)), ("wanda joint", NOT_YET)]
    assert time_left(run(), trials(*known), START + 70) == TimeLeft(60.0)


def test_trials_on_several_nodes_share_what_is_left() -> None:
    going = [("wanda joint", (70, None)), ("wanda joint", (70, None)), ("wanda joint", NOT_YET)]
    known = [(None, (0, 10)), ("wanda joint", (10, 70)), *going]
    assert time_left(run(), trials(*known), START + 70) == TimeLeft((60 * 3) / 2)


DISTIL = {"step": "distil", "budget": {"minutes": 10}}


def test_a_distillation_counts_the_training_left_and_the_measuring_after_it() -> None:
    lesson = run("recipe", [DISTIL, {"step": "evaluate"}])
    before = trials((None, (0, 30)), (None, (30, None)))
    assert time_left(lesson, before, START + 35) == TimeLeft(600 + 30 - 5)
    assert time_left(lesson, before, START + 335, training=300.0) == TimeLeft(300 + 30)
    assert time_left(lesson, trials((None, (0, None)), (None, NOT_YET)), START + 20) == TimeLeft(605.0, at_least=True)


def test_a_training_counted_in_steps_is_unknown_until_it_says_what_is_left() -> None:
    lesson = run("recipe", [{"step": "distil", "budget": {"steps": 100}}])
    going = trials((None, (0, 30)), (None, (30, None)))
    assert time_left(lesson, going, START + 60) is None
    assert time_left(lesson, going, START + 60, training=90.0) == TimeLeft(120.0)


def test_a_run_without_trials_goes_by_its_share() -> None:
    assert time_left(run("sensitivity", done=1, total=100), [], START + 60) is None
    assert time_left(run("sensitivity", done=25, total=100), [], START + 60) == TimeLeft(180.0)
