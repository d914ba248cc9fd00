"""What the engine's pipeline may ask of the job that runs it: progress out, trials in and out.

The worker implements it over the store; a test or a script can implement it over a dictionary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.recipe.results import Result, Trial

STOP_AND_KEEP = "stop-and-keep"
"""A file of this name in a run's folder ends its training; the best weights so far are kept and measured."""


class Hooks(Protocol):
    """One run, seen from inside the engine."""

    @property
    def reporter(self) -> Reporter: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def actor(self) -> Actor:
        """For whom the run acts: it may no more than they may."""
        ...

    @property
    def run_folder(self) -> Path:
        """Where this run may write (checkpoints, exports); it exists."""
        ...

    def register_trials(self, trials: list[Trial]) -> None:
        """Announces every trial of the run, in order. Calling it again with the same trials changes nothing."""

    def finished(self, key: str) -> Result | None:
        """The result a trial with this key already has, from this run or any other."""

    def trial_started(self, index: int) -> None: ...

    def trial_done(self, index: int, result: Result) -> None:
        """Makes the result durable before it returns: it is never computed again."""

    def trial_failed(self, index: int, error: RetortError) -> None: ...

    def candidate_folder(self, key: str) -> Path:
        """`home/candidates/KEY`: the model goes to `model/` in it; the result file is the hooks' to write."""
        ...
