"""The report for executives: plain names and sentences, none of the terms of the field, the figures of the store."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from core.base.settings import Settings
from core.registry.methods import METHODS
from core.report.brand import Brand
from core.report.costs import Prices
from core.report.html import to_html
from core.report.model import Report, build
from core.report.presented import presented
from core.report.said import Other, Said, Texts
from core.report.slide import Slide
from core.report.story import story
from core.store import Store
from tests.surfaces.studies import STUDIES, write

PRICES = Prices(per_hour=2.5, currency="EUR", watts=300.0, mtok_per_month=20.0)


def executive(home: Settings, study: str, **how: object) -> Report:
    store, run = Store(home), write(home, study)
    return build(store.runs.get(run), store.candidates.results(run_id=run), prices=PRICES, **how)  # type: ignore[arg-type]


def said(report: Report) -> str:
    deck = story(presented(report))
    words = [w for s in deck for w in (s.title, s.big, s.lead, *s.lines, *(c for row in s.table for c in row))]
    return "\n".join(words)


def by_kind(report: Report) -> dict[str, Slide]:
    return {s.kind: s for s in reversed(story(presented(report)))}


def forbidden(report: Report) -> list[str]:
    """Terms, ids and labels of methods, the run's id, keys of candidates."""
    methods = [w for m in METHODS.values() for w in (m.id, m.label) if w not in ("random",)]
    keys = [r.key[:10] for r in report.results]
    return [*methods, *keys, report.run.id, "perplexity", "KL ", "McNemar", "bfloat16", "nats", "Pareto", "dense"]


@pytest.mark.parametrize("study", list(STUDIES))
def test_executives_read_no_term_and_no_id(home: Settings, study: str) -> None:
    report = executive(home, study)
    page = html.unescape(re.sub("<style>.*?</style>|<[^>]*>", " ", to_html(report)))
    for text in (page, said(report), to_html(report).split("</style>")[1]):
        assert [w for w in forbidden(report) if re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE)] == []


def test_the_story_goes_from_the_question_to_the_decision(home: Settings) -> None:
    report = executive(home, "large", share=0.4)
    deck = story(presented(report))
    kinds = [s.kind for s in deck]
    assert kinds == [
        "headline",
        "recommendation",
        *["saving"] * 4,
        "chart",
        "users",
        "risk",
        "method",
        "ask",
    ]
    one = by_kind(report)
    assert one["headline"].lead == "Can large be smaller within +40 % loss?"
    assert one["headline"].title.startswith(
        "Within +40 % loss: 3 layers removed (file \u221215 %, token \u221215 %, loss +17.6 %)."
    )
    # 2,471,645,608 bytes become 2,106,745,304.
    assert (one["recommendation"].title, one["recommendation"].big) == (
        "Recommended: 3 layers removed",
        "\u221215 %",
    )
    assert one["recommendation"].lead == "The file goes from 2.5 GB to 2.1 GB."
    # 211 ms and 180 ms a token at 2.5 EUR an hour: 146.5 and 125 EUR for a million, 2,931 and 2,500 for 20 million.
    money, energy = (s for s in deck if s.kind == "saving" and s.title.endswith(("money", "energy")))
    assert money.big == "\u2212431 EUR a month"
    assert money.lead.startswith("At 20 million tokens a month: 2,500 EUR instead of 2,931 EUR (\u221215 %).")
    # 300 W: 17.58 and 15 kWh for a million.
    assert energy.lead.startswith("At 20 million tokens a month: 300 kWh instead of 352 kWh")
    assert one["users"].big == "70 of 100"
    assert one["users"].lead == "Of 100 questions (PIQA) it answers 70 rightly instead of 75."
    assert "Right answers: 67 to 73 of 100, with 95 % confidence." in one["risk"].lines
    assert "Other work ran on the machine while it was timed." in one["risk"].lines
    assert one["ask"].big == "Adopt: 3 layers removed"


def test_where_nothing_qualifies_the_reader_is_asked_to_recover_it(home: Settings) -> None:
    one = by_kind(executive(home, "small"))
    assert one["recommendation"].title == "The closest: 4 layers removed"
    assert one["recommendation"].lines[0] == "It is beyond the limit of +5 % loss."
    assert (one["ask"].big, one["ask"].lead) == (
        "Recover it first",
        "Train 4 layers removed by the original: what it gives up may come back.",
    )
    assert one["users"].lines[-1] == "Of 100 next words it chooses 62 as the original does."


def test_a_title_author_and_sample_answers_are_part_of_the_story(home: Settings) -> None:
    report = executive(home, "large", brand=Brand(title="Smaller and cheaper?", author="Ann"))
    written = Texts(
        "Bees make",
        "Up to 8 tokens.",
        "honey",
        (Other("A. Layer removal (block influence), 3 layers removed", "hives", 0),),
    )
    deck = story(presented(replace(report, said=Said((written,)))))
    assert (deck[0].lead, deck[0].lines) == ("Smaller and cheaper?", ("large", "Ann"))
    kinds = [s.kind for s in deck]
    assert kinds[kinds.index("users") + 1] == "texts"
    assert deck[kinds.index("texts")].table[2] == ("A. 3 layers removed", "hives")
    page = to_html(replace(report, said=Said((written,))))
    assert "<mark>hives</mark>" in page and "Ann \u00b7" in page and "block influence" not in page
