"""What the store hands out: frozen rows, never cursors. Times are seconds since 1970, UTC."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pydantic import ValidationError

from core.base.errors import RetortError
from core.base.progress import Level
from core.base.roles import LOCAL, Actor, Role, role_in
from core.recipe.recipe import Recipe
from core.recipe.results import Trial
from core.registry.measurement import Measurement, find_metric

RunState = Literal["queued", "running", "done", "failed", "cancelled"]
TrialState = Literal["queued", "running", "done", "failed"]
ACTIVE: tuple[RunState, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `trials_*` count its trials; `done` of `total` is its progress in its own units."""

    seq: int
    id: str
    kind: str
    name: str
    model: str
    recipe: dict[str, Any]
    state: RunState
    done: float
    total: float
    message: str
    created: float
    started: float | None
    finished: float | None
    attempts: int
    """Starts since the run last finished a trial."""
    cause: str
    remedy: str
    cancel_requested: bool
    tags: tuple[str, ...]
    notes: str
    version: str
    """The Retort that ran it last; '' before it started."""
    started_by: str = ""
    """Who queued it; '' where nobody signs in."""
    settings: dict[str, Any] = field(default_factory=dict)
    """`core.base.settings.Settings.kept` of whoever queued it last; empty in runs of older versions."""
    trials_total: int = 0
    trials_done: int = 0
    trials_failed: int = 0

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def actor(self) -> Actor:
        """For whom the run acts: whoever started it last. Of somebody who signed in with an earlier version only the
        least that can start a run is certain."""
        least: Role = "editor" if self.started_by else LOCAL.role
        return Actor(self.started_by, role_in(self.settings, least))

    def parsed(self) -> Recipe:
        """The recipe, for the kinds that have one ('sweep' and 'recipe').

        Raises:
            RetortError: it was stored by a version whose recipes this one does not know.
        """
        try:
            return Recipe.model_validate(self.recipe)
        except ValidationError as error:
            raise RetortError(
                f"The recipe of '{self.name}' was made by another version of Retort and does not fit this one.",
                "Start it anew with the current options.",
            ) from error


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs are in each state."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def active(self) -> int:
        return self.queued + self.running

    @property
    def total(self) -> int:
        return self.active + self.done + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class TrialRow:
    run: str
    index: int
    key: str
    label: str
    prune: dict[str, Any] | None
    state: TrialState
    started: float | None
    finished: float | None
    cause: str
    remedy: str

    def trial(self) -> Trial:
        return Trial.model_validate(
            {"index": self.index, "key": self.key, "label": self.label, "prune": self.prune},
        )


@dataclass(frozen=True, slots=True)
class Head:
    """What a candidate is, without its figures."""

    key: str
    label: str
    model: str
    method: str
    baseline: bool
    baseline_key: str | None
    saved: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a list of runs says of a candidate: nats per token, and bytes on disk; None where it was not measured."""

    run: str
    key: str
    label: str
    baseline: bool
    loss: float | None
    loss_change: float | None
    disk_bytes: float | None


@dataclass(frozen=True, slots=True)
class CandidateRow(Head):
    """A candidate without its samples and notes: enough for tables and charts. `results` has everything."""

    created: float
    measurements: tuple[Measurement, ...]

    def measurement(self, metric: str) -> Measurement | None:
        """The first measurement of `metric`."""
        return find_metric(self.measurements, metric)


@dataclass(frozen=True, slots=True)
class EventRow:
    id: int
    run: str
    time: float
    level: Level
    message: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """The mean of the points from `step` on that share a bucket, and their range."""

    step: int
    value: float
    low: float
    high: float


def run_row(row: sqlite3.Row) -> RunRow:
    values = dict(row)
    values["recipe"] = json.loads(values["recipe"])
    values["settings"] = json.loads(values["settings"] or "{}")
    values["tags"] = tuple(json.loads(values["tags"]))
    values["cancel_requested"] = bool(values["cancel_requested"])
    return RunRow(**{f.name: values[f.name] for f in fields(RunRow)})


def trial_row(row: sqlite3.Row) -> TrialRow:
    values = dict(row)
    values["index"] = values.pop("position")
    values["prune"] = json.loads(values["prune"]) if values["prune"] else None
    return TrialRow(**values)


def event_row(row: sqlite3.Row) -> EventRow:
    return EventRow(**{**dict(row), "data": json.loads(row["data"])})


def measurement(row: sqlite3.Row) -> Measurement:
    values = {k: row[k] for k in ("metric", "value", "unit", "low", "high", "obtained", "device", "dtype")}
    if values["value"] is None:
        values["value"] = math.nan  # what SQLite stores as NULL
    return Measurement.model_validate({**values, "settings": json.loads(row["settings"])})
