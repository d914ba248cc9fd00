"""The timing of the machine: what it stores, and that it is taken again where the machine was busy."""

from __future__ import annotations

import time

import pytest

from core.analysis.estimate import MachineProbe, read_probe
from core.base.settings import Settings
from core.engine.measure import machine_rates


def probed(cores: float) -> MachineProbe:
    return MachineProbe(
        dtype="float32",
        threads=1,
        forward_flops=1e9,
        decode_seconds_per_layer=0.0,
        rank_weights_per_second=1e9,
        write_bytes_per_second=1e9,
        other_cpu_cores=cores,
        contended=cores > 0.2,
    )


@pytest.mark.parametrize(
    ("seen", "kept", "taken"), [([0.1, 9.0], 0.1, 1), ([1.5, 0.1], 0.1, 2), ([1.5, 0.9, 1.1], 0.9, 3)]
)
def test_a_busy_machine_is_timed_up_to_three_times_and_the_quietest_counts(
    home: Settings, monkeypatch: pytest.MonkeyPatch, seen: list[float], kept: float, taken: int
) -> None:
    left = [probed(c) for c in seen]
    monkeypatch.setattr(machine_rates, "_probed", lambda _: left.pop(0))
    machine_rates.probe_machine(home)
    stored = read_probe(home)
    assert stored is not None and stored.other_cpu_cores == kept and len(seen) - len(left) == taken


@pytest.mark.slow
def test_the_timing_says_when_it_was_taken_and_how_busy_others_were(home: Settings) -> None:
    before = time.time()
    probe = machine_rates.probe_machine(home, tries=1)
    assert read_probe(home) == probe and probe.taken is not None and before <= probe.taken <= time.time()
    assert probe.other_cpu_cores >= 0.0 and probe.contended == (probe.other_cpu_cores > 0.2)
    assert probe.forward_flops > 1e6
