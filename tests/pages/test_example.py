"""The finished study that comes with Retort: offered, shown, kept apart, and measured here at a click."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.base.settings import Settings
from core.store import Store
from core.store.bundle import pack
from pages.frame import example
from tests.pages.conftest import Opens, links, words
from tests.pages.study import finished_study

RUN = "example-sample-study"


@pytest.fixture
def shipped(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in the place of the one that comes with Retort, packed from another home."""
    other = Settings(home=tmp_path / "elsewhere")
    file = tmp_path / "sample-study.json"
    file.write_text(pack(Store(other), finished_study(other), "a small server"))
    monkeypatch.setattr(example, "BUNDLE", file)
    return file


def test_before_anything_has_run_it_is_offered_where_there_is_nothing_yet(opens: Opens, shipped: Path) -> None:
    for page in ("start", "tradeoffs", "report"):
        app = opens(page)
        assert "11 candidates of SmolLM2" in words(app).replace("\\", "")
        assert links(app)["See its trade-offs"] == links(app)["Read its report"] == f"run={RUN}"


def test_its_charts_and_its_report_are_shown_as_an_example_of_a_named_machine(
    opens: Opens, shipped: Path, store: Store
) -> None:
    mine = finished_study(store.settings, name="My own")
    app = opens("tradeoffs", run=RUN)
    said = words(app).replace("\\", "")
    assert "Example, measured on a small server on " in said and "not your machine" in said
    assert "Promised and measured" in said and app.get("plotly_chart")
    studies = next(m for m in app.multiselect if m.key == "run")
    assert (
        studies.value == [RUN]
        and len(studies.options) == 1
        and studies.options[0].endswith(": Sample study (sample:smollm2-135m)")
    )
    report = opens("report", run=RUN)
    assert report.get("iframe") and "Example, measured on a small server" in words(report).replace("\\", "")
    assert [r.id for r in store.runs.find()] == [mine]
    assert "Example" not in opens("runs").dataframe[0].value.to_string()
    assert "Example" not in words(opens("start"))


def test_what_needs_a_model_says_so(opens: Opens, shipped: Path) -> None:
    app = opens("compare", run=RUN)
    assert "Compare needs its models, which do not come with Retort" in words(app) and app.title[0].value == "Compare"
    assert "none of your runs" in words(opens("runs", run=RUN)) and not [
        b for b in opens("runs", run=RUN).button if "Delete" in b.label
    ]


def test_run_it_here_measures_the_same_study_in_the_users_own_home(opens: Opens, shipped: Path, store: Store) -> None:
    app = opens("tradeoffs", run=RUN)
    app.button(key="example-here").click().run()
    run = store.runs.find(kinds=("sweep",))[0]
    assert run.parsed() == example.recipe() and run.state == "queued" and app.query_params["run"] == run.id
    assert {r.recipe["sample"] for r in store.runs.find(kinds=("fetch",))} == {"smollm2-135m", "wiki"}


def test_without_one_nothing_is_offered_and_its_address_says_so(
    opens: Opens, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "BUNDLE", tmp_path / "none.json")
    assert "finished study first" not in words(opens("start"))
    assert "There is no run" in words(opens("tradeoffs", run=RUN))


def test_a_damaged_one_is_a_sentence(opens: Opens, shipped: Path) -> None:
    shipped.write_text("{")
    assert "The example in sample" in words(opens("tradeoffs", run=RUN))
    start = words(opens("start"))
    assert "The example in sample" in start and "Run the sample study" in start
