"""The live host: `python -m core.jobs.live_host --home H`. Answers `core.jobs.live` from models it keeps in memory.

It holds the device's lock as long as it lives, so that no run starts beside it; a thread looks for runs and
ends the process within a second of one being queued. Nothing is lost by that: it only ever previews.
"""

from __future__ import annotations

import argparse
import hmac
import importlib
import json
import logging
import os
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import plain_json
from core.catalogue.references import ResolvedModel, resolve
from core.durable_files import write
from core.errors import Cancelled, RetortError
from core.jobs.executors import DEVICE, device_lock
from core.jobs.failures import is_out_of_memory
from core.jobs.live import EVENT_BYTES, REQUEST_BYTES, address_file, live_lock
from core.jobs.live_models import Kept, Models
from core.jobs.live_operations import OPERATIONS
from core.jobs.locks import FileLock
from core.jobs.process import prepare_process
from core.settings import Limits, Settings
from core.store import Store

if TYPE_CHECKING:
    from core.engine.models.load import Loaded

log = logging.getLogger("retort")
_LOOK = 0.25
"""Seconds between two looks for runs."""
_GRACE = 0.5
"""Seconds an operation has to stop by itself when a run needs the machine."""
_PATIENCE = 10.0
"""Seconds a client has to say what it wants."""


class Request:
    """One request: `core.engine.live.host.Host` for the operation that answers it."""

    def __init__(self, host: LiveHost, connection: socket.socket, kept: dict[str, Any]) -> None:
        self.settings = host.settings.of_run(kept)  # of whoever asks, not of whoever started the host
        self.superseded = False
        self._host = host
        self._connection = connection

    def resolved(self, reference: str) -> ResolvedModel:
        return resolve(reference, self.settings, download=False)

    def model(self, model: str | Path, dtype: str = "auto") -> Loaded:
        return self._kept(model, dtype).loaded

    def beside(self, model: str | Path, dtype: str = "auto") -> dict[str, Any]:
        return self._kept(model, dtype).beside

    def _kept(self, model: str | Path, dtype: str) -> Kept:
        if isinstance(model, Path):
            return self._host.models.get(model, "", dtype)
        found = self.resolved(model)
        return self._host.models.get(found.folder, found.fingerprint, dtype)

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
        self._connection.sendall(line)


