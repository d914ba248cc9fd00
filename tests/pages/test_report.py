"""The report page: empty, with a study, drawn once; presented slide by slide from its address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.base.settings import Settings
from core.store import Store
from tests.pages.conftest import Opens, words
from tests.pages.study import finished_study

HOSTILE = "<img src=x onerror=alert(1)> [a](http://evil.invalid) \u202eabc \x01 :red[x]" + "A" * 100_000


def slide(app: AppTest) -> dict[str, Any]:
    """What the slide's component is given to draw."""
    found: dict[str, Any] = json.loads(app.get("bidi_component")[0].proto.json)
    return found


def test_without_a_study_it_says_what_makes_one(opens: Opens) -> None:
    assert "Nothing to report yet" in words(opens("report"))


def test_a_study_has_five_downloads(opens: Opens, settings: Settings) -> None:
    page = opens("report", run=finished_study(settings))
    assert len(page.get("download_button")) == 5 and len(page.get("iframe")) == 1


def test_the_preview_is_drawn_again_only_where_it_changes(
    opens: Opens, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pages.study import report_preview

    drawn: list[str] = []
    real = report_preview.to_html
    monkeypatch.setattr(report_preview, "to_html", lambda r: drawn.append(r.headline) or real(r))
    page = opens("report", run=finished_study(settings))
    first = page.get("iframe")[0].proto.srcdoc
    page.run().run()
    assert len(drawn) == 1 and page.get("iframe")[0].proto.srcdoc == first
    page.text_area(key="headline").set_value("Half the time").run()
    assert drawn[1:] == ["Half the time"] and "Half the time" in page.get("iframe")[0].proto.srcdoc
    page.text_area(key="headline").set_value("").run()
    assert len(drawn) == 2, "the first one is still known"


def test_a_link_opens_a_slide_alone(opens: Opens, settings: Settings) -> None:
    run = finished_study(settings)
    key = next(r.key for r in Store(settings).candidates.rows(run_id=run) if r.label == "Wanda 30 %")
    page = opens(
        "report",
        run=run,
        pick=key[:10],
        present="1",
        slide="3",
        headline="Half the time",
        price="2",
        audience="engineers",
    )
    assert [b.label for b in page.button] == ["Previous", "Next", "Leave"] and not page.title
    assert slide(page)["kind"] == "saving" and slide(page)["big"] == "Nothing"
    assert f"Run {run}" in words(page).replace("\\", "") and slide(page)["picture"] == ""
    page.button(key="slide-next").click().run()
    assert page.query_params["slide"] == "4" and slide(page)["kind"] == "chart"
    assert slide(page)["picture"].startswith("<svg") and "Dense baseline" in slide(page)["alt"]
    page.button(key="slide-next").click().run()
    assert slide(page)["kind"] == "choice" and slide(page)["title"] == "A. Wanda 30 %"
    assert "Weights on disk" in slide(page)["picture"]
    page.button(key="slide-next").click().run()
    assert any(row[0] == "Cost per million tokens" for row in slide(page)["table"])
    for _ in range(4):
        page.button(key="slide-previous").click().run()
    assert slide(page)["kind"] == "recommendation" and slide(page)["big"] == "No change"
    page.button(key="slide-previous").click().run()
    assert slide(page)["title"] == "Half the time" and page.button(key="slide-previous").disabled
    page.button(key="slide-leave").click().run()
    assert "present" not in page.query_params and "slide" not in page.query_params
    assert page.title[0].value == "Report" and page.text_area(key="headline").value == "Half the time"


@pytest.mark.parametrize(("number", "shown"), [("0", 1), ("999", None), ("x", 1), ("-2", 1), ("9" * 50, 1)])
def test_a_slide_that_is_not_there_leads_to_one_that_is(
    opens: Opens, settings: Settings, number: str, shown: int | None
) -> None:
    told = slide(opens("report", run=finished_study(settings), present="1", slide=number))
    assert told["number"] == (shown or told["count"])


def test_an_address_that_cannot_be_says_so_and_leads_back(opens: Opens, settings: Settings) -> None:
    page = opens("report", run=finished_study(settings), present="1", price="cheap")
    assert "A price or amount in this address" in words(page)
    page.button[0].click().run()
    assert page.title[0].value == "Report" and "present" not in page.query_params


def test_hostile_names_reach_page_and_slides_as_plain_words(opens: Opens, settings: Settings) -> None:
    run = finished_study(settings, name="".join(filter(str.isprintable, HOSTILE))[:120])
    store = Store(settings)
    for found in store.candidates.results(run_id=run):
        store.candidates.add(found.model_copy(update={"label": HOSTILE, "notes": [HOSTILE]}))
    document = opens("report", run=run).get("iframe")[0].proto.srcdoc
    assert "<img" not in document and "\u202e" not in document
    page = opens("report", run=run, present="1")
    for _ in range(slide(page)["count"]):
        told = slide(page)
        shown = [
            told["title"],
            told["lead"],
            told["big"],
            *told["lines"],
            *(cell for row in told["table"] for cell in row),
        ]
        assert all(len(w) <= 420 and "\u202e" not in w and "\x01" not in w for w in shown)
        if not page.button(key="slide-next").disabled:
            page.button(key="slide-next").click().run()
    assert told["number"] == told["count"]
