"""Small files of the home that steer a run: damaged, they are made again instead of being believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.analysis.sensitivity import Sensitivity, SensitivitySpec, find, path_of, read, write
from core.base.integrity import damage
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.engine.export.write import export
from core.engine.measure import layer_table as table_module
from core.engine.measure.layer_table import LayerTable, layer_table
from core.engine.models.architectures import adapter_for
from core.recipe.recipe import Latency
from core.registry.formats import EXPORTS
from tests.damage import HARMS
from tests.engine.prune.tiny import tiny


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_sensitivity_is_measured_again(home: Settings, harm: str) -> None:
    made = Sensitivity(
        key="k1",
        fingerprint="f",
        spec=SensitivitySpec(model="path:/m"),
        loss=2.5,
        cells=[],
        removed=[],
        break_even=[],
        made=1.0,
    )
    write(home, made)
    assert read(home, "k1") == made and find(home, "f") == [made]
    HARMS[harm](path_of(home, "k1"))
    assert read(home, "k1") is None and find(home, "f") == []
    write(home, made)
    assert read(home, "k1") == made


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_table_of_times_is_measured_again(home: Settings, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(*_: object) -> LayerTable:
        measured.append(1)
        return LayerTable(widths=[32, 64], layer={"decode_ms": [1.25, 2.5]}, rest={"decode_ms": 3.75}, settings={})

    monkeypatch.setattr(table_module, "measure", measure)  # a clock would give another table each time
    model = tiny("llama")

    def ask() -> LayerTable:
        return layer_table(model, adapter_for(model), [32, 64], Latency(), home, InMemoryReporter())

    first = ask()
    assert ask() == first and len(measured) == 1
    (path,) = (home.home / "latency-tables").glob("[!.]*.json")
    HARMS[harm](path)
    assert ask() == first and len(measured) == 2
    assert ask() == first and len(measured) == 2


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_export_is_written_again(tiny_llama: Path, tmp_path: Path, harm: str) -> None:
    target = tmp_path / "exports" / "1-huggingface"
    facts = export(EXPORTS["huggingface"], tiny_llama, target, "k", InMemoryReporter())
    weights = (target / "model.safetensors").read_bytes()
    HARMS[harm](target / "model.safetensors")
    reporter = InMemoryReporter()
    assert export(EXPORTS["huggingface"], tiny_llama, target, "k", reporter) == facts
    assert (target / "model.safetensors").read_bytes() == weights and damage(target) is None
    assert ["damaged" in message for _, message, _ in reporter.events].count(True) == 1
    quiet = InMemoryReporter()
    export(EXPORTS["huggingface"], tiny_llama, target, "k", quiet)
    assert quiet.events == []
