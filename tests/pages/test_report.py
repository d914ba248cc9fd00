"""The report page: empty, with a study, alone."""

from __future__ import annotations

from core.settings import Settings
from tests.pages.conftest import Opens, words
from tests.pages.study import finished_study


def test_without_a_study_it_says_what_makes_one(opens: Opens) -> None:
    assert "Nothing to report yet" in words(opens("report"))


def test_a_study_has_four_downloads_and_alone_it_has_none(opens: Opens, settings: Settings) -> None:
    run = finished_study(settings)
    page = opens("report", run=run)
    assert len(page.get("download_button")) == 4
    alone = opens("report", run=run, present="1")
    assert len(alone.get("download_button")) == 0 and alone.button[0].label.startswith("Back")
