"""`data`: five rows, their count, and what each use would read; the same words on the pages."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from core.base.settings import Settings
from core.commands.parser import main

ROWS = "kind;body;id\n" + "".join(f"{'ham' if i % 4 else 'spam'};Text number {i};{i}\n" for i in range(8)) + ";Text;9\n"


@pytest.fixture
def table(home: Settings) -> str:
    path = home.roots[0] / "mail.csv"
    path.write_text(ROWS + "ham;Text number 1;1\n")
    return str(path)


def test_a_table_is_shown_as_it_will_be_read(
    table: str, home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETORT_ROOTS", str(home.roots[0]))
    assert main(["data", table, "--columns", "label=kind", "--home", str(home.home)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "mail.csv: CSV with a semicolon between columns, one file, 10 rows, 1 of them repeat an earlier one."
    )
    assert said[2].split() == ["spam", "Text", "number", "0", "0"]
    assert "As texts with classes: 9 rows (text from 'body', label from 'kind')." in said
    assert "  1 of 10 rows has no label and was left out; the first is line 10 of mail.csv." in said
    assert "As running text: 10 rows (text from 'body')." in said
    assert said[-1] == "2 classes: ham 7, spam 2."
    assert main(["data", table, "--columns", "label=kind", "--json", "--home", str(home.home)]) == 0
    assert json.loads(capsys.readouterr().out)["readings"][0]["classes"] == [["ham", 7], ["spam", 2]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("label=sort", "no column 'sort' (it has: kind, body, id)"),
        ("kind=label", "'kind' is nothing that a column can mean"),
    ],
)
def test_a_column_that_is_none_is_refused(
    table: str,
    home: Settings,
    columns: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RETORT_ROOTS", str(home.roots[0]))
    assert main(["data", table, "--columns", columns, "--home", str(home.home)]) == 2
    assert words in capsys.readouterr().err


def test_a_form_shows_the_same(table: str, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETORT_ROOTS", str(home.roots[0]))
    monkeypatch.setenv("RETORT_HOME", str(home.home))

    def page(reference: str) -> None:
        from pages.forms import look

        look.at(reference)

    shown = AppTest.from_function(page, args=(f"path:{table}",)).run()
    assert not shown.exception and shown.expander[0].label == "What is in it: 10 rows"
    assert len(shown.dataframe[0].value) == 5
    captions = [c.value.replace("\\", "") for c in shown.caption]
    assert any("As running text: 10 rows (text from 'body')" in caption for caption in captions), captions
    refused = AppTest.from_function(page, args=(f"path:{table}.gz",)).run()
    assert "Check the spelling" in refused.error[0].value
