"""Times, money and energy read alike on every surface: each model's ratio to the dense one, times what that took."""

from __future__ import annotations

import pytest

from core.commands.show import show_results
from core.store import Store
from tests.pages.conftest import Opens
from tests.surfaces.conftest import Home
from tests.surfaces.expected import DENSE, FOUR, MAGNITUDE, TIMES_SMALL
from tests.surfaces.readers import Deck, Page, bars, marks, terminal
from tests.surfaces.studies import key
from tests.surfaces.test_forms import TIMES, from_csv, from_html, from_json, from_pptx
from tests.surfaces.test_pages import cards, charts, displayed, slides
from tests.surfaces.test_pages import studies as studies


def only_times(found: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {name: {f: r for f, r in figures.items() if f in TIMES} for name, figures in found.items()}


def test_every_form_writes_the_times_of_the_small_study_alike(studies: Home) -> None:
    candidates = {name: figures for name, figures in TIMES_SMALL.items() if name != DENSE}
    for read in (from_html, from_pptx):
        assert only_times(read(studies, "small")) == candidates
    for read in (from_csv, from_json):
        assert only_times(read(studies, "small")) == TIMES_SMALL


@pytest.mark.parametrize("study", ["follow", "large"])
def test_every_form_writes_the_times_of_another_study_alike(studies: Home, study: str) -> None:
    found = only_times(from_json(studies, study))
    assert only_times(from_csv(studies, study)) == found
    del found[DENSE]
    for read in (from_html, from_pptx):
        assert only_times(read(studies, study)) == found


def test_pages_and_slides_write_the_same_times(opens: Opens, studies: Home) -> None:
    run = studies.runs["small"]
    page = opens("tradeoffs", run=run, x="decode_ms", pick=[key(n)[:10] for n in ("aa1", "aa4")])
    told = {m.label: (m.value, m.delta) for m in cards(page)[f"B. {FOUR}"].metric}
    wanted = TIMES_SMALL[FOUR]["Latency per token"]
    assert told["Latency per token, estimated"] == (wanted.value, wanted.change)
    names = {r.key: r.label for r in Store(studies.settings).candidates.results(run_id=run)}
    for k, x, _, said in marks(charts(page)[0]):
        figure = TIMES_SMALL[names[k]]["Latency per token"]
        interval = f" ({figure.interval})" if figure.interval else ""
        estimated = ", estimated" if figure.estimated else ""
        assert f"Latency per token: {figure.value}{interval}{estimated}" in said
        assert x == pytest.approx(float(figure.value.split()[0]), abs=0.051)
        assert figure.evidence in said
    page.session_state["all"] = True
    page.run()
    cells = displayed(page.dataframe[0])
    assert cells["Latency per token"] == [f["Latency per token"].value for f in TIMES_SMALL.values()]
    found = slides(opens, studies, "small", pick=[key(n)[:10] for n in ("aa1", "aa4")])
    (costs,) = [t["table"] for t, _ in found if t["kind"] == "costs"]
    rows = {row[0]: row[1:] for row in costs[1:]}
    for figure in ("Prefill latency", "Latency per token"):
        dense, magnitude, four = (TIMES_SMALL[name][figure] for name in (DENSE, MAGNITUDE, FOUR))
        estimated = ", estimated" if four.estimated else ""
        assert rows[figure] == [
            dense.value,
            f"{magnitude.value} ({magnitude.change})",
            f"{four.value}{estimated} ({four.change})",
        ]


def test_bars_of_times_are_the_ratio_with_its_interval(opens: Opens, studies: Home) -> None:
    page, deck = Page(studies.form("small", "html").decode()), Deck(studies.form("small", "pptx"))
    wanted = {
        "Prefill latency": "88.2 % (87.3 to 89.1 %)",
        "Latency per token": "88.5 % (87.6 to 89.3 %), estimated",
    }
    board = opens("tradeoffs", run=studies.runs["small"], pick=key("aa4")[:10])
    for told in (page.charts["bars3"].bars, bars(charts(board)[1])):
        assert {bar: words for bar, (_, words) in told.items() if bar in TIMES} == wanted
    assert {bar: words for bar, words in deck.shares("D").items() if bar in TIMES} == wanted


def test_the_command_lines_table_writes_the_same_times(studies: Home, capsys: pytest.CaptureFixture[str]) -> None:
    show_results(Store(studies.settings).candidates.results(run_id=studies.runs["small"]))
    table = terminal(capsys.readouterr().out)
    for name, figures in TIMES_SMALL.items():
        told = dict(zip(table["candidate"], table[name], strict=True))
        for figure in ("Prefill latency", "Latency per token"):
            wanted = figures[figure]
            said = f"{wanted.value} ({wanted.interval})" if wanted.interval else wanted.value
            assert told[figure].startswith(said)
            assert (", estimated" in told[figure]) == wanted.estimated
            assert (", tie" in told[figure]) == (wanted.change.startswith("no difference"))
