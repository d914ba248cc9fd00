"""What an operation of the preview server may use of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.references import ResolvedModel
from core.engine.models.load import Loaded


class Host(Protocol):
    """One request's view of the process that keeps models in memory.

    Only one operation computes at a time, so a model may be changed in place if it is put back in a `finally`.
    """

    @property
    def settings(self) -> Settings: ...

    @property
    def actor(self) -> Actor:
        """Who asks."""
        ...

    def resolved(self, reference: str) -> ResolvedModel:
        """Where a model reference leads, without touching the network. Raises RetortError."""

    def model(self, model: str | Path, dtype: str = "auto") -> Loaded:
        """The model of a reference or a folder, in memory from then on. Raises RetortError."""

    def beside(self, model: str | Path, dtype: str = "auto") -> dict[str, Any]:
        """What an operation keeps warm with a model; dropped together with it."""

    def checkpoint(self) -> None:
        """Raises `core.base.errors.Cancelled` once nobody waits for the answer, or a job needs the machine."""
