"""How long a running job still takes, from what this run has measured so far: one estimate, or none.

A trial takes as long as those of its kind took in this run. While a kind has no finished trial, and while a trial
takes longer than those before it, what is said is a bound from below, and called so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from core.recipe.recipe import Distil, Evaluate, Export, Measure, Recipe, Select
from core.store.rows import RunRow, TrialRow

_LEAST_SHARE = 0.03  # of the work done before an extrapolation is worth showing
_OVERDUE = 1.25  # times the usual duration from which a trial is not like those before it
_NEAR, _LATE = 0.1, 0.25  # shares of its time so far that a trial near its usual end, or beyond it, still takes


class TimeLeft(NamedTuple):
    """Seconds a run still takes; with `at_least`, a bound from below."""

    seconds: float
    at_least: bool = False


def time_left(run: RunRow, trials: Sequence[TrialRow], now: float, training: float | None = None) -> TimeLeft | None:
    """What a running run still takes; None while too little is known.

    Args:
        training: seconds its training says it still takes, where it trains.
    """
    if run.state != "running" or run.started is None:
        return None
    if trials:
        trained = _trained(run)
        return _of_trials(trials, trained, now, training if len(trained) == 1 else None)
    share = run.done / run.total if run.total > 0 else 0.0
    if share < _LEAST_SHARE:
        return None
    return TimeLeft((now - run.started) * (1.0 - share) / share)


def _of_trials(
    trials: Sequence[TrialRow], trained: dict[int, float | None], now: float, training: float | None
) -> TimeLeft | None:
    """From the trials of this run.

    Args:
        trained: seconds the training of a trial may take, by its index; None where no clock bounds it.
    """
    took = _durations(trials)
    open_ = [t for t in trials if t.state in ("queued", "running")]
    if not any(kind != "dense" for kind in took) and not all(t.index in trained for t in open_ if _kind(t) != "dense"):
        return None  # the dense model says nothing of what pruning takes
    usual = {kind: sum(seconds) / len(seconds) for kind, seconds in took.items()}
    measuring = usual.get("dense")
    least = min((seconds for kind, seconds in usual.items() if kind != "dense"), default=0.0)
    left, bound, going = 0.0, False, 0
    for trial in open_:
        if trial.index in trained:
            known = training if trial.state == "running" and training is not None else trained[trial.index]
            if known is None and trial.state == "running":
                return None
            expected, sure = (known or 0.0) + (measuring or 0.0), known is not None and measuring is not None
            spent = 0.0 if training is not None else _spent(trial, now)
        else:
            kind = _kind(trial)
            expected, sure = usual.get(kind, least), kind in usual
            spent = _spent(trial, now)
        bound |= not sure
        going += trial.state == "running"
        late = spent > _OVERDUE * expected
        bound |= late
        left += max(expected - spent, (_LATE if late else _NEAR) * spent)
    return TimeLeft(left / max(1, going), bound)


def _durations(trials: Sequence[TrialRow]) -> dict[str, list[float]]:
    """Seconds of the trials computed in this run, by their kind; those found in the cache say nothing."""
    took: dict[str, list[float]] = defaultdict(list)
    for t in trials:
        if t.state == "done" and t.started is not None and t.finished is not None:  # one that was found never started
            took[_kind(t)].append(t.finished - t.started)
    return took


def _kind(trial: TrialRow) -> str:
    """Trials of one kind take about as long: the dense model, or a method in a mode."""
    if trial.prune is None:
        return "dense" if trial.index == 0 else "step"
    return f"{trial.prune.get('method')} {trial.prune.get('mode')} {trial.prune.get('heal')}"


def _spent(trial: TrialRow, now: float) -> float:
    return max(0.0, now - trial.started) if trial.state == "running" and trial.started is not None else 0.0


def _trained(run: RunRow) -> dict[int, float | None]:
    """Trials of a recipe of steps that train, by their index: the seconds their budget allows, or None."""
    if run.kind != "recipe":
        return {}
    found: dict[int, float | None] = {}
    index = 1  # the dense model comes first
    for step in Recipe.model_validate(run.recipe).steps:
        if isinstance(step, Distil):
            found[index] = None if step.budget.minutes is None else step.budget.minutes * 60
        elif isinstance(step, Select):
            found |= {index + len(step.options) + i: None for i in range(step.best)}
            index += len(step.options) + step.best - 1
        elif isinstance(step, Evaluate | Measure | Export):
            continue
        index += 1
    return found


def share_done(run: RunRow) -> float:
    """Between 0 and 1."""
    if run.state == "done":
        return 1.0
    return min(1.0, max(0.0, run.done / run.total)) if run.total > 0 else 0.0


def seconds_taken(run: RunRow, now: float) -> float | None:
    """Wall-clock seconds from the first start to the end, or until now."""
    if run.started is None:
        return None
    return max(0.0, (run.finished or now) - run.started)
