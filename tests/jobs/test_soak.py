"""The soak, short: `make soak` kills ten times as often."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.jobs.executors import PROJECT

pytestmark = [pytest.mark.jobs, pytest.mark.slow]


def test_twenty_kills_change_nothing() -> None:
    command = [sys.executable, "-m", "scripts.soak", "--kills", "20", "--seed", "20"]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "20 kills" in done.stdout and "Nothing was lost" in done.stdout, done.stdout
