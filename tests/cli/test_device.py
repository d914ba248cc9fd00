"""Commands that compute beside the queue: while a run has the machine they wait, or do without."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from core.analysis.estimate import probe_path
from core.jobs.executors import device_lock
from core.jobs.locks import FileLock
from tests.cli.conftest import SWEEP, Cli

pytestmark = pytest.mark.jobs


def test_pruning_file_by_file_waits_for_the_run_that_has_the_machine(study: Cli, tmp_path: Path) -> None:
    run, out = FileLock(device_lock(study.settings)), tmp_path / "pruned"
    assert run.acquire()
    run.sign("command doctor")
    words = ["prune", f"path:{study.settings.home}/models/tiny-llama", "--method", "magnitude", "--sparsity", "0.5"]
    waiting = subprocess.Popen(
        study.command(*words, "--out", str(out)),
        env=study.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    said = waiting.stderr.readline()
    assert said.startswith(f"Waits for the command 'python -m core doctor' (process {os.getpid()})"), said
    assert "Pruning begins when it has ended" in said
    time.sleep(1)
    assert waiting.poll() is None and not out.exists()
    run.release()
    said, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0 and "50.0 % of its matrices' weights are zero" in said
    assert (out / "model.safetensors").exists() or list(out.glob("*.safetensors"))
    assert run.acquire(), "it lets go of the machine"


def test_the_machine_is_not_timed_beside_a_run(study: Cli) -> None:
    run = FileLock(device_lock(study.settings))
    assert run.acquire()
    done = study("doctor", f"path:{study.settings.home}/models/tiny-llama")
    assert done.returncode == 0 and "is not timed now" in done.stderr, done.stderr
    assert not probe_path(study.settings).exists()


def test_a_sweep_says_what_it_waits_for_and_the_list_of_runs_too(study: Cli) -> None:
    """A command has the machine; the run is queued behind it, and begins when it is done."""
    command = FileLock(device_lock(study.settings))
    assert command.acquire()
    command.sign("command prune")
    words = f"Waits for the command 'python -m core prune' (process {os.getpid()}), which has this machine."
    sweep = subprocess.Popen(
        study.command("sweep", study.recipe(SWEEP)), env=study.env, stderr=subprocess.PIPE, text=True
    )
    assert sweep.stderr is not None
    assert "is queued" in sweep.stderr.readline()
    assert words in sweep.stderr.readline()
    listed = study("runs").stdout
    run = listed.splitlines()[1].split()[0]
    assert f"{run}: {words}" in listed.splitlines()
    status, document = study.json("runs")
    assert status == 0 and document["runs"][0]["waits_for"] == words
    command.release()
    sweep.communicate(timeout=600)
    assert sweep.returncode == 0
    assert study.json("runs")[1]["runs"][0]["waits_for"] == ""
