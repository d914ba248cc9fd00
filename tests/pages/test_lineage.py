"""A run's page: its family as a figure and as links, and the run as a notebook."""

from __future__ import annotations

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.store import Store
from tests.pages.conftest import Opens, words
from tests.pages.study import finished_study
from tests.pages.test_runs import HOSTILE


def test_the_family_of_a_run_is_drawn_and_leads_down_as_well(opens: Opens, settings: Settings, store: Store) -> None:
    first = finished_study(settings, name=HOSTILE)
    key = store.trials.of(first)[1].key
    second = store.runs.add("recipe", "Next", f"run:{first}/{key}", {"model": f"run:{first}/{key}", "steps": []}, LOCAL)
    store.runs.add("recipe", "Other", "sample:x", {"model": "sample:x", "steps": []}, LOCAL)
    page = opens("runs", run=first)
    assert f"- [Next](?run={second}), as model" in words(page) and "Other" not in words(page)
    assert "Used by Next" in str(page.get("plotly_chart")[0].proto)


def test_a_run_comes_as_a_notebook(opens: Opens, settings: Settings) -> None:
    page = opens("runs", run=finished_study(settings))
    assert [b.label for b in page.get("download_button")] == ["Recipe (YAML)", "Notebook"]


def test_a_tracker_has_a_button_only_where_one_is_installed(
    opens: Opens, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_study(settings)
    for found in ([], ["mlflow"]):
        monkeypatch.setattr("pages.run.track.installed", lambda found=found: found)
        labels = [b.label for b in opens("runs", run=run).button]
        assert ("Send to MLflow" in labels) == bool(found)


def test_a_tracker_that_refuses_is_shown_plainly(
    opens: Opens, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_study(settings)
    monkeypatch.setattr("pages.run.track.installed", lambda: ["mlflow"])
    monkeypatch.setattr("core.integrations.mlflow.installed", list)  # it went between the two
    page = opens("runs", run=run)
    next(b for b in page.button if b.label == "Send to MLflow").click().run()
    assert not page.exception and "MLflow is not installed beside Retort" in words(page).replace("\\", "")
