"""How long a running job still takes, from what it has done so far."""

from __future__ import annotations

from collections.abc import Sequence

from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.store.rows import RunRow, TrialRow

_LEAST_SHARE = 0.03  # of the work done before an extrapolation is worth showing
_LEAST_SECONDS = 1.0  # a trial faster than this was found among the finished ones, not computed


def seconds_left(run: RunRow, trials: Sequence[TrialRow], now: float) -> float | None:
    """Seconds a running run still takes; None while too little is known.

    From the mean duration of its computed trials where there are any (those found in the cache say
    nothing), else by extrapolating its progress.
    """
    if run.state != "running" or run.started is None:
        return None
    spent = [
        t.finished - t.started
        for t in trials
        if t.state == "done"
        and t.started is not None
        and t.finished is not None
        and t.finished - t.started >= _LEAST_SECONDS
    ]
    if spent:
        mean = sum(spent) / len(spent)
        waiting = sum(t.state == "queued" for t in trials)
        current = sum(max(0.0, mean - (now - t.started)) for t in trials if t.state == "running" and t.started)
        return mean * waiting + current
    share = run.done / run.total if run.total > 0 else 0.0
    if share < _LEAST_SHARE:
        return None
    return (now - run.started) * (1.0 - share) / share


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


def earlier_seconds(recipe: Recipe, results: Sequence[Result]) -> list[float]:
    """Durations of results measured under the recipe's own evaluation and latency settings: what a trial takes."""
    wanted = recipe.model_dump(mode="json", include={"evaluation", "latency", "dtype"})
    return [r.seconds for r in results if r.seconds > 0 and all(r.recipe.get(k) == v for k, v in wanted.items())]
