"""A study in the experiment tracker a team uses. The tracker is imported by a child process only.

A run of Retort becomes a run with its recipe as parameters, and a nested one for each candidate: its figures, the
ends of their intervals as metrics of their own, and `result.json`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import core
from core.analysis.paired_times import ratio_of, stray
from core.analysis.run_differences import environment, leaves
from core.analysis.time_references import aligned
from core.base.errors import RetortError
from core.base.json_io import dump
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.base.text import one_line
from core.recipe.files import dump_recipe
from core.recipe.results import Result
from core.store import RunRow, Store

_SECONDS = 600.0
_LONGEST = 5_000  # characters of a parameter or a tag
_INDEX = re.compile(r"\[(\d+)\]")
_ENDS = {"done": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
TRACKERS = {"mlflow": "MLflow"}
"""Module to label."""


@dataclass(frozen=True)
class SentRun:
    """Where a study is now. `new`: False where exactly this was there already."""

    store: str
    run: str
    candidates: int
    new: bool


def installed() -> list[str]:
    """The trackers that could be imported; none of them is."""
    return [name for name in TRACKERS if importlib.util.find_spec(name) is not None]


def store_of(settings: Settings) -> str:
    """Where MLflow writes: `MLFLOW_TRACKING_URI`, else a database in the data folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{settings.home / 'tracking' / 'mlflow.db'}"


def track(run_id: str, settings: Settings, actor: Actor, tracker: str = "mlflow", store: str | None = None) -> SentRun:
    """Sends a run that has ended to a tracker; sent again unchanged it is left as it is.

    Raises:
        RetortError: no right to, no such run, it is active or has no results, or the tracker is missing or refuses.
    """
    check(actor, "run")
    if tracker not in installed():
        raise RetortError(
            f"{TRACKERS.get(tracker, tracker)} is not installed beside Retort.",
            "Install it with: pip install -r requirements-tracking.txt -c constraints.txt",
        )
    known = Store(settings)
    run, results = known.runs.get(run_id), known.candidates.results(run_id=run_id)
    if run.active:
        raise RetortError(f"'{run.name}' has not ended yet.", "Send it when it is done.")
    if not results:
        raise RetortError(f"'{run.name}' has no results to send.", "Choose a run with finished candidates.")
    where = store or store_of(settings)
    local = where.startswith("sqlite:") and store is None
    if local:
        (settings.home / "tracking").mkdir(parents=True, exist_ok=True)
    told = document(run, results) | {
        "store": where,
        "artifacts": (settings.home / "tracking" / "artifacts").as_uri() if local else None,
    }
    answer = _ask(told)
    return SentRun(where, str(answer["run"]), len(results), bool(answer["new"]))


def document(run: RunRow, results: Sequence[Result]) -> dict[str, object]:
    """What a tracker is told, as plain data."""
    recipe = run.parsed()
    data = recipe.model_dump(mode="json", exclude_none=True)
    tags = {"retort.run": run.id, "retort.kind": run.kind, "retort.version": run.version, "retort.notes": run.notes}
    tags |= {f"tag.{tag.replace('+', ' ')}": "yes" for tag in run.tags}
    kept = {k: v[:_LONGEST] for k, v in tags.items() if v}
    found: dict[str, object] = {
        "name": one_line(run.name, 200),
        "params": _params(data),
        "tags": kept,
        "files": {"recipe.yaml": dump_recipe(recipe), "environment.json": dump(environment(results))},
        "start": _milliseconds(run.started),
        "end": _milliseconds(run.finished),
        "status": _ENDS[run.state],
        "candidates": [_candidate(r, a) for r, a in zip(results, aligned(results), strict=True)],
    }
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:32]
    kept["retort.digest"] = digest
    return found


def _candidate(result: Result, comparable: Result) -> dict[str, object]:
    """`comparable`: the result with times that can be compared, which a tracker will do."""
    step = result.prune or result.distil or result.quantise or result.trim or {}
    return {
        "name": one_line(result.label, 200),
        "params": _params({"method": result.method, "baseline": result.baseline, "seconds": result.seconds, **step}),
        "metrics": metrics(comparable),
        "tags": {
            "retort.key": result.key,
            "retort.model": result.model[:_LONGEST],
            **({"retort.not_finite": ", ".join(gone)} if (gone := _not_finite(result)) else {}),
        },
        "files": {"result.json": dump(result.model_dump(mode="python"))},
    }


def metrics(result: Result) -> dict[str, float]:
    """Every finite figure by its metric's id, and the ends of its interval as `ID.low` and `ID.high`.

    A time has its ratio to the dense model's as `ID.ratio`; one that cannot be compared stands in the files only.
    """
    found: dict[str, float] = {}
    for m in result.measurements:
        if stray(m):
            continue
        if (ratio := ratio_of(m)) is not None:
            found[f"{_name(m.metric)}.ratio"] = ratio.value
        for end, value in (("", m.value), (".low", m.low), (".high", m.high)):
            if value is not None and math.isfinite(value):
                found.setdefault(_name(m.metric) + end, value)
    return found


def _not_finite(result: Result) -> list[str]:
    """Trackers have no infinities: which figures are missing for that."""
    return [m.metric for m in result.measurements if not math.isfinite(m.value)]


def _params(data: Mapping[str, object]) -> dict[str, str]:
    """The leaves; `sweep.grid[0].method[1]` is called `sweep.grid.0.method.1`."""
    return {
        _name(_INDEX.sub(r".\1", path)): json.loads(text) if text[:1] == '"' else text for path, text in leaves(data)
    }


def _name(text: str) -> str:
    """Letters, digits and `_-./` only: what every store of a tracker takes as a name."""
    return re.sub(r"[^\w\-./]", "/", text, flags=re.ASCII)[:250]


def _milliseconds(moment: float | None) -> int | None:
    return None if moment is None else round(1000 * moment)


def _ask(told: Mapping[str, object]) -> dict[str, object]:
    # A server that does not answer is said within a minute, not after the client's patience of many.
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "core.integrations.mlflow_process"],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
            env={**patience, **os.environ},
            cwd=Path(core.__file__).resolve().parent.parent,
        )
        answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        answer = {"error": "it gave no answer"}
    if "error" in answer:
        raise RetortError(
            f"The tracker did not take the study: {one_line(str(answer['error']), 300)}.",
            "Check that its store can be reached and written, then send it again.",
        )
    return answer
