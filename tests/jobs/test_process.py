"""What a process that computes sets before torch is imported, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.jobs.process import physical_cores
from scripts.dashboard import ROOT

PROGRAM = """
from core.jobs.process import prepare_process
prepare_process(0)
import os, torch
print(os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], torch.get_num_threads())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "found"),
    [({}, None), ({"OMP_NUM_THREADS": "1"}, "1 1 1")],
)
def test_all_libraries_keep_to_the_number_of_threads_the_user_chose(chosen: dict[str, str], found: str | None) -> None:
    """With more threads in MKL than elsewhere, torch would take MKL's number and wait for cores it has not got."""
    environment = {n: v for n, v in os.environ.items() if n not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | chosen
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert said == (found or " ".join([str(physical_cores())] * 3))
