"""The forms of a report say of each study what a person should read of it, and of no other study."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from core.registry.measurement import find_metric
from core.store import Store
from tests.surfaces import expected
from tests.surfaces.conftest import Home
from tests.surfaces.expected import DENSE, FOUR, MAGNITUDE, SHARES, STUDIES, Figures, Read
from tests.surfaces.readers import Deck, Page, csv_tables, json_tables
from tests.surfaces.studies import LARGE_SHORTER, SHORTER, key

NAMES = list(STUDIES)
Reader = Callable[..., dict[str, Figures]]
TIMES = ("Prefill latency", "Latency per token", "Cost per million tokens", "Energy per million tokens")
"""Their words are compared between surfaces, in test_times.py."""


def without_times(found: dict[str, dict[str, Read]]) -> dict[str, Figures]:
    return {name: {f: r for f, r in figures.items() if f not in TIMES} for name, figures in found.items()}


def candidates(study: str) -> dict[str, Figures]:
    return {name: figures for name, figures in STUDIES[study].items() if name != DENSE}


def split(against: str) -> tuple[str, str]:
    """'-0.153; McNemar p = ...' as change and evidence."""
    change, _, evidence = against.partition("; ")
    return change.removeprefix("\u2013"), evidence


def from_html(home: Home, study: str, audience: str = "engineers") -> dict[str, Figures]:
    page, found = Page(home.form(study, "html", audience).decode()), {}
    for name in candidates(study):
        found[name] = {
            figure: _read(cells["Value"], cells["Range"], cells["Against the baseline"])
            for figure, cells in page.figures(name).items()
        }
    assert sum(caption.startswith("Figures of ") for caption in page.tables) == len(found)
    return found


def from_pptx(home: Home, study: str, audience: str = "engineers") -> dict[str, Figures]:
    deck, found = Deck(home.form(study, "pptx", audience)), {}
    for letter, name in zip("ABCDEF", candidates(study), strict=False):
        assert deck.titled(f"{letter}. {name}")
        found[name] = {
            figure: _read(cells["Value"], cells["Range"], cells["Against the original"])
            for figure, cells in deck.figures(letter).items()
        }
    return found


def _read(value: str, interval: str, against: str) -> Read:
    change, evidence = split(against)
    plain = value.removesuffix(", estimated")
    return Read(plain, interval.removeprefix("\u2013"), change, evidence, plain != value)


def from_csv(home: Home, study: str, audience: str = "engineers") -> dict[str, Figures]:
    return {
        name: {f: _told(c["shown"], c["range"], c["change"], c["evidence"]) for f, c in table.items()}
        for name, table in csv_tables(home.form(study, "csv", audience).decode()).items()
    }


def from_json(home: Home, study: str, audience: str = "engineers") -> dict[str, Figures]:
    return {
        name: {f: _told(c["shown"], c["range"], c["change"], c["evidence"]) for f, c in table.items()}
        for name, table in json_tables(home.form(study, "json", audience).decode()).items()
    }


def _told(value: str, interval: str | None, change: str | None, evidence: str | None) -> Read:
    plain = value.removesuffix(", estimated")
    return Read(plain, interval or "", change or "", evidence or "", plain != value)


@pytest.mark.parametrize("study", NAMES)
@pytest.mark.parametrize("read", [from_html, from_pptx])
def test_a_document_shows_every_figure_of_its_study_in_its_words(studies: Home, read: Reader, study: str) -> None:
    assert without_times(read(studies, study)) == candidates(study)


@pytest.mark.parametrize("study", NAMES)
@pytest.mark.parametrize("read", [from_csv, from_json])
def test_data_hold_every_figure_of_the_study_and_of_its_original(studies: Home, read: Reader, study: str) -> None:
    assert without_times(read(studies, study)) == STUDIES[study]


@pytest.mark.parametrize("study", NAMES)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_data_hold_the_numbers_of_the_store_with_their_units(studies: Home, form: str, study: str) -> None:
    known = {r.label: r for r in Store(studies.settings).candidates.results(run_id=studies.runs[study])}
    text = studies.form(study, form).decode()
    tables = csv_tables(text) if form == "csv" else json_tables(text)
    assert list(tables) == [r.label for r in known.values()], "this study's candidates, in the order of its trials"
    for name, table in tables.items():
        for cells in table.values():
            stored = find_metric(known[name].measurements, cells["metric"])
            if stored is None or cells["label"] in TIMES:
                continue
            for end in ("value", "low", "high"):
                told = cells[end]
                assert (None if told in ("", None) else float(told)) == getattr(stored, end)
            assert (cells["unit"], cells["obtained"]) == (stored.unit, stored.obtained)


@pytest.mark.parametrize("read", [from_csv, from_json])
def test_executives_get_the_few_figures_that_decide_with_money_and_energy(studies: Home, read: Reader) -> None:
    found = read(studies, "small", "executives")
    wanted = {
        n: {f: r for f, r in figures.items() if f in expected.EXECUTIVES} for n, figures in STUDIES["small"].items()
    }
    assert without_times(found) == {n: wanted[n] for n in found}
    assert all(set(figures) - set(expected.EXECUTIVES) == set(TIMES[1:]) for figures in found.values())


@pytest.mark.parametrize("study", NAMES)
def test_bars_of_every_form_are_the_shares_of_the_original(studies: Home, study: str) -> None:
    page, deck = Page(studies.form(study, "html").decode()), Deck(studies.form(study, "pptx"))
    document = {c["label"]: c for c in json.loads(studies.form(study, "json"))["candidates"]}
    for i, (name, wanted) in enumerate(SHARES[study].items()):
        for told in (
            {bar: words for bar, (_, words) in page.charts[f"bars{i}"].bars.items()},
            deck.shares("ABCDEF"[i]),
            {share["label"]: share["shown"] for share in document[name]["shares"]},
        ):
            assert {bar: words for bar, words in told.items() if bar not in TIMES} == wanted
            assert [b for b in told if b in wanted] == list(wanted), "in the same order"
        for length, words in page.charts[f"bars{i}"].bars.values():
            assert length == pytest.approx(float(words.partition(" %")[0]), abs=0.51), "the bar is as long as it says"
        for bar, words in wanted.items():
            assert f"{bar.lower()} {words}" in page.alts[f"bars{i}"]


@pytest.mark.parametrize("study", NAMES)
def test_the_chart_of_every_form_has_the_points_of_this_study_and_no_other(studies: Home, study: str) -> None:
    page, deck = Page(studies.form(study, "html").decode()), Deck(studies.form(study, "pptx"))
    told = {
        name: (figures["Weights on disk"].value, figures["Perplexity"].value)
        for name, figures in STUDIES[study].items()
    }
    assert page.points() == told
    results = {r.key: r for r in Store(studies.settings).candidates.results(run_id=studies.runs[study])}
    drawn = page.charts["tradeoff"].marks
    assert set(drawn) == set(results)
    for k, (x, y, words) in drawn.items():
        name = results[k].label
        size, quality = STUDIES[study][name]["Weights on disk"], STUDIES[study][name]["Perplexity"]
        assert words.startswith(f"{name}\n") and f"Weights on disk: {size.value}" in words
        assert f"Perplexity: {quality.value} ({quality.interval})" in words
        assert (x, y) == tuple(find_metric(results[k].measurements, m).value for m in ("disk_bytes", "perplexity"))
    unit, size = ("GB", 1e9) if study == "large" else ("MB", 1e6)
    points = deck.scatter()
    assert len(points) == len(results)
    for i, name in enumerate([DENSE, *candidates(study)]):
        series = "Dense" if i == 0 else f"{'ABCDEF'[i - 1]}. {name}"
        (k,) = [k for k, r in results.items() if r.label == name]
        ((x, y),) = next(pairs for n, pairs in points.items() if n.startswith(series[:39]))
        disk, perplexity = (find_metric(results[k].measurements, m) for m in ("disk_bytes", "perplexity"))
        assert (
            disk is not None and perplexity is not None and perplexity.low is not None and perplexity.high is not None
        )
        assert (x * size, y) == pytest.approx((disk.value, perplexity.value))
        ((down, up),) = deck.errors(next(n for n in points if n.startswith(series[:39])), "y")
        assert (y - down, y + up) == pytest.approx((perplexity.low, perplexity.high))
    axes = deck.scatter_chart()
    assert axes.category_axis.axis_title.text_frame.text == f"Weights on disk, {unit} (lower is better)"
    assert axes.value_axis.axis_title.text_frame.text == "Perplexity (lower is better)"
    titles = page.charts["tradeoff"].words
    assert titles["x-title"] == ["Weights on disk (lower is better)"]
    assert titles["y-title"] == ["Perplexity (lower is better)"]


def test_the_sentences_of_a_candidate_are_the_same_in_every_form(studies: Home) -> None:
    quality = "Perplexity: 29.22 becomes 58.26 (+29.04; 95 % interval 53.8 to 63.1)."
    page, deck = Page(studies.form("small", "html").decode()), Deck(studies.form("small", "pptx"))
    document = {c["label"]: c for c in json.loads(studies.form("small", "json"))["candidates"]}
    verdict = document[FOUR]["verdict"]
    assert verdict.startswith("The file is 89 % of the dense size")
    assert any(f"D. {FOUR}." in item and quality in item and verdict in item for item in page.items)
    assert f"{quality} {verdict}" in deck.words(deck.titled("D. ")[0])
    assert document[MAGNITUDE]["verdict"].startswith("50 % sparse, yet the file is 100 % of the dense size")
    assert document[expected.WANDA_37]["verdict"].startswith("37.5 % sparse, yet the file is 100 % of the dense size")


@pytest.mark.parametrize("study", NAMES)
def test_notes_are_the_same_in_every_form(studies: Home, study: str) -> None:
    page, deck = Page(studies.form(study, "html").decode()), Deck(studies.form(study, "pptx"))
    notes = json.loads(studies.form(study, "json"))["notes"]
    assert page.items[-len(notes) :] == notes
    told = [line for s in deck.titled("How this was found out") for line in deck.words(s).split("\n")]
    assert [line for line in told if line in notes] == notes
    name, model = {
        "small": ("Fit the phone", "sample:smollm2-135m"),
        "follow": ("Six layers", "sample:smollm2-135m"),
        "large": ("Fit the server", "hub:org/large@0123456789abcdef"),
    }[study]
    assert notes[0] == f"Run {studies.runs[study]} ({name}) on the model {model}."
    alone = {
        "small": [f"{FOUR}: Layers 11, 12, 14 and 20 were removed."],
        "large": [
            f"{expected.THREE}: other work ran on the machine while it was timed (prefill latency, latency per token)."
        ],
        "follow": [],
    }
    for other, lines in alone.items():
        assert all((line in notes) == (other == study) for line in lines)
    failed = "1 of 6 candidates failed and left no figures."
    assert (failed in notes) == (study == "small")


def test_only_what_was_timed_beside_other_work_says_so(studies: Home) -> None:
    tables = csv_tables(studies.form("large", "csv").decode())
    busy = {name for name, t in tables.items() if '"contended": true' in t["Latency per token"]["settings"]}
    assert busy == {LARGE_SHORTER.label}
    guessed = {
        (name, f)
        for name, t in csv_tables(studies.form("small", "csv").decode()).items()
        for f, cells in t.items()
        if cells["obtained"] == "estimated" and "million" not in f
    }
    assert guessed == {(SHORTER.label, "Peak memory"), (SHORTER.label, "Latency per token")}


def test_a_candidate_of_another_study_cannot_be_picked(studies: Home) -> None:
    from core.base.errors import RetortError

    with pytest.raises(RetortError, match="names no candidate"):
        studies.report("small", picks=(key("bb1"),))
