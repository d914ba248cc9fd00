"""A recipe file in a real browser, which reads it: the server takes no uploads."""

from __future__ import annotations

from pathlib import Path

from core.base.settings import Settings
from tests.e2e.conftest import Visits
from tests.pages.test_recipe_file import WRONG


def test_a_chosen_file_is_shown_with_its_problems_by_line(visits: Visits, home: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(WRONG)
    tab = visits(home)
    page = tab.opens("sweep")
    page.get_by_text("Open a recipe file").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text("The recipe has 2 problems.").wait_for()
    assert page.get_by_text("line 5").count() and page.get_by_text("mine.yaml").count()
    tab.is_well()
