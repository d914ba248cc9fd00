"""Tags and notes: what is kept, what is refused, and two processes writing at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.store import Store

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from core.base.settings import Settings
from core.store import Store
runs = Store(Settings.load(sys.argv[1])).runs
for i in range(50):
    runs.annotate(sys.argv[2], **({"tags": [f"t{i}"]} if sys.argv[3] == "tags" else {"notes": f"note {i}"}))
"""


@pytest.fixture
def store(home: Settings) -> Store:
    return Store(home)


def _add(store: Store, name: str = "A", kind: str = "sweep", model: str = "path:/a") -> str:
    return store.runs.add(kind, name, model, {}, LOCAL)


def test_tags_are_kept_once_in_their_order_and_found(store: Store) -> None:
    run, _ = _add(store), _add(store, "B", "recipe", "path:/b")
    store.runs.annotate(run, tags=[" keep ", "", "v1.2", "keep", "zwei W\u00f6rter"], notes=" one\r\ntwo ")
    row = store.runs.get(run)
    assert row.tags == ("keep", "v1.2", "zwei W\u00f6rter") and row.notes == "one\ntwo"
    assert [r.id for r in store.runs.find(tag="v1.2")] == [run]
    assert store.runs.tags() == ["keep", "v1.2", "zwei W\u00f6rter"]
    assert store.runs.kinds() == ["recipe", "sweep"] and store.runs.models() == ["path:/a", "path:/b"]
    store.runs.annotate(run, tags=[])
    assert store.runs.get(run).tags == () and store.runs.get(run).notes == "one\ntwo"


@pytest.mark.parametrize(
    "bad",
    [
        {"tags": ["x" * 41]},
        {"tags": ["a,b"]},
        {"tags": ["<b>"]},
        {"tags": ["a\u202eb"]},
        {"tags": ["a\nb"]},
        {"tags": [f"t{i}" for i in range(21)]},
        {"notes": "x" * 4001},
        {"notes": "a\x00b"},
    ],
)
def test_what_breaks_a_rule_is_refused_and_nothing_changes(store: Store, bad: dict[str, str]) -> None:
    run = _add(store)
    with pytest.raises(RetortError) as refused:
        store.runs.annotate(run, **bad)
    assert refused.value.cause.endswith(".") and refused.value.remedy.endswith(".")
    assert refused.value.cause.isprintable() and "\u202e" not in refused.value.cause
    assert store.runs.get(run).tags == () and store.runs.get(run).notes == ""


def test_a_run_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(RetortError, match="There is no run"):
        store.runs.annotate("none", notes="x")


def test_two_processes_write_different_fields_and_both_stay(store: Store, home: Settings) -> None:
    run = _add(store)
    command = [sys.executable, "-c", WRITER, str(home.home), run]
    both = [subprocess.Popen([*command, part], cwd=ROOT) for part in ("tags", "notes")]
    assert [p.wait(timeout=60) for p in both] == [0, 0]
    row = store.runs.get(run)
    assert (row.tags, row.notes) == (("t49",), "note 49")
