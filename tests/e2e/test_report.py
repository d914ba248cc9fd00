"""The report leaves the server: downloaded, opened without a network, still whole and usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from core.settings import Settings
from tests.e2e.conftest import Serves
from tests.pages.study import finished_study


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_downloaded_report_works_offline(
    chromium: Browser, serves: Serves, home: Settings, tmp_path: Path, theme: str
) -> None:
    run, file = finished_study(home), tmp_path / "report.html"
    page = chromium.new_page()
    page.goto(f"{serves(home)}/report?run={run}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Web page").click()
    download.value.save_as(file)
    page.close()

    context = chromium.new_context(offline=True, color_scheme="dark" if theme == "dark" else "light")
    page = context.new_page()
    requests: list[str] = []
    said: list[str] = []
    page.on("request", lambda r: requests.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.on("pageerror", lambda e: said.append(str(e)))
    page.goto(file.as_uri())
    for chart in page.locator(".chart").all():
        expect(chart.locator(".main-svg").first).to_be_visible()
    assert page.locator(".chart").count() == 3
    assert [r for r in requests if not r.startswith(("data:", file.as_uri()))] == [] and said == []
    assert Axe().run(page).response["violations"] == []
    context.close()
