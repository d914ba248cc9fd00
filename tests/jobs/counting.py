"""A kind of run for process tests: real workers, real trials, but no model, so that kills can be many.

Recipe: `trials` (how many), `seconds` (each takes), `ledger` (a file to which every start and end of a
trial is appended), and, optionally, what goes wrong: `fail` (trial numbers that are refused), `die`
(trial number at which the process kills itself), `raises` (name of an exception for the first trial), `eats`
(trial number from which on it takes ever more memory, unless the file `fits` is there), `saves` (bytes of a
checkpoint that each trial writes as the training does).
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from core.base.errors import RetortError
from core.recipe.hooks import Hooks
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.store import RunRow


def count(run: RunRow, hooks: Hooks) -> None:
    spec = run.recipe
    prefix = str(spec.get("prefix", run.id))
    ledger = Path(spec["ledger"])
    trials = [Trial(index=i, key=f"{prefix}-{i}", label=f"Number {i}") for i in range(spec["trials"])]
    hooks.register_trials(trials)
    if spec.get("child"):
        subprocess.Popen(["sleep", "300"], cwd=hooks.run_folder)
    for trial in trials:
        if (done := hooks.finished(trial.key)) is not None:
            hooks.trial_done(trial.index, done)
            continue
        hooks.reporter.progress(trial.index, len(trials), f"Trial {trial.label}")
        hooks.trial_started(trial.index)
        note(ledger, f"start {trial.key} {os.getpid()}")
        _go_wrong(spec, trial.index)
        if trial.index in spec.get("fail", ()):
            hooks.trial_failed(trial.index, RetortError("This number is refused.", "Choose another."))
            continue
        if spec.get("eats") == trial.index and not Path(spec["fits"]).exists():
            _eat(hooks, stubborn=bool(spec.get("stubborn")))
        if spec.get("saves"):
            _save(hooks.run_folder / "checkpoints" / trial.key, spec["saves"])
        _spend(hooks, float(spec["seconds"]), stubborn=bool(spec.get("stubborn")))
        hooks.trial_done(trial.index, result(trial.key, float(trial.index)))
        note(ledger, f"end {trial.key} {os.getpid()}")
    hooks.reporter.progress(len(trials), len(trials), "Finished")


def result(key: str, value: float) -> Result:
    figure = Measurement(metric="loss", value=value, unit="nats", samples=[value, value])
    return Result(key=key, label=key, model="path:/none", method="dense", measurements=[figure])


def note(ledger: Path, line: str) -> None:
    with ledger.open("a") as file:
        file.write(f"{line} {time.monotonic():.4f}\n")


def _spend(hooks: Hooks, seconds: float, stubborn: bool) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        if not stubborn:
            hooks.reporter.checkpoint()
            hooks.reporter.series("clock", int(time.monotonic() * 100), seconds)


def _eat(hooks: Hooks, stubborn: bool) -> None:
    """20 MB, ten times a second, for a minute at most."""
    eaten = []
    for _ in range(600):
        eaten.append(os.urandom(20_000_000))
        time.sleep(0.1)
        if not stubborn:
            hooks.reporter.checkpoint()


def _save(folder: Path, size: int) -> None:
    """Two checkpoints, as the training writes them."""
    import torch

    from core.engine.distil.state import Checkpoints, TrainState

    weights = {"weight": torch.zeros(size // 4)}
    for step in (1, 2):
        Checkpoints(folder, "counting").save(TrainState(identity="counting", step=step), weights, {})


def _go_wrong(spec: dict[str, object], index: int) -> None:
    if spec.get("die") == index:
        os.kill(os.getpid(), signal.SIGKILL)
    problem = spec.get("raises")
    if problem == "memory":
        resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, resource.RLIM_INFINITY))
        bytearray(1_000_000_000)
    if problem == "torch":
        import torch

        resource.setrlimit(resource.RLIMIT_DATA, (4_000_000_000, resource.RLIM_INFINITY))
        torch.ones(2_000_000_000)
    if problem == "disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    if problem == "bug":
        raise KeyError("missing")
    if problem == "refusal":
        raise RetortError("The text is too short.", "Choose a longer one.")
