"""Pages in a browser: deep links, choices in links, narrow and dark, hostile names, no other hosts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from core.base.settings import Settings
from core.store import Store
from pages.frame import shell
from tests.e2e.conftest import Visits
from tests.pages.study import failed_run, finished_study

PAGES = ["" if name == "start" else name for name in shell.PAGES]
MENU = [title for title, _ in shell.PAGES.values()]
HOSTILE = "<img src=x onerror=alert(1)> ![a](http://evil.invalid/p.png) [b](http://evil.invalid) \u202eabc :red[x]"


def points(page: Page, count: int) -> None:
    expect(page.locator("path.point")).to_have_count(count)


def chosen_of(page: Page) -> str:
    """The list of the candidates that are compared."""
    return page.locator('[data-testid="stMultiSelect"]').filter(has_text="Candidates to compare").inner_text()


def test_an_address_of_no_page_says_so(visits: Visits, home: Settings) -> None:
    tab = visits(home)
    page = tab.opens("nothing-here")
    page.get_by_text("does not seem to exist").wait_for()
    assert page.get_by_role("heading", name="Make a language model smaller").count() == 1


@pytest.mark.parametrize(
    ("path", "title"), [("tradeoffs", "Trade-offs"), ("runs?run=nothing", "Runs"), ("model", "Model")]
)
def test_a_deep_link_on_a_fresh_server_goes_through_the_frame(
    visits: Visits, home: Settings, path: str, title: str
) -> None:
    tab = visits(home)
    page = tab.opens(path)
    menu = page.locator('[data-testid="stTopNavLink"]')
    assert [text.split("\n")[-1] for text in menu.all_inner_texts()] == MENU, "not Streamlit's own list of files"
    expect(page).to_have_title(f"{title} \u00b7 Retort")
    tab.is_well()


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light")])  # test_contrast: each theme
def test_every_page_fits_and_asks_no_other_host(visits: Visits, home: Settings, width: int, theme: str) -> None:
    run_id = finished_study(home, failed=1)
    failed_run(home)
    tab = visits(home, width, theme)
    for path in (*PAGES, f"runs?run={run_id}", f"sweep?run={run_id}"):
        tab.opens(path)
        assert tab.overflow() == 0, f"{path} is wider than {width} pixels"
    tab.is_well()


def test_back_and_forward_go_through_the_choices(visits: Visits, home: Settings) -> None:
    run_id = finished_study(home)
    tab = visits(home)
    page = tab.opens(f"tradeoffs?run={run_id}")

    def axis(says: str, address: str) -> None:
        expect(page.locator(".js-plotly-plot .xtitle").first).to_contain_text(says)
        assert page.url.endswith(f"run={run_id}{address}")

    axis("Sparsity, or share removed", "")
    page.locator('[data-testid="stSelectbox"]').filter(has_text="Against").locator("input").click()
    page.get_by_role("option").filter(has_text="Prefill latency").first.click()
    axis("Prefill latency", "&x=prefill_ms")
    page.go_back()
    axis("Sparsity, or share removed", "")
    page.go_forward()
    axis("Prefill latency", "&x=prefill_ms")
    tab.is_well()


def test_a_click_chooses_and_the_link_keeps_it(visits: Visits, home: Settings) -> None:
    run_id = finished_study(home)
    wanted = next(r for r in Store(home).candidates.rows(run_id=run_id) if r.label == "Wanda 30 %")
    tab = visits(home)
    page = tab.opens("tradeoffs")
    points(page, 14)  # 12 candidates and two rings around the examples
    tab.clicks_point(wanted.key)
    expect(page.get_by_text("Two examples are shown")).to_have_count(0)
    assert page.url.count("pick=") == 1
    chosen = chosen_of(page)
    assert wanted.label in chosen
    expect(page.get_by_test_id("stMain")).to_contain_text(f"A. {wanted.label}")

    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Runs")
    page.go_back()
    tab.settles()
    expect(page.locator("h1")).to_have_text("Trade-offs")
    assert chosen_of(page) == chosen

    other = visits(home)
    other.opens(page.url.removeprefix(f"{tab.address}/"))
    assert chosen_of(other.page) == chosen, "a link carries the choice"
    tab.is_well()
    other.is_well()


def test_hostile_names_are_text(visits: Visits, home: Settings) -> None:
    run_id = finished_study(home, name=HOSTILE.replace("\u202e", "")[:120])  # a name takes no such marks
    Store(home).events.add(run_id, "warning", HOSTILE)
    tab = visits(home)
    for path in ("", "tradeoffs", "runs", f"runs?run={run_id}", f"sweep?run={run_id}"):
        page = tab.opens(path)
        main = page.locator('[data-testid="stMain"]')
        expect(main).to_contain_text("<img src=x")
        assert main.locator('img:not(.stLogo), a[href*="evil"]').count() == 0, path
    tab.is_well()
