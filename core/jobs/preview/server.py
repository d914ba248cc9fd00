"""The preview server: `python -m core.jobs.preview.server --home H`. Answers from models it keeps in memory.

It holds the device's lock as long as it lives, so that no run starts beside it; a thread looks for runs and
ends the process within a second of one being queued. Nothing is lost by that: it only ever previews.
"""

from __future__ import annotations

import argparse
import hmac
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
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.base import json_io, memory
from core.base.durable_files import write
from core.base.errors import Cancelled, RetortError
from core.base.functions import load_function
from core.base.panics import is_failure
from core.base.private_files import keep_private
from core.base.roles import Actor, role_in
from core.base.settings import Limits, Settings
from core.jobs import guards
from core.jobs.executors import DEVICE, device_lock
from core.jobs.locks import FileLock
from core.jobs.logs import log_to_stderr
from core.jobs.preview.client import REQUEST_BYTES
from core.jobs.preview.models import Models
from core.jobs.preview.operations import OPERATIONS
from core.jobs.preview.request import Request, error_event, explained
from core.jobs.preview_process import PREVIEWS, address_file, live_lock
from core.jobs.process import prepare_process
from core.store import Store

log = logging.getLogger("retort")
_LOOK = 0.25
"""Seconds between two looks for runs."""
_GRACE = 0.5
"""Seconds an operation has to stop by itself when a run needs the machine."""
_PATIENCE = 10.0
"""Seconds a client has to say what it wants."""


