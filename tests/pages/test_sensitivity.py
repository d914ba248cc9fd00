"""The Sensitivity page: empty, filling, failed and measured; what its buttons start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.analysis.estimate import probe_path
from core.analysis.sensitivity import (
    BreakEvenFact,
    Change,
    Sensitivity,
    SensitivitySpec,
    note_key,
    read,
    working_path,
    write,
)
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.jobs import submissions
from core.store import Store
from tests.pages.conftest import Opens, words
from tests.pages.test_forms import PROBE

PARTS = ("self_attn.q_proj", "mlp.down_proj")


@pytest.fixture
def folder(settings: Settings, tiny_llama: Path) -> str:
    target = settings.home / "models" / "tiny-llama"
    shutil.copytree(tiny_llama, target)
    return f"path:{target}"


def changes(sparsities: tuple[float, ...], parts: tuple[str | None, ...]) -> list[Change]:
    """Layer 2 is the most sensitive; the figures are invented."""
    return [
        Change(layer=i, part=p, sparsity=s, change=v, samples=[v - 0.01, v, v + 0.01], parameters=1024)
        for i in range(4)
        for p in parts
        for s in sparsities
        for v in [s * (0.9 if i == 2 else 0.1 * (i + 1)) / (1 if p is None else 3)]
    ]


def measured(settings: Settings, folder: str, **more: object) -> Sensitivity:
    spec = SensitivitySpec(model=folder, sparsities=(0.3, 0.7))
    fingerprint = resolve(folder, settings, LOCAL).fingerprint
    settled = {"format": "PyTorch CSR", "dtype": "float32", "threads": 2, "repeats": 9}
    shape = BreakEvenFact(
        rows=64,
        columns=32,
        matrices=8,
        dense_ms=0.004,
        sparse_ms=[(0.5, 0.01), (0.9, 0.002)],
        sparsity=0.8,
        settings=settled,
    )
    found = Sensitivity(
        key=spec.key(fingerprint, settings, LOCAL),
        fingerprint=fingerprint,
        spec=spec,
        loss=3.4,
        made=1.8e9,
        cells=changes((0.3, 0.7), (None, *PARTS)),
        removed=changes((1.0,), (None,)),
        break_even=[shape, shape.model_copy(update={"sparsity": None})],
    )
    write(settings, found)
    return found


def said(app: object) -> str:
    return words(app).replace("\\", "")  # type: ignore[arg-type]


def test_without_a_model_it_leads_to_one(opens: Opens) -> None:
    assert "No model yet" in words(opens("sensitivity"))


def test_it_counts_and_starts_what_is_asked(opens: Opens, settings: Settings, folder: str, store: Store) -> None:
    probe_path(settings).write_text(PROBE.model_dump_json())
    app = opens("sensitivity", model=folder, method="Wanda", sparsity=["40", "55"])
    shown = {m.label: m.value for m in app.metric}
    assert shown["Measurements, about"] == str(1 + 4 * 8 * 2 + 4)
    assert shown["Time"].startswith("about ")
    assert "Nothing measured of this model yet" in said(app)
    next(b for b in app.button if b.label == "Measure").click().run()
    run = next(r for r in store.runs.find() if r.kind == "sensitivity")
    spec = SensitivitySpec.model_validate(run.recipe)
    assert (spec.method, spec.sparsities, spec.evaluation.split) == ("wanda", (0.4, 0.55), "training")
    assert app.query_params["run"] == run.id and "No place measured yet" in said(app)


@pytest.mark.parametrize(
    ("choice", "says"),
    [({"sparsity": "120"}, "sparsities[0]: must be below 1; you gave 1.2"), ({"sparsity": ""}, "No sparsity")],
)
def test_a_wrong_choice_is_refused(opens: Opens, folder: str, choice: dict[str, str], says: str) -> None:
    app = opens("sensitivity", model=folder, **choice)
    assert says in said(app)
    assert next(b for b in app.button if b.label == "Measure").disabled


def test_a_measurement_is_drawn_and_layers_are_chosen(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    measured(settings, folder)
    app = opens("sensitivity", model=folder)
    assert app.selectbox(key="_place").value == "2", "the most sensitive layer at first"
    assert "once 80 % of its weights are zero" in said(app) and "For 1 shape of 2 it never was" in said(app)
    app.selectbox(key="_place").set_value("0.mlp.down_proj").run()
    assert app.query_params["place"] == "0.mlp.down_proj"
    app.multiselect(key="out").set_value(["0", "3"]).run()
    shown = {m.label: m.value for m in app.metric}
    assert shown["Loss change, sum"] == "+0.5 nats"
    per_layer, rest = 3072 + 6144 + 64, 384 * 32 + 32
    assert shown["Parameters"] == f"{(rest + 2 * per_layer) / 1e3:.1f} k"
    assert "Estimates" in said(app)
    next(b for b in app.button if b.label == "Measure this model").click().run()
    recipe = next(r for r in store.runs.find() if r.kind == "sweep").parsed()
    assert recipe.sweep is not None
    [prune] = recipe.sweep.trials()
    assert prune.protect == (1, 2) and prune.target is not None and prune.target.remove_layers == 2


def test_a_sweep_of_even_and_measured_sparsity(opens: Opens, settings: Settings, folder: str, store: Store) -> None:
    measured(settings, folder)
    app = opens("sensitivity", model=folder)
    next(b for b in app.button if b.label.startswith("Compare even")).click().run()
    recipe = next(r for r in store.runs.find() if r.kind == "sweep").parsed()
    assert recipe.sweep is not None
    assert [(p.sparsity, p.allocation) for p in recipe.sweep.trials()] == [(0.6, "uniform"), (0.6, "sensitivity")]


def test_a_running_measurement_shows_the_map_so_far(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    spec = SensitivitySpec(model=folder)
    run_id = submissions.submit_sensitivity(spec, settings, LOCAL)
    key = spec.key(resolve(folder, settings, LOCAL).fingerprint, settings, LOCAL)
    settings.run_folder(run_id).mkdir(parents=True, exist_ok=True)
    note_key(settings.run_folder(run_id), key)
    path = working_path(settings, key, "cells")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"identity": {}, "cells": [c.model_dump() for c in changes((0.5,), (None,))][:3]}))
    app = opens("sensitivity", run=run_id)
    assert "So far, at 50 % sparsity." in said(app)
    app.button(key="cancel-sensitivity").click().run()
    assert store.runs.get(run_id).state == "cancelled"


def test_a_failed_measurement_says_why(opens: Opens, settings: Settings, folder: str, store: Store) -> None:
    run_id = submissions.submit_sensitivity(SensitivitySpec(model=folder), settings, LOCAL)
    store.runs.claim(run_id)
    store.runs.finish(run_id, "failed", cause="The text is too short.", remedy="Choose another text.")
    app = opens("sensitivity", run=run_id)
    assert "The text is too short." in said(app)
    assert any(b.label == "Retry" for b in app.button)


def test_a_finished_run_whose_result_is_gone_says_so(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    run_id = submissions.submit_sensitivity(SensitivitySpec(model=folder), settings, LOCAL)
    store.runs.claim(run_id)
    store.runs.finish(run_id, "done")
    assert "no longer here" in said(opens("sensitivity", run=run_id))


def test_a_measurement_is_read_once_until_its_file_is_another(
    settings: Settings, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, reads = measured(settings, folder), []
    parse = Sensitivity.model_validate_json
    monkeypatch.setattr(Sensitivity, "model_validate_json", lambda text: reads.append(1) or parse(text))
    assert read(settings, found.key) == read(settings, found.key) == found and len(reads) == 1
    changed = found.model_copy(update={"loss": 3.5})
    write(settings, changed)
    assert read(settings, found.key) == changed and len(reads) == 2
