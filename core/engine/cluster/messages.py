"""What travels between a run and the nodes that measure its trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.base.errors import RetortError
from core.base.progress import Level
from core.base.roles import Actor
from core.cluster.transfer import Archive
from core.engine.data.inputs import Inputs
from core.recipe.recipe import Recipe
from core.recipe.results import Result


@dataclass(frozen=True)
class Study:
    """All that the trials of a sweep share.

    Attributes:
        id: of this sending; a process that holds another study open closes it.
        recipe: with the dtype spelt out, since `auto` depends on the machine.
        actor: for whom the run acts.
        fingerprint: identifies the model's bytes.
        home: files of the home that a trial may read (measured sensitivities, evaluation sets).
        versions: of the libraries that decide figures; a node with others is refused.
    """

    id: str
    recipe: Recipe
    actor: Actor
    fingerprint: str
    model: Archive
    statistics: Archive | None
    home: Archive
    inputs: Inputs
    versions: dict[str, str]
    baseline: Result | None = None


@dataclass
class Answer:
    """How a trial ended on a node: with a result (and its model, where that is kept), or with a plain refusal."""

    node: str
    machine: str
    result: Result | None = None
    model: Archive | None = None
    error: RetortError | None = None
    events: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)