class LiveHost:
    """Listens, answers one operation at a time, and knows when to leave."""

    def __init__(self, settings: Settings, idle_seconds: float, kept_bytes: int) -> None:
        self.settings = settings
        self.models = Models(kept_bytes)
        self.leaving = ""
        """Why the server is about to end: '' while it is not."""
        self._reason = RetortError("The engine is about to end.", "Ask again: it starts anew.")
        """What those hear whose answer is broken off."""
        self._watch_memory = guards.ResourceWatch(
            memory.limit_of(settings.limits.memory), None, self._too_large, self._end_now, _GRACE
        )
        self._idle_seconds = idle_seconds
        self._secret = secrets.token_hex(32)
        self._computing = threading.Lock()
        self._newest: dict[tuple[str, str], Request] = {}
        self._guard = threading.Lock()
        self._open: list[Request] = []
        self._idle_since = time.monotonic()

    def serve(self) -> None:
        """Answers until it has to leave; then the process is over."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._publish(listener.getsockname()[1])
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            self._watch_memory.start()
            self._watch()
        address_file(self.settings).unlink(missing_ok=True)
        # What is still being computed is told to stop, and does not get longer than this.
        if self._computing.acquire(timeout=_GRACE):
            time.sleep(0.02)  # its last words reach the client
            return
        self._tell_all()

    def _tell_all(self) -> None:
        """The last words to everybody whose operation does not come back."""
        with self._guard:
            left = list(self._open)
        for request in left:
            request.tell(self._broken_off())

    def _watch(self) -> None:
        store = Store(self.settings)
        while not self.leaving:
            with suppress(RetortError, OSError):
                if store.runs.counts().active:
                    self.leaving = "busy"
            with self._guard:
                waiting = list(self._open)
                idle = not waiting and time.monotonic() - self._idle_since > self._idle_seconds
            for request in waiting:
                request.beat()
                self._leave_if_stuck(request)
            if idle and not self.leaving:
                self.leaving = "idle"
            if not self.leaving:
                time.sleep(_LOOK)
        log.info("leaving: %s", self.leaving)

    def _leave_if_stuck(self, request: Request) -> None:
        """What computes in compiled code can only be ended with its process."""
        most, since = self.settings.limits.live_answer_seconds, request.since
        if since is not None and time.monotonic() - since > most and not self.leaving:
            self._reason = RetortError(
                f"The engine worked on this for {most:.0f} seconds without getting any further, so it was ended.",
                "Ask for less text, or choose another model: a tokenizer may take for ever over some texts.",
            )
            self.leaving = "stuck"

    def _too_large(self, reason: RetortError) -> None:
        self._reason = RetortError(
            reason.cause.replace("The job", "The engine for previews"),
            "Choose a smaller model or a shorter text, or raise RETORT_MEMORY_LIMIT. It starts anew when it is asked.",
        )
        self.leaving = self.leaving or "memory"

    def _end_now(self, reason: RetortError) -> None:
        """For a process that grows faster than it leaves."""
        log.warning("ended: %s", reason.cause)
        self._tell_all()
        logging.shutdown()
        os._exit(guards.ENDED)

    def _broken_off(self) -> dict[str, Any]:
        kind = self.leaving if self.leaving == "busy" else "stopped"
        return error_event(kind, self._reason.cause, self._reason.remedy)

    def _publish(self, port: int) -> None:
        write(address_file(self.settings), json.dumps({"port": port, "secret": self._secret}))

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is closed when the server leaves
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            asked = self._read(connection)
            if asked is None:
                return
            op, session, wanted, kept = asked
            actor = Actor(str(kept.get("name", "")), role_in(kept, "viewer"))
            request = Request(self, connection, self.settings.of_run(kept), actor)
            with self._guard:
                self._open.append(request)
            try:
                self._answer(request, op, session, wanted)
            finally:
                with self._guard:
                    self._open.remove(request)
                    self._idle_since = time.monotonic()

    def _read(self, connection: socket.socket) -> tuple[str, str, dict[str, Any], dict[str, Any]] | None:
        """(operation, session, request, settings of whoever asks); None for a stranger or what cannot be read."""
        connection.settimeout(_PATIENCE)
        with connection.makefile("rb") as lines:
            if not hmac.compare_digest(lines.readline(200).strip(), self._secret.encode()):
                return None
            try:
                asked = json_io.load(lines.readline(REQUEST_BYTES))
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
            request.send(error_event("superseded", "", "") if request.superseded else self._broken_off())
        except RetortError as error:
            request.send(error_event("refused", error.cause, error.remedy))
        except OSError:
            raise
        except BaseException as error:
            if not is_failure(error):
                raise
            log.exception("%s failed", op)
            request.send(explained(error))

    def _compute(self, request: Request, op: str, session: str, wanted: dict[str, Any]) -> None:
        self._supersede(request, op, session)
        if not self._computing.acquire(timeout=0.05):
            request.send({"stage": "Waiting for another answer of the engine."})
            while not self._computing.acquire(timeout=0.05):
                request.checkpoint()
        events: Generator[dict[str, Any], None, None] | None = None
        try:
            request.checkpoint()
            self._watch_memory.limit = memory.limit_of(request.settings.limits.memory)
            request.since = time.monotonic()
            events = _generator(function_of(op)(request, wanted))
            for event in events:
                request.send(event)
                request.checkpoint()
        finally:
            if events is not None:
                events.close()  # what it changed is put back now
            request.since = None
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
    found: Callable[[Request, dict[str, Any]], Iterator[dict[str, Any]]] = load_function(OPERATIONS[op])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the server. `--lock` is the descriptor of the server's lock, which whoever started it took."""
    keep_private()
    parser = argparse.ArgumentParser(prog="core.jobs.preview.server")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--lock", type=int, required=True)
    parser.add_argument("--idle", type=float, default=Limits.live_idle_seconds)
    parser.add_argument("--memory", type=int, default=Limits.live_bytes)
    parser.add_argument("--patience", type=float, default=Limits.live_answer_seconds)
    chosen = parser.parse_args(arguments)
    log_to_stderr()
    settings = Settings.load(chosen.home)
    settings = replace(settings, limits=replace(settings.limits, live_answer_seconds=chosen.patience))
    lock = FileLock(live_lock(settings), chosen.lock)
    lock.sign()
    device = FileLock(device_lock(settings, DEVICE))
    if not device.acquire(patience=1.0):
        log.info("a run has the machine")
        return 0
    device.sign(PREVIEWS)
    prepare_process(out_of_memory_score=700)  # nothing is lost with it: before a worker, even
    log.info("process %d answers for %s", os.getpid(), settings.home)
    LiveHost(settings, chosen.idle, chosen.memory).serve()
    logging.shutdown()
    os._exit(0)  # threads that compute are not waited for


if __name__ == "__main__":
    sys.exit(main())
