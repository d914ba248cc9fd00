"""Studies: the runs that have candidates, and how one is called in a list."""

from __future__ import annotations

from functools import lru_cache

from core.store import RunRow, Store
from pages.frame import home
from pages.frame.cached import cached
from pages.frame.example import PREFIX
from pages.frame.text import flat

KINDS = ("sweep", "recipe")
_MOST = 200


@cached(2)
def known(store: Store, state: int) -> tuple[list[str], list[str], list[str]]:
    """Kinds, models and tags there are to choose from, read again when the store (`state`) has changed."""
    return store.runs.kinds(), store.runs.models(), store.runs.tags()


def recent(limit: int = _MOST) -> list[RunRow]:
    """The newest ones first."""
    return home.store().runs.find(kinds=KINDS, limit=limit)


def label(run: RunRow) -> str:
    """Name, model, and the end of the id, which tells runs of one name apart."""
    return _label(run.id, run.name, run.model)


@lru_cache(1024)  # a list of them is labelled at every rerun
def _label(run_id: str, name: str, model: str) -> str:
    apart = "" if run_id.startswith(PREFIX) else f", {run_id[-6:]}"  # there is one example, told by its name
    return f"{flat(name, 60)} ({flat(model, 40)}{apart})"
