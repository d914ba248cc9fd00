"""Energy from counters (files that behave as the kernel's do) and from a formula, each called what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.analysis.paired_times import ratio_of
from core.base.progress import InMemoryReporter
from core.engine.measure import energy
from core.recipe.recipe import Latency
from core.registry.measurement import Measurement, find_metric
from tests.engine.conftest import Study

DECODE = Measurement(
    metric="decode_ms", value=40.0, unit="ms", low=38.0, high=45.0, dtype="bfloat16", settings={"threads": 2}
)


def zone(root: Path, index: int, name: str, microjoules: int, wrap: int = 1_000_000) -> Path:
    folder = root / f"intel-rapl:{index}"
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap}\n")
    return folder / "energy_uj"


def test_an_estimate_says_so_with_its_formula_and_compares_as_its_time_does() -> None:
    found = energy.estimated_energy(DECODE)
    assert found.obtained == "estimated" and found.value == pytest.approx(20 * 0.040)
    assert (found.low, found.high) == (pytest.approx(20 * 0.038), pytest.approx(20 * 0.045))
    assert found.settings["watts"] == 20.0 and "assumed: 10 W for each of 2" in found.settings["watts_from"]
    paired = DECODE.model_copy(
        update={"settings": {**DECODE.settings, "ratio": 0.8, "ratio_low": 0.7, "ratio_high": 0.9}}
    )
    assert ratio_of(energy.estimated_energy(paired)) == (0.8, 0.7, 0.9)


def test_packages_are_summed_and_a_wrapped_counter_keeps_counting(tmp_path: Path) -> None:
    first, second = zone(tmp_path, 0, "package-0", 999_000), zone(tmp_path, 1, "package-1", 5_000)
    inside = zone(tmp_path, 2, "psys", 0)
    counter = energy.rapl_counter(tmp_path)
    assert counter is not None and counter(0.0) == 0.0
    first.write_text("1000\n")  # past the end and on: 1,001 to the wrap, 1,000 more
    second.write_text("505000\n")
    inside.write_text("900000\n")
    assert counter(0.0) == pytest.approx((1_000 + 1 + 1_000 + 500_000) / 1e6)
    assert counter(7.0) == pytest.approx(7.0)


def test_no_counter_means_an_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert energy.rapl_counter(tmp_path) is None
    assert energy.nvml_counter(0, library="libnothing-of-this-name.so") is None
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    found = energy.energy_per_token(model, DECODE, Latency(), InMemoryReporter())
    assert found is not None and found.obtained == "estimated"


def test_a_counter_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    zone(tmp_path, 0, "package-0", 5).write_text("")
    assert energy.rapl_counter(tmp_path) is None


def test_the_prompt_is_subtracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    """A machine that spends 3 J for each position read by the model, whichever way: 3 J a token, prompt excluded."""
    counted = zone(tmp_path, 0, "package-0", 0, wrap=10**15)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "_LEAST_SECONDS", 0.01)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    used = 0

    def spend(_: torch.nn.Module, args: tuple[torch.Tensor], __: torch.Tensor) -> None:
        nonlocal used
        used += 3_000_000 * args[0].numel()
        counted.write_text(f"{used}\n")

    model.model.embed_tokens.register_forward_hook(spend)
    found = energy.energy_per_token(model, DECODE, Latency(prompt=8, new_tokens=5), InMemoryReporter())
    assert found is not None and found.obtained == "measured" and found.value == pytest.approx(3.0)
    assert (found.low, found.high) == (pytest.approx(3.0), pytest.approx(3.0))
    assert found.settings["counter"] == "RAPL" and "contended" in found.settings


def test_a_counter_that_says_nothing_of_a_token_yields_no_figure_and_no_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llama: Path
) -> None:
    """An estimate among counted figures would be compared with them."""
    zone(tmp_path, 0, "package-0", 7)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "_LEAST_SECONDS", 0.01)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    assert energy.energy_per_token(model, DECODE, Latency(prompt=8, new_tokens=5), InMemoryReporter()) is None


@pytest.mark.slow
def test_what_a_counter_says_reaches_the_result_of_every_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    """3 J for each position that any model reads: the dense model and the pruned one alike."""
    counted, used = zone(tmp_path, 0, "package-0", 0, wrap=10**15), 0

    def spend(module: torch.nn.Module, args: tuple[torch.Tensor, ...], _: Any) -> None:
        nonlocal used
        if isinstance(module, torch.nn.Embedding):
            used += 3_000_000 * args[0].numel()
            counted.write_text(f"{used}\n")

    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "_LEAST_SECONDS", 0.01)
    handle = torch.nn.modules.module.register_module_forward_hook(spend)
    latency = {"prompt": 8, "new_tokens": 3, "repeats": 1, "warmup": 0}
    try:
        done = study.run(
            "one", latency=latency, sweep={"grid": [{"method": "magnitude", "sparsity": [0.5]}], "keep": "none"}
        )
    finally:
        handle.remove()
    found = [find_metric(done.results[t.key].measurements, "energy_j_per_token") for t in done.trials]
    assert [(m.value, m.obtained) for m in found if m] == [(pytest.approx(3.0), "measured")] * 2
