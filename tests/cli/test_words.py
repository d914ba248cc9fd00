"""What a run says on the terminal: who failed and why, what was noted, where exports lie, and what to do next."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.jobs import actions
from core.store import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.jobs

NO_ROW = """\
sweep:
  grid:
    - method: magnitude
      sparsity: [0.5]
    - method: angular
      protect: [1, 2]
      target: [{remove_layers: 2}]
"""
REASON = (
    "'Layer removal (angular distance), 2 layers removed, healed' failed: This method removes 2 layers in a row, and "
    "the protected layers leave no such row. Protect other layers, remove fewer, or choose block influence. The same "
    "again would fail the same way: start a changed recipe as a new run."
)
DISTIL = """\
steps:
  - step: distil
    design: {{layers: 2}}
    losses: [{{loss: logit_kl}}]
    data: {{data: "path:{models}/calibration.txt", split: null, length: 32}}
    batch: 2
    held_out: 2
    budget: {{steps: 100000}}
    evaluate_every: 1000
"""
EXPORTED = """\
steps:
  - {step: prune, method: magnitude, pattern: "3:5"}
  - {step: measure}
  - {step: export}
  - {step: export, format: gguf}
"""
UNMEASURED = """\
sweep:
  grid:
    - {method: wanda, sparsity: [0.5], allocation: sensitivity}
"""


def test_a_failed_trial_is_named_with_its_reason_and_no_resume_is_offered(study: Cli) -> None:
    done = study("sweep", study.recipe(NO_ROW))
    run = Store(study.settings).runs.find()[0]
    assert done.returncode == 1 and run.state == "done"
    said = done.stderr.splitlines()
    assert REASON in said
    assert said[-1] == (
        "1 of 3 candidates failed. The same again would fail the same way: start a changed recipe as a new run."
    )
    assert "resume" not in done.stderr and "Magnitude 50 %" in done.stdout

    listed = study("runs")
    assert "done, 1 failed" in listed.stdout and f"{run.id}: {REASON}" in listed.stderr
    status, document = study.json("runs")
    assert status == 0
    told = document["runs"][0]
    assert [f["trial"] for f in told["failed"]] == ["Layer removal (angular distance), 2 layers removed, healed"]
    assert told["failed"][0]["cause"].startswith("This method removes 2 layers in a row")
    assert told["resume_can_help"] is False

    shown = study("show", run.id)
    assert shown.returncode == 1 and REASON in shown.stderr and "Magnitude 50 %" in shown.stdout
    again = study("resume", run.id)
    assert again.returncode == 2
    assert again.stderr.startswith("Trying 'tiny study' again cannot help. This method removes 2 layers in a row")


def test_what_can_be_known_is_refused_with_nothing_queued(study: Cli) -> None:
    done = study("sweep", study.recipe(UNMEASURED))
    assert done.returncode == 2 and Store(study.settings).runs.find() == []
    assert done.stderr == (
        "'Wanda 50 % (by sensitivity)' cannot be done: The sensitivity of this model was not measured with Wanda up to "
        "50 %. Measure it on the Sensitivity page first, or use allocation 'owl' or 'uniform'.\n"
    )
    missing = DISTIL.format(models="m").replace("path:m/calibration.txt", "sample:wiki").replace("null", "training")
    done = study("run", study.recipe(missing))
    assert done.returncode == 2 and done.stderr == (
        "sample:wiki has not been fetched yet. Fetch it with 'python -m core fetch wiki'.\n"
    )


def test_notes_and_exports_are_printed_with_their_places(study: Cli) -> None:
    done = study("run", study.recipe(EXPORTED))
    assert done.returncode == 0, done.stderr
    run = Store(study.settings).runs.find()[0]
    folder = study.settings.run_folder(run.id) / "exports"
    lines = done.stdout.splitlines()
    dense = [line for line in lines if line.startswith("  Magnitude 3:5: The last 2 input columns of ")]
    assert dense and all(line.endswith(" stayed dense: 32 inputs are not a multiple of 5.") for line in dense), lines
    weights = (folder / "1-huggingface" / "model.safetensors").stat().st_size
    gguf = next((folder / "1-gguf").glob("*.gguf")).stat().st_size
    assert lines[-2:] == [
        f"  Hugging Face folder of 'Magnitude 3:5' ({weights / 1000:.1f} kB of weights): {folder / '1-huggingface'}",
        f"  GGUF of 'Magnitude 3:5' ({gguf / 1000:.1f} kB of weights): {folder / '1-gguf'}",
    ]
    assert "Exported as GGUF. Largest logit difference: " in done.stderr and str(folder / "1-gguf") in done.stderr
    status, document = study.json("show", run.id)
    assert status == 0
    assert [(e["format"], e["candidate"], e["bytes"]) for e in document["exports"]] == [
        ("huggingface", "Magnitude 3:5", weights),
        ("gguf", "Magnitude 3:5", gguf),
    ]
    report = study.settings.home / "study.json"
    assert study("report", run.id, "--out", str(report)).returncode == 0
    assert json.loads(report.read_text())


def test_a_training_that_is_stopped_is_not_called_by_its_whole_budget(study: Cli) -> None:
    path = study.recipe(DISTIL.format(models=study.settings.home / "models"))
    process = subprocess.Popen(
        study.command("run", path),
        env=study.env,
        cwd=study.settings.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    store, until = Store(study.settings), time.monotonic() + 900
    while not ((runs := store.runs.find()) and store.series.read(runs[0].id, "loss/total")):
        assert process.poll() is None and time.monotonic() < until, "the training did not start"
        time.sleep(0.05)
    actions.stop_and_keep(runs[0].id, study.settings, LOCAL)
    answer, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    trial = store.trials.of(runs[0].id)[1]
    steps = store.candidates.results(run_id=runs[0].id)[1].facts["steps"]
    assert 0 < steps < 100_000
    assert trial.label == (
        f"Distilled by logit matching (KL at temperature 1), {steps:,} of 100,000 steps (student of 2 layers)"
    )
    assert trial.label in answer and "Stopped on request." in answer
    assert "What the student writes at step 0: " in said and "What the student writes at step 0.\n" not in said
    assert f"Run {runs[0].id} is done." in said
    assert Path(study.settings.run_folder(runs[0].id)).is_dir()
