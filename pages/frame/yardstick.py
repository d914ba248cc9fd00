"""Which studies of a model were measured alike, and by what: their points stand on one chart."""

from __future__ import annotations

from collections.abc import Iterator

from core.base.errors import RetortError
from core.recipe.yardstick import Yardstick, differences, yardstick_of
from core.store import RunRow, Store
from pages.frame import home, studies
from pages.frame.cached import cached

_LOOKED_AT, _JOINED_FROM = 10, 40  # studies of a model
MOST_JOINED = 6
"""Studies on one chart."""


def latest(model: str) -> tuple[RunRow, Yardstick] | None:
    """The newest study of a model that has measured something, and its yardstick."""
    return next(_studies(model, _LOOKED_AT), None)


def joined(run: RunRow) -> list[str]:
    """Ids of the other studies of its model whose points stand on the chart of this one, newest first."""
    mine = _of_run(home.store(), run.id)
    if mine is None:
        return []
    alike = [
        r.id for r, theirs in _studies(run.model, _JOINED_FROM) if r.id != run.id and not differences(mine, theirs)
    ]
    return alike[: MOST_JOINED - 1]


def _studies(model: str, most: int) -> Iterator[tuple[RunRow, Yardstick]]:
    """The newest studies of a model that have measured something, with their yardsticks."""
    store = home.store()
    for run in store.runs.find(kinds=studies.KINDS, model=model, limit=most):
        if run.trials_done and (found := _of_run(store, run.id)) is not None:
            yield run, found


@cached(512)
def _of_run(store: Store, run_id: str) -> Yardstick | None:
    """Read once: pages that follow a run ask every second, and what a run was told to do does not change.

    None of a run of another version, whose recipe this one does not know.
    """
    try:
        return yardstick_of(store.runs.get(run_id).parsed())
    except RetortError:
        return None


def taken_over(model: str) -> dict[str, object]:
    """The keys of a recipe for a model that hold its yardstick; none where it has no study yet."""
    found = latest(model)
    return {} if found is None else found[1].data()
