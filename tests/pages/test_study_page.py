"""Sweep, Distil and Sensitivity read alike: choose a model, what it will take, follow, result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.store import Store
from tests.pages.conftest import Opens, links, words

PAGES = {"sweep": "sweep", "distil": "recipe", "sensitivity": "sensitivity"}
"""Each page and the kind of the runs it starts."""


def a_run(store: Store, kind: str) -> str:
    return store.runs.add(kind, f"A {kind}", "path:/models/one", {}, LOCAL)


@pytest.mark.parametrize("page", PAGES)
def test_the_choices_come_first_and_what_they_take_beside_them(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path, page: str
) -> None:
    shutil.copytree(tiny_llama, settings.home / "models" / "one")
    run_id = a_run(store, PAGES[page])
    app = opens(page)
    assert [t.value for t in app.title] == [page.capitalize()]
    assert app.selectbox[0].label in ("Model", "Teacher") and app.selectbox[0].value.startswith("path:")
    assert "Before it starts" in [h.value for h in app.header]
    app.button(key=f"back-{run_id}").click().run()
    assert app.query_params["run"] == run_id


@pytest.mark.parametrize("page", PAGES)
def test_a_run_is_followed_with_its_log_and_the_way_to_another(opens: Opens, store: Store, page: str) -> None:
    run_id = a_run(store, PAGES[page])
    app = opens(page, run=run_id)
    assert [t.value for t in app.title] == [f"A {PAGES[page]}"]
    assert "path" in app.caption[0].value and links(app)["Events and full log"] == f"run={run_id}"
    assert "The log is empty so far." in words(app)
    again = {"sweep": "New sweep", "distil": "New distillation", "sensitivity": "New measurement"}[page]
    next(b for b in app.button if b.label == again).click().run()
    assert [t.value for t in app.title] == [page.capitalize()]


@pytest.mark.parametrize("page", PAGES)
def test_a_run_of_another_page_is_not_shown_as_one_of_this(opens: Opens, store: Store, page: str) -> None:
    app = opens(page, run=a_run(store, "probe"))
    assert f"This run was not started on the page {page.capitalize()}." in words(app).replace("\\", "")
