"""Timing a candidate again: only its times change, durably, whether its model is kept or made again in memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.jobs import submissions
from core.jobs.context import RunHooks
from core.jobs.reporter import StoreReporter
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.registry.measurement import Measurement, find_metric
from core.store import Store
from tests.jobs import tiny_study

TIMES = ("prefill_ms", "decode_ms")
ENERGY = "energy_j_per_token"
"""Estimated from the time of a token, so it follows that; a machine with a counter keeps what it counted."""


class Study:
    """A finished sweep of a tiny model, measured in this process."""

    def __init__(self, settings: Settings, model: Path) -> None:
        from core.engine.pipeline import execute

        shutil.copytree(model, settings.home / "models" / "tiny")
        self.settings, self.store = settings, Store(settings)
        of = tiny_study.recipe(settings.home / "models")
        self.recipe = Recipe.model_validate(of.model_dump() | {"latency": {"prompt": 8, "new_tokens": 2, "repeats": 2}})
        self.run = self.store.runs.add("sweep", "Study", of.model, self.recipe.model_dump(mode="json"), LOCAL)
        self.store.runs.claim(self.run)
        execute(self.recipe, self.hooks(self.run))
        self.store.runs.finish(self.run, "done")

    def hooks(self, run: str) -> RunHooks:
        return RunHooks(self.settings, self.store, self.store.runs.get(run), StoreReporter(self.store, run))

    def results(self) -> dict[str, Result]:
        return {r.label: r for r in self.store.candidates.results(run_id=self.run)}

    def disturb(self, label: str) -> Result:
        """Writes nonsense over the times of a candidate, as a busy machine would."""
        result = self.results()[label]
        times = [
            m.model_copy(update={"value": 9e9, "settings": {**m.settings, "ratio": 77.0, "contended": True}})
            if m.metric in TIMES
            else m
            for m in result.measurements
        ]
        changed = result.model_copy(update={"measurements": times})
        self.store.candidates.add(changed)
        return changed

    def again(self, *labels: str) -> None:
        from core.engine.run.retime import retime

        retime([self.results()[x].key for x in labels], self.hooks(self.run), self.store.candidates.add)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Study:
    base = tmp_path_factory.mktemp("timing").resolve() / "home"
    (base / "models").mkdir(parents=True)
    return Study(Settings(home=base, roots=(base / "models",)), tiny_llama)


def without_times(result: Result) -> dict[str, Any]:
    document = result.model_dump()
    document["measurements"] = [m for m in document["measurements"] if m["metric"] not in (*TIMES, ENERGY)]
    return document


@pytest.mark.parametrize(
    ("label", "zeros", "layers", "saved"),
    [("Wanda 50 %", 0.5, 4, False), ("Layer removal (block influence), 1 layer removed", 0.0, 3, True)],
)
def test_only_the_times_change_and_the_right_models_take_turns(
    study: Study, monkeypatch: pytest.MonkeyPatch, label: str, zeros: float, layers: int, saved: bool
) -> None:
    from core.engine.run import candidate, retime

    seen: dict[str, Any] = {}
    real = candidate.timed

    def watched(models: dict[str, Any], *rest: Any) -> list[Measurement]:
        for name, model in models.items():
            inside = model.model.layers[0].mlp.up_proj.weight
            seen[name] = (round(float((inside == 0).float().mean()), 2), len(model.model.layers))
        return real(models, *rest)

    monkeypatch.setattr(retime, "timed", watched)
    before = study.disturb(label)
    assert before.saved is saved
    study.again(label)
    assert list(seen.items()) == [("baseline", (0.0, 4)), ("candidate", (zeros, layers))]
    now = study.results()[label]
    assert without_times(now) == without_times(before)
    for metric_id in TIMES:
        found = find_metric(now.measurements, metric_id)
        assert found is not None and found.value < 9e9 and found.settings["ratio"] < 77.0
        assert found.settings["ratio_low"] < found.settings["ratio"] < found.settings["ratio_high"]
        assert found.settings["baseline_value"] > 0 and len(found.samples or []) % found.settings["rounds"] == 0
    energy, decode = (find_metric(now.measurements, m) for m in (ENERGY, "decode_ms"))
    assert energy is not None and decode is not None
    if energy.obtained == "estimated":
        assert energy.value == pytest.approx(10 * decode.settings["threads"] * decode.value / 1e3)
    else:
        assert energy == find_metric(before.measurements, ENERGY)
    assert [m.metric for m in now.measurements] == [m.metric for m in before.measurements]
    written = json.loads((study.store.candidates.folder(now.key) / "result.json").read_text())
    assert Result.model_validate(written) == now, "the file is the truth, the table its index"
    others = study.store.columns.timed(study.run, "decode_ms")
    assert others[now.key].settings["ratio"] == find_metric(now.measurements, "decode_ms").settings["ratio"]  # type: ignore[union-attr]


def test_what_the_earlier_time_was_is_an_event_and_the_next_study_is_told_nothing(study: Study) -> None:
    study.disturb("Magnitude 50 %")
    study.again("Magnitude 50 %")
    said = study.store.events.tail(study.run, limit=5)[-1].message
    assert said.startswith("Magnitude 50 %: its time was 7700.0 %") and "and is now " in said


def test_the_dense_model_is_timed_alone(study: Study) -> None:
    study.disturb("Dense baseline")
    study.again("Dense baseline")
    found = find_metric(study.results()["Dense baseline"].measurements, "decode_ms")
    assert found is not None and found.value < 9e9 and "baseline_value" not in found.settings


def test_another_model_under_the_same_name_is_refused(study: Study) -> None:
    weights = study.settings.home / "models" / "tiny" / "model.safetensors"
    kept = weights.read_bytes()
    before = study.results()["Wanda 50 %"]
    try:
        changed = bytearray(kept)
        changed[-1] ^= 1
        weights.write_bytes(bytes(changed))
        with pytest.raises(RetortError, match="is not what it was when this candidate was made"):
            study.again("Wanda 50 %")
    finally:
        weights.write_bytes(kept)
    assert study.results()["Wanda 50 %"] == before


def test_who_may_not_run_may_not_time_and_what_is_no_candidate_is_refused(study: Study) -> None:
    key = study.results()["Wanda 50 %"].key
    viewer = Actor("somebody@example.org", "viewer")
    with pytest.raises(RetortError, match="needs the role editor"):
        submissions.submit_timing(study.run, [key], study.settings, viewer)
    with pytest.raises(RetortError, match="no such candidate"):
        submissions.submit_timing(study.run, ["nothing"], study.settings, LOCAL)
    with pytest.raises(RetortError, match="no such candidate"):
        submissions.submit_timing(study.run, [], study.settings, LOCAL)
    with pytest.raises(RetortError, match="There is no run"):
        submissions.submit_timing("gone", [key], study.settings, LOCAL)
    assert study.store.runs.find(kinds=("time",)) == []