class LiveHost:
    """Listens, answers one operation at a time, and knows when to leave."""

    def __init__(self, settings: Settings, idle_seconds: float, memory: int) -> None:
        self.settings = settings
        self.models = Models(memory)
        self.leaving = ""
        """Why the host is about to end: '' while it is not."""
        self._idle_seconds = idle_seconds
        self._secret = secrets.token_hex(32)
        self._computing = threading.Lock()
        self._newest: dict[tuple[str, str], Request] = {}
        self._guard = threading.Lock()
        self._open = 0
        self._idle_since = time.monotonic()

    def serve(self) -> None:
        """Answers until it has to leave; then the process is over."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._publish(listener.getsockname()[1])
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            self._watch()
        address_file(self.settings).unlink(missing_ok=True)
        # What is still being computed is told to stop, and does not get longer than this.
        if self._computing.acquire(timeout=_GRACE):
            time.sleep(0.02)  # its last words reach the client

    def _watch(self) -> None:
        store = Store(self.settings)
        while not self.leaving:
            with suppress(RetortError, OSError):
                if store.runs.counts().active:
                    self.leaving = "busy"
            with self._guard:
                idle = self._open == 0 and time.monotonic() - self._idle_since > self._idle_seconds
            if idle and not self.leaving:
                self.leaving = "idle"
            if not self.leaving:
                time.sleep(_LOOK)
        log.info("leaving: %s", self.leaving)

    def _publish(self, port: int) -> None:
        write(address_file(self.settings), json.dumps({"port": port, "secret": self._secret}))

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is closed when the host leaves
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            asked = self._read(connection)
            if asked is None:
                return
            op, session, wanted, kept = asked
            with self._guard:
                self._open += 1
            try:
                self._answer(Request(self, connection, kept), op, session, wanted)
            finally:
                with self._guard:
                    self._open -= 1
                    self._idle_since = time.monotonic()

    def _read(self, connection: socket.socket) -> tuple[str, str, dict[str, Any], dict[str, Any]] | None:
        """(operation, session, request, settings of whoever asks); None for a stranger or what cannot be read."""
        connection.settimeout(_PATIENCE)
        with connection.makefile("rb") as lines:
            if not hmac.compare_digest(lines.readline(200).strip(), self._secret.encode()):
                return None
            try:
                asked = plain_json.load(lines.readline(REQUEST_BYTES))
                connection.settimeout(None)  # so that `abandoned` can look without waiting
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(_PATIENCE), 0))
                return str(asked["op"]), str(asked["session"]), dict(asked["request"]), dict(asked["settings"])
            except (ValueError, KeyError, TypeError):
                return None

    def _answer(self, request: Request, op: str, session: str, wanted: dict[str, Any]) -> None:
        """Sends every event of an operation, or the sentence for what went wrong."""
        try:
            if op == "status":
                request.send({"models": self.models.folders, "bytes": self.models.bytes, "pid": os.getpid()})
            elif op == "release":
                self.leaving = self.leaving or "released"
            else:
                self._compute(request, op, session, wanted)
            request.send({"done": True})
        except Cancelled:
            kind = "superseded" if request.superseded else "busy" if self.leaving == "busy" else "stopped"
            request.send(_error(kind, "The engine is about to end.", "Ask again: it starts anew."))
        except RetortError as error:
            request.send(_error("refused", error.cause, error.remedy))
        except OSError:
            raise
        except Exception as error:
            log.exception("%s failed", op)
            request.send(_explained(error))

    def _compute(self, request: Request, op: str, session: str, wanted: dict[str, Any]) -> None:
        self._supersede(request, op, session)
        while not self._computing.acquire(timeout=0.05):
            request.checkpoint()
        events: Generator[dict[str, Any], None, None] | None = None
        try:
            request.checkpoint()
            events = _generator(function_of(op)(request, wanted))
            for event in events:
                request.send(event)
                request.checkpoint()
        finally:
            if events is not None:
                events.close()  # what it changed is put back now
            self._computing.release()
            with self._guard:
                if self._newest.get((session, op)) is request:
                    del self._newest[session, op]

    def _supersede(self, request: Request, op: str, session: str) -> None:
        if session:
            with self._guard:
                older = self._newest.get((session, op))
                if older is not None:
                    older.superseded = True
                self._newest[session, op] = request


def _generator(events: Iterator[dict[str, Any]]) -> Generator[dict[str, Any], None, None]:
    """The same events from something that can be closed, whatever kind of iterator an operation returns."""
    yield from events


def function_of(op: str) -> Callable[[Request, dict[str, Any]], Iterator[dict[str, Any]]]:
    """The function that answers an operation.

    Raises:
        RetortError: there is none of that name.
    """
    if op not in OPERATIONS:
        raise RetortError(f"The engine knows no operation '{op[:80]}'.", "Reload the page: Retort was updated.")
    module, _, name = OPERATIONS[op].partition(":")
    found: Callable[[Request, dict[str, Any]], Iterator[dict[str, Any]]]
    found = getattr(importlib.import_module(module), name)
    return found


def _error(kind: str, cause: str, remedy: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "cause": cause, "remedy": remedy}, "done": True}


def _explained(error: Exception) -> dict[str, Any]:
    if is_out_of_memory(error):
        return _error("failed", "There was not enough memory for this.", "Close other programs, then try again.")
    what = " ".join(str(error).split())[:200] or "no message"
    return _error(
        "failed", f"Something unexpected happened: {type(error).__name__}: {what}",
        "Read live-host.log in the data folder for the details, then try again.",
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The program. `--lock` is the descriptor of the host's lock, which whoever started it took."""
    parser = argparse.ArgumentParser(prog="core.jobs.live_host")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--lock", type=int, required=True)
    parser.add_argument("--idle", type=float, default=Limits.live_idle_seconds)
    parser.add_argument("--memory", type=int, default=Limits.live_bytes)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings = Settings.load(chosen.home)
    lock = FileLock(live_lock(settings), chosen.lock)
    lock.sign()
    device = FileLock(device_lock(settings, DEVICE))
    if not device.acquire(patience=1.0):
        log.info("a run has the machine")
        return 0
    prepare_process(out_of_memory_score=700)  # nothing is lost with it: before a worker, even
    log.info("process %d answers for %s", os.getpid(), settings.home)
    LiveHost(settings, chosen.idle, chosen.memory).serve()
    logging.shutdown()
    os._exit(0)  # threads that compute are not waited for


if __name__ == "__main__":
    sys.exit(main())
