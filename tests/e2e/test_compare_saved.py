"""Own prompts out of a file, texts, a reload, a second browser, and the report: what was compared lasts."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.base.text import visible
from core.jobs.preview import client
from core.store import Store
from tests.e2e.conftest import Visits
from tests.e2e.test_axe import in_both_themes
from tests.pages.study import kept_study

pytestmark = pytest.mark.jobs

FILE = '{"prompt": "The river <b>runs</b>"}\n{"prompt": "A mill"}\n'


def strips(page: Page) -> list[str]:
    """The texts whose tokens are marked, once the page has drawn them."""
    expect(page.get_by_role("group", name="The first model's text, marked for").first).to_be_visible()
    return [s.inner_text() for s in page.get_by_role("group", name="The first model's text, marked for").all()]


def test_own_prompts_last_and_reach_the_report(visits: Visits, home: Settings, tiny_llama: Path) -> None:
    study = kept_study(home, tiny_llama)
    tab = visits(home)
    page = tab.opens(f"compare?run={study['run']}&pick={study['a'][:10]}")
    main = page.get_by_test_id("stMain")
    try:
        main.get_by_text("From a file").click()
        tab.settles()
        field = page.get_by_label("A file with prompts")
        field.set_input_files({"name": "p.pdf", "mimeType": "application/pdf", "buffer": b"x"})
        expect(main.get_by_text("'p.pdf' is no list of prompts")).to_be_visible()
        field.set_input_files({"name": "big.txt", "mimeType": "text/plain", "buffer": b"a\n" * 200_000})
        expect(main.get_by_text("larger than 256 kB")).to_be_visible()
        field.set_input_files({"name": "p.jsonl", "mimeType": "application/json", "buffer": FILE.encode()})
        expect(main.get_by_text("2 prompts: ")).to_be_visible()
        tab.settles()
        page.get_by_role("button", name="Compare on 2 prompts").click()
        expect(main.get_by_text("Read one of them")).to_be_visible(timeout=120_000)
        tab.settles()
        saved = Store(home).comparisons.find((study["dense"], f"run:{study['a']}"))[0]
        assert saved.settings["prompts"] == ["The river <b>runs</b>", "A mill"] and saved.id in page.url
        written = strips(page)
        assert len(written) == 1 and written[0].strip()

        page.reload()
        tab.settles()
        expect(main.get_by_text("Compare on 2 prompts")).to_be_visible()
        assert strips(page) == written

        other = visits(home, width=390)
        again = other.opens(f"compare?saved={saved.id}")
        expect(again.get_by_text("Compare on 2 prompts")).to_be_visible()
        other.settles()
        assert strips(again) == written and other.overflow() <= 0
        assert in_both_themes(other) == []
        other.is_well()

        tab.settles()
        box = page.get_by_role("combobox", name="Prompts for the report")
        box.scroll_into_view_if_needed()
        box.click()
        box.press("ArrowDown")  # opens the list where a new drawing of the page has closed it
        page.get_by_role("option").filter(has_text="1. The river <b>runs</b>").click()
        page.keyboard.press("Escape")
        tab.settles()
        page.get_by_role("link", name="Open the report with it").click()
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="What the models write")).to_be_visible(timeout=60_000)
        tab.settles()
        assert f"text={saved.id}.0" in page.url and f"pick={study['a'][:10]}" in page.url
        expect(frame.get_by_role("heading", name="After “The river <b>runs</b>”")).to_be_visible()
        found = Store(home).comparisons.get(saved.id)
        assert found is not None
        row = next(r for r in found.found["rows"] if r["number"] == 0)
        assert frame.locator(".side .text").first.evaluate("e => e.textContent") == visible(row["text"])
        assert frame.locator(".strip span").count() == len(row["tokens"])
        tab.is_well()
    finally:
        client.release(home, LOCAL)
