"""Pages with nothing to show yet say what is going on meanwhile."""

from __future__ import annotations

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions
from core.store import Store
from tests.pages.conftest import Opens, words


@pytest.mark.parametrize(
    ("page", "title"),
    [("report", "Nothing to report yet"), ("tradeoffs", "Nothing to compare yet"), ("sweep", "No model")],
)
def test_a_download_that_is_going_on_is_named_where_there_is_nothing_yet(
    opens: Opens, settings: Settings, store: Store, page: str, title: str
) -> None:
    assert title in words(opens(page)) and "is running" not in words(opens(page))
    run = actions.submit_fetch("smollm2-135m", settings, LOCAL)
    assert "'Fetch SmolLM2-135M-Instruct' is in the queue." in words(opens(page)).replace("\\", "")
    store.runs.claim(run)
    store.runs.progress(run, 30, 100, "Downloading")
    app = opens(page)
    said = words(app).replace("\\", "")
    assert title in said and "'Fetch SmolLM2-135M-Instruct' is running: 30 %." in said
    assert app.button(key=f"back-{run}").label == "Back to it"
