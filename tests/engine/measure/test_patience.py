"""Waiting for a quiet machine and adding rounds: real processes keep the machine busy; nothing here asserts a speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from core.base.progress import InMemoryReporter
from core.engine.measure import patience as module
from core.engine.measure.clock import OtherLoad
from core.engine.measure.latency import latency
from core.engine.measure.patience import BLOCKS, Block, Patience, error_of, kept, surroundings
from core.recipe.recipe import Latency


def load(cores: float) -> OtherLoad:
    found = OtherLoad()
    found.cores = cores
    return found


@pytest.fixture
def busy() -> Iterator[None]:
    """A process that keeps a core busy until the test has ended."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield
    other.kill()
    other.wait()


@pytest.fixture
def models() -> dict[str, Any]:
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    return {name: GPT2LMHeadModel(config).eval() for name in ("baseline", "candidate")}


def test_a_busy_machine_is_waited_for_up_to_the_limit_and_that_is_said(busy: None) -> None:
    told = InMemoryReporter()
    patience = Patience(1.2)
    patience.wait(told)
    assert patience.seconds == 0.0 and patience.waited >= 1.2
    assert [m for _, m, _ in told.events] == ["Other work keeps this machine busy: timing waits for it, 1.2 s in all."]
    assert told.messages[-1].startswith("Waiting for a quiet machine: others use ")
    used_up = patience.waited
    patience.wait(told)
    assert patience.waited == used_up and len(told.events) == 1, "the limit is one for the whole run"


def test_without_patience_nobody_waits(busy: None) -> None:
    patience, told = Patience(0.0), InMemoryReporter()
    patience.wait(told)
    assert (patience.waited, told.events, told.messages) == (0.0, [], [])


def test_a_quiet_machine_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = iter([1.5, 0.9, 0.1, 3.0])

    class Watched(OtherLoad):
        def __exit__(self, *_: object) -> None:
            self.cores = next(cores)

    monkeypatch.setattr(module, "OtherLoad", Watched)
    monkeypatch.setattr(module, "_LOOK", 0.01)
    patience = Patience(30.0)
    patience.wait(InMemoryReporter())
    assert 0.0 < patience.waited < 30.0 and next(cores) == 3.0, "two looks at a busy machine, a third at a quiet one"


def test_disturbed_blocks_count_only_where_there_is_no_quiet_one() -> None:
    one, two, three = Block({}, load(1.5)), Block({}, load(0.0)), Block({}, load(0.1))
    assert kept([one, two, three]) == [two, three] and kept([one]) == [one]
    assert surroundings([one, two, three]) == {
        "contended": False,
        "other_cpu_cores": 0.1,
        "blocks": 3,
        "blocks_left_out": 1,
    }
    assert surroundings([one]) == {"contended": True, "other_cpu_cores": 1.5}


def test_the_error_is_that_of_the_worst_ratio_to_the_first() -> None:
    steady = [10.0, 20.0, 40.0]
    assert error_of([steady, [5.0, 10.0, 20.0]], 3) == pytest.approx(0.0, abs=1e-12)
    # Ratios 1, 2 and 4: the half-width of the logarithm is 1.721873 (test_paired_times), so the factor is 5.595.
    assert error_of([[10.0, 10.0, 10.0], steady], 3) == pytest.approx(4.594998, rel=1e-5)
    assert error_of([steady], 3) == 0.0 and error_of([[1.0], [1.0]], 1) == float("inf")


def test_rounds_are_added_until_the_error_is_known_and_all_of_them_stay(models: dict[str, Any]) -> None:
    spec, told = Latency(prompt=8, new_tokens=4, repeats=1, warmup=0), InMemoryReporter()
    found = latency(models, spec, told, patience=Patience(0.0))
    prefill, decode = found["candidate"][:2]
    rounds, blocks = prefill.settings["rounds"], prefill.settings["blocks"]
    assert 2 <= blocks <= BLOCKS and 1 <= rounds == blocks - prefill.settings["blocks_left_out"]
    assert len(prefill.samples or []) == rounds and len(decode.samples or []) == rounds * 3
    unsure = [m for level, m, _ in told.events if level == "warning"]
    assert len(unsure) == (prefill.settings["blocks"] == BLOCKS) or not unsure
    once = latency(models, spec, told)["candidate"][0]
    assert once.settings["rounds"] == 1 and "blocks" not in once.settings, (
        "without patience one block, whatever it shows"
    )


def test_an_error_that_stays_large_is_said_with_what_was_tried(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.engine.measure import latency as timing

    monkeypatch.setattr(timing, "ACCEPTED", -1.0)  # no error is small enough
    told = InMemoryReporter()
    found = latency(models, Latency(prompt=8, new_tokens=2, repeats=2, warmup=0), told, patience=Patience(0.0))
    assert found["candidate"][0].settings["blocks"] == BLOCKS
    (said,) = [m for level, m, _ in told.events if level == "warning"]
    assert "4 times 2 rounds were taken" in said and said.endswith("They can be timed again.")
