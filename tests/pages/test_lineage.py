"""A run's page: its family as a figure and as links, and the run as a notebook."""

from __future__ import annotations

from core.settings import Settings
from core.store import Store
from tests.pages.conftest import Opens, words
from tests.pages.study import finished_study
from tests.pages.test_runs import HOSTILE


def test_the_family_of_a_run_is_drawn_and_leads_down_as_well(opens: Opens, settings: Settings, store: Store) -> None:
    first = finished_study(settings, name=HOSTILE)
    key = store.trials.of(first)[1].key
    second = store.runs.add("recipe", "Next", f"run:{first}/{key}", {"model": f"run:{first}/{key}", "steps": []})
    store.runs.add("recipe", "Other", "sample:x", {"model": "sample:x", "steps": []})
    page = opens("runs", run=first)
    assert f"- [Next](?run={second}), as model" in words(page) and "Other" not in words(page)
    assert "Used by Next" in str(page.get("plotly_chart")[0].proto)


def test_a_run_comes_as_a_notebook(opens: Opens, settings: Settings) -> None:
    page = opens("runs", run=finished_study(settings))
    assert [b.label for b in page.get("download_button")] == ["Recipe (YAML)", "Notebook"]
