"""A report as slides: one idea each, the figures of the report, hostile words as plain words."""

from __future__ import annotations

import itertools
import unicodedata

from core.base.settings import Settings
from core.registry.measurement import Measurement
from core.report.costs import Prices
from core.report.fingerprint import fingerprint
from core.report.model import Report, build
from core.report.slide import Slide
from core.report.story import story
from core.store import Store
from tests.pages.study import finished_study
from tests.report.test_report import HOSTILE, made


def words(deck: list[Slide]) -> list[str]:
    return [
        w
        for s in deck
        for w in (s.title, s.big, s.lead, *s.lines, *s.notes, *(cell for row in s.table for cell in row))
    ]


def test_the_story_of_engineers_has_every_choice_with_costs_and_method(home: Settings) -> None:
    report = made(home, prices=Prices(per_hour=2.0, watts=90.0))
    deck = story(report)
    kinds = [k for k, _ in itertools.groupby(s.kind for s in deck)]
    middle = ["chart", "choice", "costs", "users", "risk", "method", "ask"]
    assert kinds == ["headline", "recommendation", "saving", *middle]
    assert [s.candidate for s in deck if s.kind == "choice"] == list(report.chosen)
    for slide, candidate in zip((s for s in deck if s.kind == "choice"), report.chosen, strict=True):
        assert slide.lines == (report.quality_sentence(candidate), report.verdict(candidate))
    assert [line for s in deck if s.kind == "method" for line in s.lines] == [n[:300] for n in report.notes()]
    assert report.run.id in next(s for s in deck if s.kind == "method").lines[0]


def test_engineers_see_first_what_the_pages_show_first_and_executives_what_it_costs(home: Settings) -> None:
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    assert build(run, results, audience="engineers").axes == ("removed", "loss_change")
    assert build(run, results, audience="executives").axes == ("disk_bytes", "loss_change")
    asked = build(run, results, audience="engineers", axes=("decode_ms", "perplexity"))
    assert asked.axes == ("decode_ms", "perplexity")


def test_costs_are_the_figures_of_the_report_beside_the_originals(home: Settings) -> None:
    report = made(home, prices=Prices(per_hour=2.0))
    tables = [s.table for s in story(report) if s.kind == "costs"]
    assert [len(t[0]) for t in tables] == [5, 3], "the name, the original, and at most three beside it"
    shown = {f.label: f for f in report.every_figure(report.chosen[1])}
    assert tables[0][0][3].startswith("B. ")
    for label, dense, _, b, _ in tables[0][1:]:
        assert b.startswith(shown[label].shown) and "%" not in dense
        change = shown[label].difference
        assert change is None or f"({change.change})" in b
    money = next(row for row in tables[0] if row[0] == "Cost per million tokens")
    assert "estimated" in money[3]


def test_without_an_original_slides_still_say_what_is_known(home: Settings) -> None:
    whole = made(home)
    candidates = [r for r in whole.results if not r.baseline]
    report = build(whole.run, candidates, [candidates[0].key], audience="engineers")
    deck = story(report)
    assert [s.kind for s in deck if s.kind in ("recommendation", "saving", "users")] == []
    assert "the original gives none to compare with" in next(s for s in deck if s.kind == "choice").lines[0]
    assert deck[-1].big == "Measure the original"
    costs = next(s for s in deck if s.kind == "costs")
    assert costs.table[0] == ("Figure", f"A. {candidates[0].label}") and "No original" in costs.lines[0]


def test_a_classifier_is_judged_by_its_accuracy_and_where_the_original_has_none_that_is_said(home: Settings) -> None:
    whole = made(home)
    judged = Measurement(metric="accuracy", value=0.969, unit="", low=0.962, high=0.976)
    costs = [m for m in whole.chosen[0].measurements if m.metric in ("disk_bytes", "prefill_ms")]
    results = [
        r.model_copy(update={"measurements": costs if r.baseline else [judged, *costs]}) for r in whole.results[:4]
    ]
    report = build(whole.run, results, audience="engineers")
    assert [c.key for c in report.chosen] == [r.key for r in results[-2:]] and report.axes == ("disk_bytes", "accuracy")
    assert report.headline.startswith(f"{results[-1].label}: accuracy 0.969. The file is 100 %")
    said = report.quality_sentence(report.chosen[0])
    assert said == "Accuracy: 0.969 (0.962 to 0.976); the original gives none to compare with."
    assert [s.kind for s in story(report) if s.kind in ("chart", "choice")] == ["chart", "choice", "choice"]
    assert "Accuracy" in {f.label for f in report.figures(report.chosen[0])}


def test_hostile_words_are_short_lines_without_control_and_direction(home: Settings) -> None:
    for word in words(story(made(home, label=HOSTILE, headline=HOSTILE[:300]))):
        assert len(word) <= 420 and not any(unicodedata.category(c) in ("Cc", "Cf") for c in word)


def test_a_fingerprint_follows_what_is_shown_and_nothing_else(home: Settings) -> None:
    store = Store(home)
    run = store.runs.get(finished_study(home))

    def of(headline: str = "", price: float | None = None, **changed: object) -> str:
        results = store.candidates.results(run_id=run.id)
        results[3] = results[3].model_copy(update=changed)
        return fingerprint(build(run, results, [results[2].key], headline=headline, prices=Prices(per_hour=price)))

    same: Report | str = of()
    assert of() == same
    assert len({same, of("Other words"), of(price=1.0), of(label="Other"), of(measurements=[])}) == 5
