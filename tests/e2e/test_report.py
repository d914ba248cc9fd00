"""The report leaves the server: downloaded, opened without a network, still whole and usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from core.base.settings import Settings
from scripts.dashboard import ROOT
from tests.e2e.conftest import Serves, Visits
from tests.e2e.test_axe import findings
from tests.e2e.test_pages import HOSTILE
from tests.pages.study import finished_study
from tests.report.test_brand import picture


@pytest.mark.parametrize("audience", ["executives", "engineers"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_downloaded_report_works_offline(
    chromium: Browser, serves: Serves, home: Settings, tmp_path: Path, theme: str, audience: str
) -> None:
    run, file = finished_study(home), tmp_path / "report.html"
    page = chromium.new_page()
    page.goto(f"{serves(home)}/report?run={run}&audience={audience}")
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
        expect(chart.locator("svg.wide-only")).to_be_visible()
    assert page.locator(".chart").count() == {"executives": 1, "engineers": 3}[audience]
    assert [r for r in requests if not r.startswith(("data:", file.as_uri()))] == [] and said == []
    assert Axe().run(page).response["violations"] == []
    context.close()


def number(page: Page) -> int:
    return int(page.url.partition("slide=")[2].partition("&")[0])


def shows(page: Page, number: int, last: int) -> None:
    """The slide itself, which answers keys, and the line below it, which may come a moment earlier."""
    expect(page.locator(f'.slide[data-number="{number}"]')).to_be_visible()
    expect(page.get_by_text(f"Slide {number} of {last}")).to_be_visible()


def test_slides_move_by_keys_and_buttons_and_the_address_keeps_the_place(visits: Visits, home: Settings) -> None:
    run = finished_study(home, name="".join(filter(str.isprintable, HOSTILE))[:120])
    tab = visits(home)
    page = tab.opens(f"report?run={run}&present=1&slide=1")
    title = page.locator(".slide h1")
    said = page.get_by_text("Slide 1 of")
    expect(said).to_be_visible()
    expect(page.locator('[data-testid="stTopNavLink"]')).to_have_count(0)
    last = int(said.inner_text().split(" of ")[1].split(".")[0])
    first = title.inner_text()
    for key, at in (("ArrowRight", 2), ("PageDown", 3), ("ArrowLeft", 2), ("PageUp", 1), ("End", last), ("Home", 1)):
        page.keyboard.press(key)
        shows(page, at, last)
        assert number(page) == at
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # faster than the server: the address may go from 1 to 3 at once
    shows(page, 3, last)
    page.keyboard.press("ArrowLeft")
    shows(page, 2, last)
    page.go_back()
    shows(page, 3, last)
    page.go_forward()
    shows(page, 2, last)
    page.keyboard.press("ArrowRight")
    shows(page, 3, last)
    third = title.inner_text()
    page.reload()
    shows(page, 3, last)
    expect(title).to_have_text(third)
    page.get_by_role("button", name="Previous").click()
    shows(page, 2, last)
    expect(page.locator(".slide .big")).to_be_visible()
    page.keyboard.press("Escape")
    settings = page.locator("h1").get_by_text("Report", exact=True)
    expect(settings).to_be_visible()
    assert "present" not in page.url and f"run={run}" in page.url
    page.go_back()
    shows(page, 2, last)
    page.go_forward()
    expect(settings).to_be_visible()
    assert first not in third and tab.overflow() == 0
    tab.is_well()


def test_a_key_between_two_drawings_of_a_slide_counts_once(chromium: Browser) -> None:
    """Streamlit takes one drawing down before it has loaded the next, and may draw 4 when 5 was asked for already."""
    code = (ROOT / "pages" / "study" / "assets" / "slide.js").read_text("utf-8")
    tab = chromium.new_page()
    pressed = tab.evaluate(
        """async (code) => {
          const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
          const { default: drawn } = await import(url);
          const parentElement = document.body.appendChild(document.createElement("div"));
          const found = [];
          const at = (number) => drawn({
            parentElement, setTriggerValue: (_, wanted) => found.push(wanted),
            data: { kind: "costs", title: "t", lines: [], table: [], picture: "", number, count: 9 },
          });
          const key = (of = "ArrowRight") => window.dispatchEvent(new KeyboardEvent("keydown", { key: of }));
          const down = at(1); key(); down(); key();
          const third = at(3); key(); third(); key();
          const last = at(4); key("ArrowLeft"); last();
          parentElement.remove(); key();
          return found;
        }""",
        code,
    )
    tab.close()
    assert pressed == [2, 3, 4, 5, 4]


def test_every_slide_is_for_everybody(visits: Visits, home: Settings) -> None:
    run = finished_study(home, name="".join(filter(str.isprintable, HOSTILE))[:120])
    tab = visits(home)
    page = tab.opens(f"report?run={run}&present=1&slide=1")
    last = int(page.get_by_text("Slide 1 of").inner_text().split(" of ")[1].split(".")[0])
    problems: list[str] = []
    for at in range(1, last + 1):
        expect(page.get_by_text(f"Slide {at} of {last}")).to_be_visible()
        tab.settles()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            tab.settles()
            problems += [f"slide {at}, {theme}: {f}" for f in findings(page)]
        page.emulate_media(color_scheme="light")
        page.keyboard.press("ArrowRight")
    assert not problems, "\n".join(problems)
    tab.is_well()


def test_a_phone_gets_a_drawing_of_its_own(visits: Visits, home: Settings) -> None:
    """Scaled to 390 pixels the drawing of a screen has numbers 5 pixels high."""
    run = finished_study(home)
    tab = visits(home)
    page = tab.opens(f"report?run={run}&present=1&slide=5&audience=engineers")
    drawing = page.locator(".slide img.drawing")
    taken = 'e => decodeURIComponent(e.currentSrc).match(/viewBox="0 0 (\\d+)/)[1]'
    expect(drawing).to_be_visible()
    assert drawing.evaluate(taken) == "1000"
    page.set_viewport_size({"width": 390, "height": 844})
    tab.settles()
    assert drawing.evaluate(taken) == "380"
    tab.is_well()


def test_a_logo_is_read_in_the_browser_and_stands_in_the_report(visits: Visits, home: Settings) -> None:
    """The server takes no uploads, so a field that sends one would never end."""
    run = finished_study(home)
    tab = visits(home)
    page = tab.opens(f"report?run={run}")
    page.get_by_text("Title, author, colour and logo").click()
    field = page.get_by_label("Logo (PNG or JPEG, at most 1 MB)")
    field.set_input_files({"name": "logo.gif", "mimeType": "image/gif", "buffer": b"GIF89a"})
    expect(page.get_by_text("The logo cannot be read as a picture.")).to_be_visible()
    field.set_input_files({"name": "large.png", "mimeType": "image/png", "buffer": b"a" * 1_000_001})
    expect(page.get_by_text("The logo is larger than 1 MB.")).to_be_visible()
    field.set_input_files({"name": "logo.png", "mimeType": "image/png", "buffer": picture((60, 20))})
    expect(page.get_by_role("button", name="Remove the logo")).to_be_visible()
    expect(page.get_by_text("The logo is larger than 1 MB.")).to_be_hidden()
    logo = page.frame_locator("iframe").locator("img[src^='data:image/png']").first
    expect(logo).to_be_visible(timeout=60_000)
    assert logo.evaluate("e => e.naturalWidth / e.naturalHeight") == 3
    tab.is_well()
