"""Which studies of a model were measured alike, and by what: their points stand on one chart."""

from __future__ import annotations

from core.base.errors import RetortError
from core.recipe.yardstick import Yardstick, differences, yardstick_of
from core.store import RunRow
from pages.frame import home

_LOOKED_AT, _JOINED_FROM = 10, 40  # studies of a model
MOST_JOINED = 6
"""Studies on one chart."""


def latest(model: str) -> tuple[RunRow, Yardstick] | None:
    """The newest study of a model that has measured something, and its yardstick."""
    for run in home.store().runs.find(kinds=("sweep", "recipe"), model=model, limit=_LOOKED_AT):
        if run.trials_done:
            try:
                return run, yardstick_of(run.parsed())
            except RetortError:  # of another version, whose recipe this one does not know
                continue
    return None


def joined(run: RunRow) -> list[str]:
    """Ids of the other studies of its model whose points stand on the chart of this one, newest first."""
    try:
        mine = yardstick_of(run.parsed())
    except RetortError:
        return []
    found = []
    for other in home.store().runs.find(kinds=("sweep", "recipe"), model=run.model, limit=_JOINED_FROM):
        if other.id != run.id and other.trials_done:
            try:
                theirs = yardstick_of(other.parsed())
            except RetortError:
                continue
            if not differences(mine, theirs):
                found.append(other.id)
    return found[: MOST_JOINED - 1]


def taken_over(model: str) -> dict[str, object]:
    """The keys of a recipe for a model that hold its yardstick; none where it has no study yet."""
    found = latest(model)
    return {} if found is None else found[1].data()
