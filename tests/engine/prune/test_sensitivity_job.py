"""The job as a run does it: durable, resumable, found again, and read by an allocation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.analysis.sensitivity import SensitivitySpec, find, measurements, path_of, read
from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.engine.models.load import load_model
from core.engine.run import sensitivity as job
from core.engine.run.prune_step import Source, apply, measured_key
from core.recipe.hooks import Hooks
from core.recipe.recipe import Calibration, Evaluation, Prune
from core.recipe.results import Result, Trial


class Impatient(InMemoryReporter):
    """Asks to stop after some checkpoints."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@dataclass
class Alone:
    """Hooks of a run without trials."""

    settings: Settings
    run_folder: Path
    reporter: Any = field(default_factory=InMemoryReporter)
    actor: Actor = LOCAL

    def register_trials(self, trials: list[Trial]) -> None:
        raise AssertionError("a sensitivity has no trials")

    def finished(self, key: str) -> Result | None:
        return None

    def trial_started(self, index: int) -> None:
        raise AssertionError

    def trial_done(self, index: int, result: Result) -> None:
        raise AssertionError

    def trial_failed(self, index: int, error: RetortError) -> None:
        raise AssertionError

    def candidate_folder(self, key: str) -> Path:
        raise AssertionError


@pytest.fixture
def spec(tiny_llama: Path, tiny_text: str, tmp_path: Path, home: Settings) -> SensitivitySpec:
    import shutil

    shutil.copytree(tiny_llama, home.home / "models" / "tiny")
    text = home.home / "models" / "a.txt"
    text.write_text(tiny_text)
    other = home.home / "models" / "b.txt"
    other.write_text(" ".join(f"number {i} follows {i - 1} and precedes {i * i}." for i in range(900)))
    return SensitivitySpec(
        model=f"path:{home.home / 'models' / 'tiny'}",
        method="wanda",
        sparsities=(0.7, 0.4),
        dtype="float32",
        removed="layers_and_heads",
        calibration=Calibration(data=f"path:{text}", split=None, sequences=4, length=32),
        evaluation=Evaluation(data=f"path:{other}", split=None, tokens=128, window=32),
    )


def hooks(home: Settings, reporter: Any = None) -> Hooks:
    return Alone(home, home.home, reporter or InMemoryReporter())


def test_a_stopped_measurement_goes_on_and_is_found_again(
    spec: SensitivitySpec, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations = 0
    real = job.causal_losses

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        return real(*args, **more)

    monkeypatch.setattr(job, "causal_losses", counted)
    monkeypatch.setattr(job, "_REPEATS", 2)
    with pytest.raises(Cancelled):
        job.measure_sensitivity(spec, hooks(home, Impatient(30)))
    before, evaluations = evaluations, 0
    assert before > 3
    found = job.measure_sensitivity(spec, hooks(home))
    total = measurements(spec, layers=4, parts=7, heads=4)
    assert len(found.cells) + len(found.removed) + 1 == total == 1 + 4 * 8 * 2 + 4 * 5
    assert evaluations <= total - before + 4, "what was measured is not measured again (the dense model may be)"
    assert {c.layer for c in found.cells} == {0, 1, 2, 3}
    assert found.curves().keys() == {0, 1, 2, 3} and found.curves()[0].keys() == {0.4, 0.7}
    shapes = {(b.rows, b.columns): b.matrices for b in found.break_even}
    assert shapes == {(64, 32): 8, (32, 64): 4, (32, 32): 8, (16, 32): 8}
    assert [p.name for p in path_of(home, found.key).parent.glob("[!.]*")] == [f"{found.key}.json"]
    evaluations = 0
    assert job.measure_sensitivity(spec, hooks(home)) == found == read(home, found.key)
    assert evaluations == 0


def test_an_allocation_finds_it_or_says_how_to_measure(
    spec: SensitivitySpec, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_REPEATS", 2)
    spec = spec.model_copy(update={"method": "magnitude", "parts": False, "removed": "nothing"})
    prune = Prune(method="magnitude", sparsity=0.5, allocation="sensitivity")
    folder = Path(spec.model.removeprefix("path:"))
    loaded = load_model(folder, "float32")
    with pytest.raises(RetortError, match="not measured with Magnitude up to 50 %") as refused:
        apply(Source(loaded, "nobody", None), prune, None, InMemoryReporter(), home)
    assert "Sensitivity page" in refused.value.remedy
    found = job.measure_sensitivity(spec, hooks(home))
    assert find(home, found.fingerprint, "magnitude") == [found] and find(home, found.fingerprint, "wanda") == []
    assert measured_key(prune, found.fingerprint, home) == found.key
    _, report = apply(Source(loaded, found.fingerprint, None), prune, None, InMemoryReporter(), home)
    assert report.facts["sensitivity"] == found.key
    spread = report.facts["sparsity_by_layer"].values()
    assert sum(spread) / 4 == pytest.approx(0.5) and max(spread) > min(spread)
    steep = Prune(method="magnitude", sparsity=0.9, allocation="sensitivity")
    assert measured_key(steep, found.fingerprint, home) is None, "measured up to 70 % only"
