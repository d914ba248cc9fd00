"""Runs and results as documents and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.metrics import find_metric, metric, show
from core.results import Result
from core.store import RunRow, TrialRow
from core.task_sets import TASK_SETS, accuracy_id
from core.terminal import put, put_table

_COLUMNS = ("perplexity", "loss_change", "parameters", "disk_bytes", "prefill_ms", "decode_ms")


def run_document(
    run: RunRow, trials: Sequence[TrialRow] | None = None, results: Sequence[Result] | None = None
) -> dict[str, Any]:
    """A run as plain data; times in ISO 8601. Per-window samples are left out: they are in each result's file."""
    document: dict[str, Any] = {
        "id": run.id, "kind": run.kind, "name": run.name, "model": run.model, "state": run.state,
        "created": _time(run.created), "started": _time(run.started), "finished": _time(run.finished),
        "done": run.done, "total": run.total, "message": run.message,
        "error": {"cause": run.cause, "remedy": run.remedy} if run.cause else None,
        "trials": {"total": run.trials_total, "done": run.trials_done, "failed": run.trials_failed},
        "tags": list(run.tags), "parent": run.parent,
    }  # fmt: skip
    if trials is not None:
        document["trial_list"] = [
            {"index": t.index, "label": t.label, "key": t.key, "state": t.state,
             "error": {"cause": t.cause, "remedy": t.remedy} if t.cause else None}
            for t in trials
        ]  # fmt: skip
    if results is not None:
        document["recipe"] = run.recipe
        document["candidates"] = [r.model_dump(mode="python", exclude={"measurements": {"__all__": {"samples"}}})
                                  for r in results]  # fmt: skip
    return document


def show_runs(runs: Sequence[RunRow]) -> None:
    """A table of runs."""
    rows = [
        [r.id, r.state, f"{r.trials_done}/{r.trials_total}" if r.trials_total else "", r.kind, r.model, r.name]
        for r in runs
    ]
    put_table(["run", "state", "trials", "kind", "model", "name"], rows)


def show_results(results: Sequence[Result]) -> None:
    """A table of candidates with their main figures; every figure stands with its unit."""
    found = {m.metric for r in results for m in r.measurements}
    columns = [m for m in (*_usual(found), *_COLUMNS) if m in found]
    head = ["candidate", *(metric(m).label for m in columns)]
    put_table(head, [[r.label, *(show(m, _value(r, m)) for m in columns)] for r in results])
    devices = {m.device for r in results for m in r.measurements if m.metric in ("prefill_ms", "decode_ms")}
    if devices:
        put(f"Latency on: {', '.join(sorted(devices))}.")


def _usual(found: set[str]) -> list[str]:
    """The accuracy usually reported of each task, of a classifier its accuracy and F1."""
    tasks = dict.fromkeys(m.partition(":")[2] for m in sorted(found) if m.startswith("accuracy") and ":" in m)
    both = [(accuracy_id(t, t in TASK_SETS and TASK_SETS[t].normalised), accuracy_id(t)) for t in tasks]
    return ["accuracy", "f1", *(first if first in found else other for first, other in both)]


def _value(result: Result, metric_id: str) -> float | None:
    found = find_metric(result.measurements, metric_id)
    return found.value if found else None


def _time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
