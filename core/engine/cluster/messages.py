"""What travels between a run and the nodes that measure its trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.cluster.parcels import Parcel
from core.engine.inputs import Inputs
from core.errors import RetortError
from core.progress import Level
from core.recipes import Recipe
from core.results import Result


@dataclass(frozen=True)
class Study:
    """All that the trials of a sweep share.

    Attributes:
        id: of this sending; a process that holds another study open closes it.
        recipe: with the dtype spelt out, since `auto` depends on the machine.
        fingerprint: identifies the model's bytes.
        home: files of the home that a trial may read (measured sensitivities, evaluation sets).
        versions: of the libraries that decide figures; a node with others is refused.
    """

    id: str
    recipe: Recipe
    fingerprint: str
    model: Parcel
    statistics: Parcel | None
    home: Parcel
    inputs: Inputs
    versions: dict[str, str]
    baseline: Result | None = None


@dataclass
class Answer:
    """How a trial ended on a node: with a result (and its model, where that is kept), or with a plain refusal."""

    node: str
    machine: str
    result: Result | None = None
    model: Parcel | None = None
    refused: tuple[str, str] | None = None
    events: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def error(self) -> RetortError | None:
        return RetortError(*self.refused) if self.refused else None


@dataclass
class NodeReporter:
    """Keeps events for the answer. A cancel does not come through here: Ray interrupts the task."""

    events: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)

    def progress(self, done: float, total: float, message: str) -> None:
        return None

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.events.append((level, message, data))

    def series(self, name: str, step: int, value: float) -> None:
        return None

    def checkpoint(self) -> None:
        return None
