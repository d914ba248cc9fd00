"""One request to the preview server: what an operation may use of it, and the way back to whoever asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.base import memory
from core.base.errors import Cancelled, RetortError
from core.base.panics import panic_in_words
from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.references import ResolvedModel, resolve
from core.jobs.failures import is_out_of_memory
from core.jobs.preview.client import EVENT_BYTES

if TYPE_CHECKING:
    from core.engine.models.load import Loaded
    from core.jobs.preview.models import LoadedModel, Models

BEAT = 1.0
"""Seconds after which somebody who waits hears that the server is alive."""


class Asked(Protocol):
    """What a request needs of the server that answers it."""

    models: Models
    leaving: str


class Request:
    """Implements `core.engine.live.host.Host` for the operation that answers it."""

    def __init__(self, host: Asked, connection: socket.socket, settings: Settings, actor: Actor) -> None:
        self.settings = settings
        """Those of whoever asks, not of whoever started the server."""
        self.actor = actor
        self.superseded = False
        self.since: float | None = None
        """Since when it computes without a word of its answer, on the monotonic clock; None: it waits for its turn."""
        self._host = host
        self._connection = connection
        self._sending = threading.Lock()
        self._last = time.monotonic()

    def resolved(self, reference: str) -> ResolvedModel:
        return resolve(reference, self.settings, None)

    def model(self, model: str | Path, dtype: str = "auto") -> Loaded:
        return self._kept(model, dtype).loaded

    def beside(self, model: str | Path, dtype: str = "auto") -> dict[str, Any]:
        return self._kept(model, dtype).beside

    def _kept(self, model: str | Path, dtype: str) -> LoadedModel:
        most = memory.limit_of(self.settings.limits.memory)
        if isinstance(model, Path):
            return self._host.models.get(model, "", dtype, most)
        found = self.resolved(model)
        return self._host.models.get(found.folder, found.fingerprint, dtype, most)

    def checkpoint(self) -> None:
        if self.superseded or self._host.leaving or self.abandoned():
            raise Cancelled

    def abandoned(self) -> bool:
        """Whether the client has closed its end: it sends nothing after its request."""
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, event: dict[str, Any]) -> None:
        """Raises OSError where the client is gone."""
        line = json.dumps(event).encode() + b"\n"
        if len(line) > EVENT_BYTES:
            raise RetortError("The answer is too long to be sent.", "Ask for fewer tokens at once.")
        with self._sending:
            self._connection.sendall(line)
            self._last = time.monotonic()
            self.since = None if self.since is None else self._last

    def beat(self) -> None:
        """An empty line where nothing was said for a while: whoever asked knows then that the server lives."""
        if time.monotonic() - self._last < BEAT or not self._sending.acquire(blocking=False):
            return
        try:
            with suppress(OSError):  # its buffer is full, or it is gone
                self._connection.send(b"\n", socket.MSG_DONTWAIT)
            self._last = time.monotonic()
        finally:
            self._sending.release()

    def tell(self, error: dict[str, Any]) -> None:
        """The last words to somebody whose operation does not come back."""
        if self._sending.acquire(timeout=0.5):
            with suppress(OSError):
                self._connection.send(json.dumps(error).encode() + b"\n", socket.MSG_DONTWAIT)
            self._sending.release()


def error_event(kind: str, cause: str, remedy: str) -> dict[str, Any]:
    """The last event of an answer that was broken off."""
    return {"error": {"kind": kind, "cause": cause, "remedy": remedy}, "done": True}


def explained(error: BaseException) -> dict[str, Any]:
    """The same for whatever an operation raised."""
    if (panic := panic_in_words(error)) is not None:
        return error_event("failed", panic.cause, panic.remedy)
    if is_out_of_memory(error):
        return error_event("failed", "There was not enough memory for this.", "Close other programs, then try again.")
    what = " ".join(str(error).split())[:200] or "no message"
    return error_event(
        "failed",
        f"Something unexpected happened: {type(error).__name__}: {what}",
        "Read preview-server.log in the data folder for the details, then try again.",
    )
