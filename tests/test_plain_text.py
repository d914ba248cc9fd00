"""Text from outside on a terminal and in a log: everything that cannot be seen is written out, nothing is obeyed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.base.text import visible
from core.commands.terminal import Line, put, put_json, put_table, say
from core.jobs import submissions
from core.jobs.logs import Plain, tail
from core.recipe.check import RecipeError
from core.recipe.files import load_recipe
from core.store import Store
from tests.layout.modules import inside, modules

NASTY = "a\x1b[2J\x1b]0;title\x07b\x9b31m\u202ec\u200b\u2066d\x00e\x7f\u2028f\r"
SEEN = r"a\x1b[2J\x1b]0;title\x07b\x9b31m\u202ec\u200b\u2066d\x00e\x7f\u2028f\r"


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible(NASTY) == SEEN
    assert visible("zeile eins\n\tß 模型 é") == "zeile eins\n\tß 模型 é", "lines, tabs and letters of any script stay"


def test_the_terminal_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    put(NASTY)
    put_table(["name"], [[NASTY]])
    say(NASTY)
    line = Line()
    line.event("warning", NASTY)
    line.progress(1, 2, NASTY)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert all(c.isprintable() or c == "\n" for c in text) and r"\x1b[2J" in text and r"\u202e" in text


def test_json_on_the_terminal_is_safe_and_reads_back_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"note": NASTY, NASTY: ["é", 1.5, "\U0001f600"]})
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert json.loads(out) == {"note": NASTY, NASTY: ["é", 1.5, "\U0001f600"]}


def test_a_log_obeys_nothing_and_keeps_its_lines() -> None:
    try:
        raise ValueError(NASTY)
    except ValueError:
        record = logging.LogRecord("retort", logging.INFO, "f", 1, "run %s", (NASTY,), sys.exc_info())
    text = Plain("%(levelname)s %(message)s").format(record)
    assert text.startswith(f"INFO run {SEEN}\nTraceback") and f"ValueError: {SEEN}" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_the_end_of_a_log_shows_no_colours_and_writes_out_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("\x1b[31mred\x1b[0m\x1b]0;t\x07\u202ebad\n10 %\r20 %\r\n", "utf-8")
    assert tail(log) == "red\\x1b]0;t\\x07\\u202ebad\n20 %\n"


def test_every_program_writes_its_log_that_way() -> None:
    programs = [p for m, p in modules().items() if inside(m, "core") and "logging.basicConfig" in p.read_text("utf-8")]
    assert [p.name for p in programs] == ["logs.py"]


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\u202eb", "a\u200bb", "two\nlines", "a\x9bb", "\ufeffa"])
def test_names_of_recipes_take_only_what_can_be_seen(name: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(f"name: {json.dumps(name)}\nmodel: sample:m\nsteps: [{{step: evaluate}}]\n")
    assert refused.value.problems == [
        "name (line 1): holds control characters or other characters that cannot be seen."
    ]


def test_names_of_runs_hold_only_what_can_be_seen(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "ensure_runner", lambda _: False)
    run = submissions.submit_download("path:/a\x1b[2J\u202e", home, LOCAL)
    assert Store(home).runs.get(run).name.isprintable()


@pytest.mark.jobs
def test_a_foreign_name_in_a_command_is_written_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core", "run", "\x1b[2J\u202e.yaml", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.replace("\n", "").isprintable()
