"""Facts of this machine, against what the system says itself."""

from __future__ import annotations

import json
import os

import psutil
import pytest
import torch

from core.base.errors import RetortError
from core.engine.measure import devices


def test_facts_are_those_of_this_machine() -> None:
    facts = devices.device_facts()
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"] == os.cpu_count()
    assert facts["torch"] == torch.__version__ and len(facts["gpus"]) == torch.cuda.device_count()
    assert facts["cpu"] and json.loads(json.dumps(facts)) == facts


def test_too_little_memory_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device="cpu": 2_000_000_000)
    devices.check_memory(1_500_000_000, "load the model")
    with pytest.raises(RetortError, match=r"load the model: it takes 3\.0 GB and 2\.0 GB are free"):
        devices.check_memory(3_000_000_000, "load the model")
