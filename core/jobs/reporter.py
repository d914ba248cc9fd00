"""The reporter a worker hands to the engine: writes to the store, sparingly, and notices a cancel."""

from __future__ import annotations

import logging
import time
from typing import Any

from core.base.errors import Cancelled, RetortError
from core.base.progress import Level
from core.store import Store

log = logging.getLogger("retort")
EVERY = 0.5
"""Seconds between two writes of progress and curves, and between two looks for a cancel."""


class StoreReporter:
    """Implements `core.base.progress.Reporter` over the store.

    A progress line or a point that cannot be written now is worth less than the job: it is tried
    again with the next one.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._progress: tuple[float, float, str] | None = None
        self._points: list[tuple[str, int, float]] = []
        self._written = self._looked = float("-inf")
        self.stopping = False
        """Set (by a signal handler) when the job should stop at its next checkpoint."""
        self.reason: RetortError | None = None
        """Why it should, where that was neither its user nor a signal."""

    def progress(self, done: float, total: float, message: str) -> None:
        self._progress = (done, total, message)
        self._write_if_due()

    def event(self, level: Level, message: str, **data: Any) -> None:
        log.log({"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[level], "%s", message)
        try:
            self._store.events.add(self._run_id, level, message, **data)
        except RetortError as error:
            log.warning("%s", error)

    def series(self, name: str, step: int, value: float) -> None:
        self._points.append((name, step, value))
        self._write_if_due()

    def checkpoint(self) -> None:
        """Raises `Cancelled` after SIGTERM, after `stop`, or after the user asked for it."""
        self._write_if_due()
        now = time.monotonic()
        if not self.stopping and now - self._looked >= EVERY:
            self._looked = now
            self.stopping = self._cancel_requested()
        if self.stopping:
            raise Cancelled

    def stop(self, reason: RetortError) -> None:
        """The job stops at its next checkpoint. May be called from another thread."""
        self.reason = reason
        self.stopping = True

    def flush(self) -> None:
        """Writes what is held back."""
        self._written = time.monotonic()
        try:
            if self._points:
                self._store.series.add(self._run_id, self._points)
                self._points = []
            if self._progress is not None:
                self._store.runs.progress(self._run_id, *self._progress)
                self._progress = None
        except RetortError as error:
            log.warning("%s", error)

    def _write_if_due(self) -> None:
        if time.monotonic() - self._written >= EVERY:
            self.flush()

    def _cancel_requested(self) -> bool:
        try:
            return self._store.runs.cancel_requested(self._run_id)
        except RetortError as error:
            log.warning("%s", error)
            return False
