"""Where a run and the workers that train for it meet: an actor on the run's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from core.cluster.connection import library
from core.cluster.transfer import Archive, archive_name, bring_home, pack
from core.engine.distil.trainer import TrainingOutcome

Said = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A reporter's method and its arguments."""


class Mailbox:
    """Messages go one way, wishes the other; checkpoints and the trained student come home through it.

    What a worker put into the object store is lost with the worker, so it is written to disk here before the
    worker is told that it arrived.
    """

    def __init__(self, checkpoints: str, student: str) -> None:
        self._checkpoints, self._student = Path(checkpoints), Path(student)
        self._said: list[Said] = []
        self._wishes: set[str] = set()
        self._outcome: TrainingOutcome | None = None

    def say(self, said: list[Said]) -> None:
        self._said += said

    def heard(self) -> list[Said]:
        """What was said since the last time."""
        said, self._said = self._said, []
        return said

    def wish(self, what: Literal["stop", "keep"]) -> None:
        self._wishes.add(what)

    def wishes(self) -> set[str]:
        return self._wishes

    def checkpoint(self) -> Archive | None:
        """The checkpoints that came home so far, for a worker that goes on from them."""
        if not self._checkpoints.is_dir() or not any(self._checkpoints.iterdir()):
            return None
        return pack(library(), archive_name(str(self._checkpoints)), {"checkpoints": self._checkpoints})

    def keep_checkpoint(self, archive: Archive) -> None:
        bring_home(library(), archive, "checkpoints", self._checkpoints)

    def finish(self, student: Archive, outcome: TrainingOutcome) -> None:
        bring_home(library(), student, "student", self._student)
        self._outcome = outcome

    def outcome(self) -> TrainingOutcome | None:
        """How the training ended; None where it did not (yet)."""
        return self._outcome
