"""Studies: the runs that have candidates, and how one is called in a list."""

from __future__ import annotations

from core.store import RunRow
from pages.shared import home
from pages.shared.text import flat

KINDS = ("sweep", "recipe")
_MOST = 200


def recent(limit: int = _MOST) -> list[RunRow]:
    """The newest ones first."""
    return home.store().runs.find(kinds=KINDS, limit=limit)


def label(run: RunRow) -> str:
    """Name, model, and the end of the id, which tells runs of one name apart."""
    return f"{flat(run.name, 60)} ({flat(run.model, 40)}, {run.id[-6:]})"
