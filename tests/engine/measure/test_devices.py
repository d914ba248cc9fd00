"""Facts of this machine, against what the system says itself."""

from __future__ import annotations

import json
import os

import psutil
import torch

from core.engine.measure import devices


def test_facts_are_those_of_this_machine() -> None:
    facts = devices.device_facts()
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"] == os.cpu_count()
    assert facts["torch"] == torch.__version__ and len(facts["gpus"]) == torch.cuda.device_count()
    assert facts["cpu"] and json.loads(json.dumps(facts)) == facts
