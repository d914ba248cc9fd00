"""The Compare page for classification models, with the real host behind it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs.preview import client
from core.registry.measurement import Measurement
from core.store import Store
from tests.engine.live.classifiers import CLASSES, TEXTS, write_classifiers
from tests.pages.conftest import Opens, markup, words
from tests.pages.study import recipe, results
from tests.pages.test_compare import press

pytestmark = pytest.mark.jobs
HOSTILE = "<img src=x onerror=alert(1)> [a](http://evil.invalid) \u202eabc \x01" + "A" * 100_000


@pytest.fixture
def made(settings: Settings, tiny_llama: Path) -> Iterator[dict[str, str]]:
    """Two classifiers in folders, and labelled texts of which the first is hostile."""
    found = write_classifiers(settings, tiny_llama)
    with Path(found["data"].removeprefix("path:")).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        rows.writerows((HOSTILE + t if i < 3 else t, CLASSES[i % 3]) for i, t in enumerate(TEXTS))
    yield found
    client.release(settings, LOCAL)


@pytest.fixture
def study(store: Store, made: dict[str, str]) -> dict[str, str]:
    """The same classifiers as kept candidates of a run over an encoder; both were judged on the 40 texts."""
    of = recipe(model="path:/models/encoder")
    run_id = store.runs.add(of.kind, of.name, of.model, of.model_dump(mode="json"), LOCAL)
    done = results(of)[:3]
    store.trials.add(run_id, [t for t, _ in done])
    kept = {"run": run_id}
    for name, (_, found) in zip(("one", "two"), done[1:], strict=True):
        found = found.model_copy(
            update={"saved": True, "measurements": [*found.measurements, *_judged(name, made["data"])]}
        )
        store.candidates.add(found)
        shutil.copytree(made[name].removeprefix("path:"), store.candidates.folder(found.key) / "model")
        kept[name] = f"run:{found.key}"
    store.runs.claim(run_id)
    store.runs.progress(run_id, len(done), len(done), "")
    store.runs.finish(run_id, "done")
    return kept | {"data": made["data"]}


def _judged(name: str, data: str) -> list[Measurement]:
    """The first is right about all but the first four texts, the second calls everything the first class."""
    gold = [i % 3 for i in range(40)]
    given = [(g + 1) % 3 if i < 4 else g for i, g in enumerate(gold)] if name == "one" else [0] * 40
    right = [float(a == b) for a, b in zip(gold, given, strict=True)]
    matrix = [[sum((g, p) == (i, j) for g, p in zip(gold, given, strict=True)) for j in range(3)] for i in range(3)]
    said: dict[str, Any] = {"corpus": data}
    return [
        Measurement(metric="accuracy", value=sum(right) / 40, unit="", samples=right, settings=said),
        Measurement(
            metric="f1",
            value=0.5,
            unit="",
            settings=said | {"confusion": matrix, "labels": list(CLASSES), "answers": given},
        ),
    ]


def choose(opens: Opens, made: dict[str, str], first: str, *beside: str) -> Any:
    app = opens("compare")
    app.selectbox(key="compare-first").set_value(made[first])
    app.multiselect(key="compare-beside").set_value([made[b] for b in beside]).run()
    return app


def test_classifiers_are_compared_by_class_and_by_text(opens: Opens, made: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setattr("pages.comparison.classes._USUAL", 40)
    monkeypatch.setattr("pages.comparison.classes._sets", lambda _: [made["data"]])
    app = choose(opens, made, "one", "two")
    assert "Not measured on these texts yet" in words(app) and not app.metric
    press(app, "compare-classify")
    assert not app.error, words(app)
    assert [m.label for m in app.metric] == ["Accuracy", "Accuracy"]
    said = words(app).replace("\\", "")
    assert "Computed just now on 40 texts" in said and "Against A:" in said and "McNemar p" in said
    charts = app.get("plotly_chart")
    assert len(charts) == 2 and all("Confusion matrix of" in str(c.proto) for c in charts)
    cells, changed = (d.value for d in app.dataframe)
    assert cells["A"].sum() == cells["B"].sum() == 40
    fixed = int((changed["B"] == "fixed").sum())
    assert f"{fixed} fixed" in said and set(changed["B"]) <= {"fixed", "broken", "otherwise wrong"}
    assert all(
        row["B says"] == row["True class"] != row["A says"] for _, row in changed.iterrows() if row["B"] == "fixed"
    )
    app.radio(key="compare-changed").set_value("broken").run()
    assert set(app.dataframe[1].value["B"]) <= {"broken"} if len(app.dataframe) > 1 else "none of these" in words(app)


def test_hostile_texts_and_classes_stay_text(opens: Opens, made: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setattr("pages.comparison.classes._sets", lambda _: [made["data"]])
    app = press(choose(opens, made, "one", "two"), "compare-classify")
    whole = markup(app)
    assert "<b>" not in whole and "\u202e" not in whole and "](http" not in whole
    read = [k for k in (b.key for b in app.selectbox) if k and k.startswith("compare-read")][0]
    hostile = next((i for i, o in enumerate(app.selectbox(key=read).options) if "<img" in o), None)
    if hostile is not None:
        app.selectbox(key=read).select_index(hostile).run()
        assert "[U+202E]abc [U+0001]" in app.code[0].value and len(app.code[0].value) < 2_100
    assert len(app.get("html")) == 0 and not app.exception


def test_what_the_runs_measured_is_there_at_once_and_texts_need_no_model(
    opens: Opens, study: dict[str, str], settings: Settings
) -> None:
    app = opens("compare", run=study["run"])
    assert app.selectbox(key="compare-first").value == study["one"], "the encoder itself tells no classes apart"
    assert app.multiselect(key="compare-beside").value == [study["two"]]
    said = words(app).replace("\\", "")
    assert "Measured by the runs of these models on 40 texts" in said
    assert [m.value for m in app.metric] == ["0.9", "0.35"] and "worse than the first" in said
    assert "2 fixed, 24 broken." in said
    press(app, "compare-classify")
    assert not app.error and client.status(settings, LOCAL).models == (), words(app)
    assert "2 fixed, 24 broken, 1 otherwise wrong, 13 as A." in words(app).replace("\\", "")
    assert len(app.dataframe[1].value) == 27


def test_texts_that_changed_since_are_refused(opens: Opens, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"])
    file = Path(study["data"].removeprefix("path:"))
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join([lines[0], *lines[:0:-1]]), "utf-8")
    press(app, "compare-classify")
    assert "not those the models were measured on" in words(app) and [m.value for m in app.metric] == ["0.9", "0.35"]
    file.unlink()
    press(app, "compare-classify")
    assert app.error and "No such file" not in words(app)


def test_models_of_several_kinds_are_not_compared(opens: Opens, made: dict[str, str], tiny_llama: Path) -> None:
    settings_models = Path(made["one"].removeprefix("path:")).parent
    shutil.copytree(tiny_llama, settings_models / "writes")
    app = opens("compare")
    app.selectbox(key="compare-first").set_value(made["one"])
    app.multiselect(key="compare-beside").set_value([f"path:{settings_models / 'writes'}"]).run()
    assert "A tells classes apart; B writes text." in words(app) and not app.button
