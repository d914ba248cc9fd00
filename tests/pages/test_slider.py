"""The slider on the Sweep page, with the real host behind it: answers, gives way to a run, starts a measurement."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.engine.models.load import compute_dtype
from core.jobs.preview import client
from core.store import Store
from tests.engine.live.texts import write_texts
from tests.pages.conftest import Opens, words

pytestmark = pytest.mark.jobs
DASH = "\u2013"


@pytest.fixture
def model(settings: Settings, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The page's address for a tiny model and its texts, with the slider open."""
    target = settings.home / "models" / "tiny-llama"
    shutil.copytree(tiny_llama, target)
    texts = write_texts(settings)
    # AppTest knows no values beyond a selectbox's options.
    monkeypatch.setattr("pages.forms.sweep.CORPORA", [t["data"] for t in texts.values()])
    yield {
        "model": f"path:{target}",
        "slider": "true",
        "cal": texts["calibration"]["data"],
        "eval": texts["evaluation"]["data"],
        "length": "64",
        "window": "64",
    }
    client.release(settings, LOCAL)


def test_a_drag_changes_what_the_page_shows(opens: Opens, settings: Settings, model: dict[str, str]) -> None:
    app = opens("sweep", **model)
    shown = {m.label: m for m in app.metric}
    assert float(shown["Loss, preview"].value.removesuffix(" nats")) > 1
    assert " to " in shown["Loss, preview"].delta and shown["Weights on disk, estimated"].delta == "as the dense model"
    assert "Preview of Wanda 50" in words(app).replace("\\", "")
    app.slider(key="slider-sparsity").set_value(0).run()
    at_zero = {m.label: m for m in app.metric}["Loss, preview"]
    assert at_zero.delta.startswith("0 nats (0 nats")
    assert at_zero.value != shown["Loss, preview"].value
    app.selectbox(key="slider-method").set_value("block_influence").run()
    assert {m.label: m for m in app.metric}["Weights on disk, estimated"].delta.startswith("dense: ")
    assert client.status(settings, LOCAL).state == "ready"


def test_one_click_measures_the_point_properly(opens: Opens, store: Store, model: dict[str, str]) -> None:
    app = opens("sweep", **model)
    app.button(key="slider-measure").click().run()
    run = store.runs.find(kinds=("sweep",))[0]
    sweep = run.parsed().sweep
    assert sweep is not None and [p.label() for p in sweep.trials()] == ["Wanda 50 %"]
    assert app.query_params["run"] == run.id


def test_while_a_run_has_the_machine_the_page_says_so(opens: Opens, store: Store, model: dict[str, str]) -> None:
    store.runs.add("probe", "Timing", "", {}, LOCAL)
    app = opens("sweep", **model)
    assert "A run is using this machine; previews come back when it has ended." in words(app)
    assert {m.label: m.value for m in app.metric}["Loss, preview"] == DASH


def test_what_fails_is_a_sentence_with_a_retry(opens: Opens, settings: Settings, model: dict[str, str]) -> None:
    Path(model["eval"].removeprefix("path:")).write_text("Too short.")
    app = opens("sweep", **model)
    assert app.error and app.button(key="slider-retry")
    write_texts(settings)
    app.button(key="slider-retry").click().run()
    assert not app.error and float({m.label: m.value for m in app.metric}["Loss, preview"].removesuffix(" nats")) > 1


def test_a_pattern_fixes_the_sparsity_and_is_measured_as_such(
    opens: Opens, store: Store, model: dict[str, str]
) -> None:
    app = opens("sweep", **model)
    app.selectbox(key="slider-pattern").set_value("4:8").run()
    assert not [s for s in app.slider if s.key == "slider-sparsity"] and "4 of every 8 weights stay" in words(app)
    assert not app.error and "Preview of Wanda 4:8" in words(app).replace("\\", "")
    assert float({m.label: m for m in app.metric}["Loss, preview"].value.removesuffix(" nats")) > 1
    app.button(key="slider-measure").click().run()
    sweep = store.runs.find(kinds=("sweep",))[0].parsed().sweep
    assert sweep is not None and [p.label() for p in sweep.trials()] == ["Wanda 4:8"]


def test_a_size_is_a_target_of_what_really_shrinks(opens: Opens, store: Store, model: dict[str, str]) -> None:
    app = opens("sweep", **model)
    app.selectbox(key="slider-method").set_value("block_influence").run()
    app.radio(key="slider-by").set_value("size").run()
    size = next(s for s in app.slider if (s.key or "").startswith("slider-megabytes"))
    folder = Path(model["model"].removeprefix("path:"))
    beside = sum(f.stat().st_size for f in folder.iterdir() if f.suffix != ".safetensors")
    whole = (anatomy(folder).bytes_in(str(compute_dtype()).removeprefix("torch.")) + beside) / 1e6
    assert size.min < size.value < size.max and whole <= size.max < whole + 0.03, "as it is saved, not as it came"
    found = {m.label: m for m in app.metric}["Weights on disk, estimated"]
    assert not app.error, words(app)
    assert found.delta.startswith("dense: "), "layers are gone"
    size.set_value(size.min).run()
    smaller = {m.label: m for m in app.metric}["Weights on disk, estimated"]
    assert not app.error and smaller.value != found.value, words(app)
    app.button(key="slider-measure").click().run()
    sweep = store.runs.find(kinds=("sweep",))[0].parsed().sweep
    assert sweep is not None
    (label,) = [p.label() for p in sweep.trials()]
    assert label.endswith(f", {size.min:g} MB with tokenizer, healed"), "as every new study is"


def test_previews_leave_a_trail_on_the_chart(opens: Opens, model: dict[str, str]) -> None:
    app = opens("sweep", **model)
    app.slider(key="slider-sparsity").set_value(20).run()
    app.slider(key="slider-sparsity").set_value(0).run()
    spec = json.loads(app.get("plotly_chart")[0].proto.spec)
    traces = {t["name"]: t for t in spec["data"]}
    assert traces["Preview: where the slider stands"]["x"] == [0.0]
    assert traces["Earlier previews"]["x"] == [50.0, 20.0, 0.0]
    change = {m.label: m for m in app.metric}["Loss, preview"].delta
    assert change.startswith("0 nats (") and traces["Preview: where the slider stands"]["y"][0] == pytest.approx(
        0, abs=1e-6
    )


def test_opening_the_page_starts_no_engine_and_a_change_does(
    opens: Opens, settings: Settings, model: dict[str, str]
) -> None:
    app = opens("sweep", **{k: v for k, v in model.items() if k != "slider"})
    assert client.status(settings, LOCAL).state != "ready" and app.button(key="slider-wake")
    assert "Loss, preview" not in {m.label for m in app.metric}
    app.slider(key="slider-sparsity").set_value(30).run()
    assert float({m.label: m for m in app.metric}["Loss, preview"].value.removesuffix(" nats")) > 1
    assert client.status(settings, LOCAL).state == "ready" and app.query_params["slider"] == "true"
    linked = opens("sweep", **{**model, "slider-sparsity": "35"})
    assert linked.slider(key="slider-sparsity").value == 35 and "Preview of Wanda 35" in words(linked).replace("\\", "")
