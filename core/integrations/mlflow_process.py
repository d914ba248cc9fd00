"""The process that imports MLflow: a study as JSON on standard input, the run it became on standard output."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

EXPERIMENT = "Retort"
_BATCH = 100  # parameters a call; metrics may be more


def log_study(told: Mapping[str, Any]) -> dict[str, object]:
    """Logs a study unless exactly this one is there; `told` is made by `core.integrations.mlflow.document`."""
    client = importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=told["store"])
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, told["artifacts"])
    same = f"tags.`retort.digest` = '{told['tags']['retort.digest']}' and tags.`retort.complete` = 'yes'"
    found = client.search_runs([experiment], same, max_results=1)
    if found:
        return {"run": found[0].info.run_id, "new": False}
    parent = _log(client, experiment, told, told, {})
    for candidate in told["candidates"]:
        _log(client, experiment, candidate, told, {"mlflow.parentRunId": parent})
    client.set_tag(parent, "retort.complete", "yes")  # one that was broken off is not taken for whole
    return {"run": parent, "new": True}


def _log(client: Any, experiment: str, one: Mapping[str, Any], told: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    entities = importlib.import_module("mlflow.entities")
    run = client.create_run(experiment, start_time=told["start"], tags={**one["tags"], **tags}, run_name=one["name"])
    name: str = run.info.run_id
    params = [entities.Param(k, v) for k, v in one["params"].items()]
    moment = told["end"] or told["start"] or 0
    metrics = [entities.Metric(k, v, moment, 0) for k, v in one.get("metrics", {}).items()]
    for start in range(0, max(len(params), len(metrics)), _BATCH):
        client.log_batch(name, metrics=metrics[start : start + _BATCH], params=params[start : start + _BATCH])
    for file, text in one["files"].items():
        client.log_text(name, text, file)
    client.set_terminated(name, status=told["status"], end_time=told["end"])
    return name


def main() -> None:
    told = json.load(sys.stdin)
    try:
        answer = log_study(told)
    except Exception as error:  # whatever the tracker raises becomes one sentence
        answer = {"error": str(error).strip().rstrip(".") or type(error).__name__}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
