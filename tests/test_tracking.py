"""A study in MLflow: what is told, and what a real local store then holds (where MLflow is installed)."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.parser import main
from core.integrations import mlflow as tracking
from core.recipe.files import load_recipe
from core.recipe.results import Result
from core.store import Store
from tests.pages.study import finished_study

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def study(home: Settings) -> Iterator[tuple[Settings, str]]:
    run = finished_study(home)
    Store(home).runs.annotate(run, tags=["keep", "a+b"], notes="For the board")
    yield home, run


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    if "mlflow" not in tracking.installed():
        pytest.skip("needs MLflow: pip install -r requirements-tracking.txt -c constraints.txt")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return importlib.import_module("mlflow.tracking")


def test_every_figure_is_told_with_the_ends_of_its_interval(study: tuple[Settings, str]) -> None:
    settings, run = study
    results = Store(settings).candidates.results(run_id=run)
    told = tracking.document(Store(settings).runs.get(run), results)
    assert len(told["candidates"]) == len(results) == 12
    for candidate, result in zip(told["candidates"], results, strict=True):
        for m in (m for m in result.measurements if not m.metric.endswith("_ms")):
            assert candidate["metrics"][m.metric] == m.value
            assert candidate["metrics"].get(f"{m.metric}.low") == m.low
            assert candidate["metrics"].get(f"{m.metric}.high") == m.high
        assert Result.model_validate_json(candidate["files"]["result.json"]) == result
    times = told["candidates"][2]["metrics"]  # Magnitude 30 %: 1.000 of the dense model's 33.8 ms, 3 % to both sides
    assert times["decode_ms.ratio"] == 1.0 and times["decode_ms"] == pytest.approx(33.8)
    assert (times["decode_ms.low"], times["decode_ms.high"]) == pytest.approx((32.786, 34.814))
    assert load_recipe(told["files"]["recipe.yaml"]) == Store(settings).runs.get(run).parsed()
    assert told["params"]["sweep.grid.0.method.1"] == "wanda" and told["params"]["sweep.grid.0.sparsity.2"] == "0.5"
    assert told["tags"]["tag.keep"] == told["tags"]["tag.a b"] == "yes" and told["tags"]["retort.run"] == run


def test_infinities_are_named_and_tasks_keep_a_name_stores_take(study: tuple[Settings, str]) -> None:
    settings, run = study
    first = Store(settings).candidates.results(run_id=run)[0]
    task = first.measurements[0].model_copy(update={"metric": "accuracy:arc_easy", "value": 0.5})
    ruined = first.measurements[1].model_copy(update={"value": float("inf")})
    told = tracking.document(Store(settings).runs.get(run), [first.model_copy(update={"measurements": [task, ruined]})])
    candidate = told["candidates"][0]
    assert candidate["metrics"]["accuracy/arc_easy"] == 0.5 and "perplexity" not in candidate["metrics"]
    assert candidate["tags"]["retort.not_finite"] == "perplexity"


def test_what_cannot_be_sent_is_refused_in_a_sentence(
    study: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, run = study
    monkeypatch.setattr(tracking, "installed", list)
    with pytest.raises(RetortError, match="MLflow is not installed beside Retort"):
        tracking.track(run, settings, LOCAL)


def test_looking_for_a_tracker_imports_none() -> None:
    code = "import core.integrations.mlflow as m, sys; m.installed(); print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.jobs
def test_a_local_store_holds_the_study_once(
    study: tuple[Settings, str], mlflow: Any, tmp_path: Path, capsys: Any
) -> None:
    settings, run = study
    assert main(["track", run, "--to", "mlflow", "--home", str(settings.home), "--json"]) == 0
    sent = json.loads(capsys.readouterr().out)
    client = mlflow.MlflowClient(tracking_uri=sent["store"])
    experiment = client.get_experiment_by_name("Retort")
    parent = client.get_run(sent["run"])
    assert parent.info.run_name == "Sample study" and parent.info.status == "FINISHED"
    assert parent.data.params["model"] == "sample:smollm2-135m" and parent.data.tags["tag.keep"] == "yes"
    children = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{sent['run']}'")
    results = {r.key: r for r in Store(settings).candidates.results(run_id=run)}
    assert {c.data.tags["retort.key"] for c in children} == set(results)
    for child in children:
        expected = tracking.metrics(results[child.data.tags["retort.key"]])
        assert child.data.metrics == pytest.approx(expected) and "perplexity.low" in expected
    kept = Path(client.download_artifacts(children[0].info.run_id, "result.json", str(tmp_path)))
    assert Result.model_validate_json(kept.read_bytes()) == results[children[0].data.tags["retort.key"]]
    assert {f.path for f in client.list_artifacts(sent["run"])} == {"recipe.yaml", "environment.json"}

    again = tracking.track(run, settings, LOCAL)
    assert not again.new and again.run == sent["run"]
    assert len(client.search_runs([experiment.experiment_id])) == 1 + len(results)
    assert "mlruns" not in os.listdir(ROOT), "nothing is written beside the data folder"


@pytest.mark.jobs
def test_a_store_that_does_not_take_it_is_said_in_a_sentence(
    study: tuple[Settings, str], mlflow: Any, tmp_path: Path
) -> None:
    settings, run = study
    (tmp_path / "file").write_text("")
    with pytest.raises(RetortError, match="The tracker did not take the study"):
        tracking.track(run, settings, LOCAL, store=f"sqlite:///{tmp_path}/file/mlflow.db")
