"""Whole runs from the command line, with real runner and worker processes and a tiny model."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from core.recipe.files import dump_recipe, load_recipe
from core.store import Store
from tests.cli.conftest import STEPS, SWEEP, Cli

pytestmark = pytest.mark.jobs


def test_a_sweep_ends_with_figures_for_every_trial(study: Cli) -> None:
    path = study.recipe(SWEEP)
    status, document = study.json("sweep", path)
    assert status == 0, document["error"]
    assert document["state"] == "done" and document["trials"] == {"total": 6, "done": 6, "failed": 0}
    by_label = {c["label"]: c for c in document["candidates"]}
    dense = by_label["Dense baseline"]
    values = {label: {m["metric"]: m["value"] for m in c["measurements"]} for label, c in by_label.items()}
    for label, figures in values.items():
        assert figures["perplexity"] > 1 and figures["prefill_ms"] > 0, label
    assert values["Wanda 50 %"]["parameters"] == values["Dense baseline"]["parameters"]
    shorter = next(v for label, v in values.items() if "1 layer removed" in label)
    assert shorter["parameters"] < values["Dense baseline"]["parameters"]
    assert dense["baseline"] and all("samples" not in m for m in dense["measurements"])

    listed = study("runs")
    assert listed.returncode == 0
    assert listed.stdout.split()[:6] == ["run", "state", "trials", "kind", "model", "name"]
    assert "6/6" in listed.stdout and "tiny study" in listed.stdout

    # The recipe a run keeps is the recipe it was given, and finished trials are not computed again.
    written = study.settings.home / "again.yaml"
    written.write_text(dump_recipe(Store(study.settings).runs.get(document["id"]).parsed()), "utf-8")
    assert load_recipe(written) == load_recipe(Path(path))
    files = {p: p.stat().st_mtime_ns for p in study.settings.home.glob("candidates/*/result.json")}
    assert len(files) == 6
    again = study("sweep", str(written))
    assert again.returncode == 0 and "Wanda 50 %" in again.stdout and "Perplexity" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in study.settings.home.glob("candidates/*/result.json")} == files


def test_times_are_taken_again_and_nothing_else(study: Cli) -> None:
    status, document = study.json("sweep", study.recipe(SWEEP))
    assert status == 0, document["error"]
    store, run = Store(study.settings), document["id"]
    before = next(r for r in store.candidates.results(run_id=run) if r.label == "Wanda 50 %")
    times = [
        m.model_copy(update={"settings": {**m.settings, "ratio": 77.0, "contended": True}})
        if m.metric == "decode_ms"
        else m
        for m in before.measurements
    ]
    store.candidates.add(before.model_copy(update={"measurements": times}))
    refused = study("time", run, "--candidate", "nothing")
    assert refused.returncode == 2 and "names no candidate" in refused.stderr
    done = study("time", run, "--candidate", before.key[:8])
    assert done.returncode == 0, done.stderr
    assert "its time was 7700.0 %" in done.stderr and "ratio to the dense model timed in turns" in done.stdout
    now = store.candidates.get(before.key)
    assert now is not None and next(m for m in now.measurements if m.metric == "decode_ms").settings["ratio"] < 77.0
    energy = "energy_j_per_token"  # estimated from the time of a token
    kept = [[m for m in r.measurements if not m.metric.endswith("_ms") and m.metric != energy] for r in (before, now)]
    assert kept[0] == kept[1]
    (timing,) = store.runs.find(kinds=("time",))
    assert timing.state == "done" and timing.model == f"run:{run}/{before.key}"


def test_steps_are_run_in_order_and_the_export_loads(study: Cli) -> None:
    status, document = study.json("run", study.recipe(STEPS))
    assert status == 0, document["error"]
    exports = list((study.settings.runs / document["id"] / "exports").glob("[!.]*"))
    assert len(exports) == 1
    assert json.loads((exports[0] / "config.json").read_text())["num_hidden_layers"] == 3


def test_an_interrupt_cancels_and_resume_goes_on(study: Cli) -> None:
    path = study.recipe(SWEEP.replace("[0.25, 0.5]", "[0.2, 0.4, 0.6, 0.8]"))
    process = subprocess.Popen(
        study.command("sweep", path),
        env=study.env,
        cwd=study.settings.home,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )
    store = Store(study.settings)
    until = time.monotonic() + 600
    while not (store.runs.find() and store.runs.find()[0].trials_done):
        assert process.poll() is None and time.monotonic() < until, "the sweep did not start"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    run = store.runs.find()[0]
    assert (process.returncode, run.state) == (1, "cancelled"), said
    assert f"python -m core resume {run.id}" in said and "Traceback" not in said
    kept = {t.key: t.finished for t in store.trials.of(run.id) if t.state == "done"}
    assert kept and run.trials_done < run.trials_total

    status, document = study.json("resume", run.id)
    assert status == 0 and document["trials"]["done"] == document["trials"]["total"]
    after = {t.key: t.finished for t in store.trials.of(run.id)}
    assert {k: after[k] for k in kept} == kept, "a finished trial was done again"


def test_a_detached_run_is_left_to_the_runner_and_can_be_cancelled(study: Cli) -> None:
    started = study("sweep", study.recipe(SWEEP), "--detach")
    assert started.returncode == 0
    run_id = started.stdout.strip()
    cancelled = study("cancel", run_id)
    assert cancelled.returncode == 0 and f"Run {run_id} is cancelled." in cancelled.stdout
    assert study("cancel", run_id).returncode == 2


def test_a_run_that_fails_says_why_with_status_1(study: Cli) -> None:
    (study.settings.home / "models" / "calibration.txt").write_text("Too short.")
    done = study("sweep", study.recipe(SWEEP))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    status, document = study.json("resume", study.json("runs")[1]["runs"][0]["id"])
    assert status == 1 and document["error"]["cause"] and document["error"]["remedy"]


def test_the_doctor_knows_what_can_be_done_with_a_folder(study: Cli) -> None:
    reference = f"path:{study.settings.home}/models/tiny-llama"
    status, document = study.json("doctor", reference)
    assert status == 0
    verdicts = {v["method"]: v for v in document["methods"]}
    assert verdicts["wanda"]["possible"] and not verdicts["reap"]["possible"]
    assert verdicts["wanda"]["estimate"]["seconds"] > 0, "the machine was timed"
    assert document["anatomy"]["shape"]["layers"] == 4
    shown = study("doctor", reference)
    assert shown.returncode == 0 and "This model has no experts to remove." in shown.stdout
