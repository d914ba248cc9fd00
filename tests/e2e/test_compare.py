"""Teacher and students side by side in a browser, on a real host; what they read is hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs.preview import client
from core.store import Store
from tests.e2e.conftest import Visits
from tests.e2e.test_axe import in_both_themes
from tests.pages.study import kept_study

pytestmark = pytest.mark.jobs

PROMPT = "A" * 40 + ' <img src=x onerror="window.harmed=1"> [a](http://evil.invalid) \u202eabc\u05d0'


def test_models_are_compared_and_voted_on(visits: Visits, home: Settings, tiny_llama: Path) -> None:
    study = kept_study(home, tiny_llama)
    tab = visits(home)
    page = tab.opens(f"compare?run={study['run']}&pick={study['a'][:10]}&pick={study['b'][:10]}")
    main = page.get_by_test_id("stMain")
    try:
        page.get_by_role("textbox", name="Prompt").fill(PROMPT)
        page.get_by_role("button", name="Write", exact=True).click()
        expect(main.get_by_text("tokens/s.")).to_have_count(3, timeout=120_000)
        page.get_by_text("The prompt itself").click()
        tab.settles()
        page.get_by_role("button", name="Compare tokens").click()
        expect(main.get_by_text("Mean KL")).to_have_count(2, timeout=120_000)
        expect(main.get_by_text("What was expected at token")).to_have_count(2)
        tab.settles()
        strip = main.get_by_role("group", name="The text, marked for").first
        expect(strip).to_contain_text("<")
        token = strip.get_by_role("note").nth(1)
        token.focus()
        expect(token).to_be_focused()
        said = token.get_attribute("title") or ""
        assert said.startswith("Token 2, KL ") and "First model: " in said and "This model: " in said
        assert said in (token.get_attribute("aria-label") or "")
        assert "\u202e" not in main.inner_text() and "U+202E" in main.inner_text()
        assert main.locator('img:not(.stLogo), a[href*="evil"]').count() == 0
        assert page.evaluate("window.harmed") is None and tab.overflow() <= 0

        page.get_by_role("button", name="Show two texts").click()
        expect(main.get_by_text("Text 1", exact=True)).to_be_visible(timeout=120_000)
        page.get_by_role("button", name="Text 1 is better").click()
        expect(main.get_by_text("Result so far")).to_be_visible(timeout=120_000)
        tally = Store(home).votes.tally(study["dense"], f"run:{study['a']}")
        assert tally.first + tally.second + tally.neither == 1
        assert in_both_themes(tab) == []
        tab.is_well()
    finally:
        client.release(home, LOCAL)
