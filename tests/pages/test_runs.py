"""The Runs page: filters, tags and notes, doing a run again, and two runs side by side."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs.logs import log_path
from core.recipe.trial_keys import Identity, trials_of
from core.store import Store
from tests.pages.conftest import Opens, links, markup, words
from tests.pages.study import failed_run, finished_study

HOSTILE = "![x](javascript:alert(1)) <script>alert(1)</script>"


def test_filters_of_the_address_hold_and_5000_runs_are_paged(opens: Opens, settings: Settings, store: Store) -> None:
    one = finished_study(settings)
    store.runs.annotate(one, tags=["keep"], notes="a")
    with store.runs._db.write() as db:
        db.executemany(
            "INSERT INTO runs (id, kind, name, model, recipe, state, created)"
            " VALUES (?, 'sweep', ?, 'path:/other', '{}', 'done', 1)",
            [(f"r{i}", f"Filler {i}") for i in range(5000)],
        )
    page = opens("runs")
    assert "5,001 runs" in words(page) and len(page.dataframe[0].value) == 200
    page = opens("runs", tag="keep")
    assert "1 run, newest first" in words(page)
    page = opens("runs", model="path:/other", q="Filler 4999")
    assert "1 run, newest first" in words(page)
    assert "No run matches" in words(opens("runs", kind="sweep", state="failed"))


def test_the_table_says_what_came_of_each_run_and_opens_and_compares_what_is_picked(
    opens: Opens, settings: Settings, store: Store
) -> None:
    first, broken = finished_study(settings, failed=1), failed_run(settings)
    second = finished_study(settings, name="Again")
    store.runs.annotate(first, tags=["keep"])
    page = opens("runs")
    table = page.dataframe[0].value.set_index("Run")
    # Within 5 % of the dense loss of 3.375 nats lie 0.08, 0.03 and 0.12; all are as large as the dense model's file.
    assert list(table.index) == ["Again", "Broken study", "Sample study"]
    assert dict(table.loc["Sample study", ["State", "Best candidate", "Tags"]]) == {
        "State": "Done, 1 failed",
        "Best candidate": "Wanda 20 %",
        "Tags": "keep",
    }
    assert table.loc["Sample study", "Loss change"] == pytest.approx(0.03) and table.loc["Again", "File"] == 271_800_000
    assert table.loc["Broken study", "State"] == "Failed" and table.loc["Broken study", "Best candidate"] == "\u2013"
    assert table.loc["Again", "Open"] == f"?run={second}" and table.loc["Broken study", "Open"] == f"?run={broken}"
    assert "By" not in table.columns, "nobody signs in here"
    _pick(page, 0, 2)
    assert links(page)["Compare the two"] == f"run={second}&other={first}"
    _pick(page, 1)
    assert links(page)[r"Open Broken study"] == f"run={broken}"


def _pick(page: AppTest, *rows: int) -> None:
    """Rows of the first table are picked, as a click on their boxes does."""
    state = json.dumps({"selection": {"rows": list(rows), "columns": [], "cells": []}})
    widget = page.dataframe[0].proto.id
    page.session_state  # noqa: B018
    states = page._tree.get_widget_states()
    states.widgets.add(id=widget, string_value=state)
    page._run(states)


def test_a_run_shows_its_candidates_with_figures_and_one_is_made_again_and_kept(
    opens: Opens, settings: Settings, store: Store
) -> None:
    run = finished_study(settings)
    page = opens("runs", run=run)
    table = page.dataframe[0].value.set_index("Candidate")
    assert table.loc["Wanda 50 %", "Loss change"] == pytest.approx(0.42)
    assert table.loc["Wanda 50 %", "Weights on disk"] == 271_800_000 and list(table["State"]) == ["Done"] * 12
    row = list(table.index).index("Wanda 50 %")
    _pick(page, row)
    key = store.trials.of(run)[row].key
    assert links(page)["On the trade-offs"] == f"run={run}&pick={key[:10]}"
    page.button(key=f"again-{key}").click().run()
    again = store.runs.find(limit=1)[0]
    assert again.name == "Wanda 50 % of SmolLM2-135M-Instruct, kept" and again.recipe["sweep"]["keep"] == "all"
    trials = trials_of(again.parsed(), Identity("fingerprint-of-the-tests"))
    assert [t.key for t in trials] == [store.trials.of(run)[0].key, key]


def test_delete_comes_after_everything_else_that_can_be_done_with_a_run(opens: Opens, settings: Settings) -> None:
    labels = [b.label for b in opens("runs", run=finished_study(settings, failed=1)).button]
    assert labels.index("Retry what failed") < labels.index("Delete for good")


def test_tags_and_note_are_saved_and_a_bad_tag_is_refused(opens: Opens, settings: Settings, store: Store) -> None:
    run = finished_study(settings, name=HOSTILE)
    page = opens("runs", run=run)
    assert "<script>" not in words(page)
    page.text_input[0].set_value("one, two")
    page.text_area[0].set_value(HOSTILE)
    next(b for b in page.button if b.label == "Save").click().run()
    assert not page.exception
    assert store.runs.get(run).tags == ("one", "two") and store.runs.get(run).notes == HOSTILE
    page.text_input[0].set_value("<b>")
    next(b for b in page.button if b.label == "Save").click().run()
    assert "characters that a tag cannot have" in words(page)
    assert store.runs.get(run).tags == ("one", "two")


def test_two_runs_side_by_side_and_the_command_to_do_one_again(opens: Opens, settings: Settings) -> None:
    first, second = finished_study(settings), finished_study(settings, name="Again")
    page = opens("runs", run=first, other=second)
    said = words(page)
    assert f"python -m core run run-{first}.yaml" in said
    tables = [d.value for d in page.dataframe]
    recipe = next(t for t in tables if "What" in t.columns)
    assert recipe.to_dict("records") == [{"What": "name", "This run": '"Sample study"', "Second run": '"Again"'}]
    shared = next(t for t in tables if "Verdict" in t.columns)
    assert set(shared["Verdict"]) == {"the same candidate"} and len(shared) > 50


def test_a_run_that_is_gone_and_a_failed_one_are_shown_plainly(opens: Opens, settings: Settings) -> None:
    assert "There is no folder" in words(opens("runs", run=failed_run(settings)))
    assert "There is no run" in words(opens("runs", run="gone"))


def test_what_a_run_was_built_on_is_listed_with_links(opens: Opens, settings: Settings, store: Store) -> None:
    first = finished_study(settings, name=HOSTILE)
    key = store.trials.of(first)[1].key
    second = store.runs.add("recipe", "Next", f"run:{first}/{key}", {"model": f"run:{first}/{key}", "steps": []}, LOCAL)
    said = words(opens("runs", run=second))
    assert f"](?run={first})" in said and "  - Model: sample" in said and "](javascript" not in said
    assert [store.runs.owner(f"run:{r}") for r in (first, f"{first}/{key}", key, "gone")] == [first, first, first, None]


def test_hostile_logs_events_and_labels_are_plain_text(opens: Opens, settings: Settings, store: Store) -> None:
    hostile = "<img src=x onerror=alert(1)> [a](http://evil.invalid) \u202eabc \x01 :red[x] $y$" + "A" * 100_000
    run = finished_study(settings, name="".join(filter(str.isprintable, hostile))[:120])
    for found in store.candidates.results(run_id=run):
        store.candidates.add(found.model_copy(update={"label": hostile, "notes": [hostile]}))
    store.events.add(run, "warning", hostile)
    log = log_path(settings.run_folder(run))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(hostile.replace("A", "") + "\n", "utf-8")
    for page in (opens("runs"), opens("runs", run=run)):
        said = words(page) + "".join(b.label for b in page.button) + page.dataframe[0].value.to_string()
        assert "\u202e" not in said and "\x01" not in said
        said = markup(page)
        assert "<img" not in said and "](http" not in said and ":red[" not in said and len(said) < 50_000
    assert any(r"\u202eabc \x01" in c.value for c in page.code), "the log shows what would not be seen"


def test_a_run_whose_kept_model_is_gone_says_so_and_makes_it_again(
    opens: Opens, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.jobs.actions._ensure_runner", lambda *_: False)  # what is queued stays queued
    run = finished_study(settings)
    page = opens("runs", run=run)
    assert "damaged" not in words(page) and not [b for b in page.button if b.label == "Make again"]
    for found in store.candidates.results(run_id=run)[1:3]:
        store.candidates.add(found.model_copy(update={"saved": True}))
    page = opens("runs", run=run)
    said = words(page).replace("\\", "")
    assert "is damaged: its folder is missing. 1 more of what this run saved is damaged too." in said
    next(b for b in page.button if b.label == "Make again").click().run()
    assert not page.exception and store.runs.get(run).state == "queued"


def test_a_search_shows_its_falling_curve_and_says_what_it_means(
    opens: Opens, settings: Settings, store: Store
) -> None:
    run = finished_study(settings)
    assert "Search" not in [h.value for h in opens("runs", run=run).header]
    store.series.add(run, [("search/Width and depth", 24, 0.5), ("search/Width and depth", 40, 0.25)])
    page = opens("runs", run=run)
    assert "Search" in [h.value for h in page.header]
    assert "Width and depth: 40 candidates judged, best KL 0.25 nats." in words(page)
