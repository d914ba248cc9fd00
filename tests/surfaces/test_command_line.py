"""The command line's table, list and comparison show of each study what a person should read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.commands.parser import main
from core.commands.show import show_results
from core.store import Store
from tests.surfaces.conftest import BY_SIZE, Home
from tests.surfaces.expected import DENSE, FOUR, STUDIES, WANDA_37
from tests.surfaces.readers import Deck, Page, csv_tables, json_tables, terminal
from tests.surfaces.studies import key

NAMES = list(STUDIES)
MONEY = ("Cost per million tokens", "Energy per million tokens", "Weights on disk")
FIGURES = ("PIQA accuracy", "Perplexity", "Loss change", "Parameters", "Weights on disk")
Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize("study", NAMES)
def test_the_table_after_a_run_shows_the_figures_of_that_run(studies: Home, capsys: Said, study: str) -> None:
    show_results(Store(studies.settings).candidates.results(run_id=studies.runs[study]))
    table = terminal(capsys.readouterr().out)
    head = table["candidate"]
    assert [name for name in table if name in STUDIES[study]] == list(STUDIES[study])
    for name, figures in STUDIES[study].items():
        told = dict(zip(head, table[name], strict=True))
        for figure in FIGURES:
            wanted = figures.get(figure)
            cell = told[figure].partition(",")[0]
            interval = f" ({wanted.interval})" if wanted and wanted.interval else ""
            assert cell == (f"{wanted.value}{interval}" if wanted else "\u2013")


def test_the_list_of_runs_counts_the_trials_of_each(studies: Home, capsys: Said) -> None:
    assert main(["runs", "--json", "--home", str(studies.settings.home)]) == 0
    runs = {r["id"]: r["trials"] for r in json.loads(capsys.readouterr().out)["runs"]}
    assert runs[studies.runs["small"]] == {"total": 6, "done": 5, "failed": 1}
    assert runs[studies.runs["follow"]] == runs[studies.runs["large"]] == {"total": 3, "done": 3, "failed": 0}
    assert main(["runs", "--home", str(studies.settings.home)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    counts = [("large", "3/3"), ("follow", "3/3"), ("small", "5/6")]
    told = [(r[0], next(w for w in r if w[:1].isdigit() and "/" in w)) for r in rows[1:] if r and r[0] in runs]
    assert told == [(studies.runs[study], count) for study, count in counts]


def test_two_runs_are_compared_figure_by_figure_in_words(studies: Home, capsys: Said) -> None:
    home = ["--home", str(studies.settings.home)]
    assert main(["diff", studies.runs["small"], studies.runs["large"], *home]) == 0
    said = capsys.readouterr().out
    for figure in (
        "Perplexity",
        "Weights on disk",
        "Memory of the weights",
        "Key-value cache per token",
        "PIQA accuracy",
    ):
        old, new = (STUDIES[s][DENSE][figure].value for s in ("small", "large"))
        assert f"{DENSE}, {figure}: {old} -> {new}\n" in said
    assert WANDA_37 not in said and FOUR not in said
    assert main(["diff", studies.runs["follow"], studies.runs["small"], *home]) == 0
    assert " -> " not in "".join(line for line in capsys.readouterr().out.splitlines() if DENSE in line)


@pytest.mark.parametrize("form", ["html", "pptx", "csv", "json"])
def test_a_report_of_the_command_line_is_that_of_its_run_with_its_prices_and_limits(
    studies: Home, tmp_path: Path, form: str
) -> None:
    out = tmp_path / f"report.{form}"
    options = ["--pick", key("aa4"), "--price", "2.5", "--currency", "EUR", "--watts", "300", "--audience", "engineers"]
    limits = ["--limit", "disk_bytes=250", "--limit", "accuracy:piqa=0.58", "--x", "memory_bytes", "--y", "perplexity"]
    command = [
        "report",
        studies.runs["small"],
        "--format",
        form,
        "--out",
        str(out),
        "--home",
        str(studies.settings.home),
    ]
    assert main([*command, *options, *limits]) == 0
    data = out.read_bytes()
    if form in ("csv", "json"):
        table = (csv_tables if form == "csv" else json_tables)(data.decode())[FOUR]  # type: ignore[operator]
        cost, energy, size = (
            table[f]["shown"] for f in ("Cost per million tokens", "Energy per million tokens", "Weights on disk")
        )
    elif form == "html":
        page = Page(data.decode())
        table = page.figures(FOUR)
        cost, energy, size = (
            table[f]["Value"] for f in ("Cost per million tokens", "Energy per million tokens", "Weights on disk")
        )
        assert any(
            item.startswith("Limits: Weights on disk at most 250.0 MB; PIQA accuracy at least 0.58.")
            for item in page.items
        )
        assert page.charts["tradeoff"].words["x-title"][0].startswith("Memory of the weights")
    else:
        deck = Deck(data)
        table = deck.figures("A")
        cost, energy, size = (
            table[f]["Value"] for f in ("Cost per million tokens", "Energy per million tokens", "Weights on disk")
        )
        assert deck.titled("Perplexity against memory of the weights")
    assert cost.endswith(" EUR, estimated") and energy.endswith(" kWh, estimated") and size == "240.7 MB"
    price = float(cost.split()[0])
    assert float(energy.split()[0]) == pytest.approx(price / 2.5 * 3.6 * 300 / 3600, rel=0.02), "of the same time"


def test_a_report_without_picks_knows_the_candidates_and_the_original_of_its_run_only(
    studies: Home, tmp_path: Path
) -> None:
    for study in ("large", "small"):
        out = tmp_path / f"{study}.html"
        command = ["report", studies.runs[study], "--out", str(out), "--home", str(studies.settings.home)]
        assert main([*command, "--audience", "engineers", "--x", BY_SIZE["x"], "--y", BY_SIZE["y"]]) == 0
        page = Page(out.read_text("utf-8"))
        assert page.points() == {
            name: (figures["Weights on disk"].value, figures["Perplexity"].value)
            for name, figures in STUDIES[study].items()
        }
        shown = [c.removeprefix("Figures of ").partition(", run ")[0] for c in page.tables if c.startswith("Figures")]
        assert shown and set(shown) < set(STUDIES[study])
        original = STUDIES[study][DENSE]["Perplexity"].value
        assert {page.figures(name)["Perplexity"]["Original"] for name in shown} == {original}


@pytest.mark.parametrize("wrong", ["disk_bytes", "disk_bytes=much", "=3", "disk_bytes=nan"])
def test_a_limit_that_is_none_is_refused_in_a_sentence(studies: Home, capsys: Said, tmp_path: Path, wrong: str) -> None:
    command = ["report", studies.runs["small"], "--out", str(tmp_path / "x"), "--home", str(studies.settings.home)]
    assert main([*command, "--limit", wrong]) != 0
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "x").exists()
