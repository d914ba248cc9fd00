"""Asks the preview server: one detached process per home that keeps models in memory.

The server is started by whoever asks first. It listens on the loopback interface; port and secret lie in a
file only its user may read. It leaves as soon as a run is queued, and when nobody has asked for a while.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.base import json_io
from core.base.errors import RetortError
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.jobs.executors import start_detached
from core.jobs.locks import FileLock, held
from core.jobs.preview_process import address_file, end, live_lock, wait_until_gone
from core.store import Store
from core.store.problems import plain_errors

REQUEST_BYTES = 1 << 20
EVENT_BYTES = 16 << 20
_START_SECONDS = 60.0
_SHORT_SECONDS = 5.0
"""How long somebody who asks for nothing that is computed waits for the answer."""


class Busy(RetortError):
    """A run has the machine, so nothing is computed beside it."""

    def __init__(self) -> None:
        super().__init__("A run is using this machine.", "Previews come back when it has ended.")


class Superseded(Exception):
    """A newer request of the same session took the place of this one; nobody has to be told."""


@dataclass(frozen=True)
class LiveStatus:
    """How the server is: `off` (it starts when asked), `ready`, `busy` (a run has the machine), or `silent` (it is
    there and does not answer: it starts just now, or is stuck and is ended by whoever needs the machine).

    `models`: folders of the models in memory. `pid`: the server's process, for information only.
    """

    state: Literal["off", "ready", "busy", "silent"]
    models: tuple[str, ...] = ()
    bytes: int = 0
    pid: int | None = None


def ask(
    settings: Settings, actor: Actor, op: str, request: dict[str, Any], *, session: str = ""
) -> Iterator[dict[str, Any]]:
    """Events of the answer, in order; the last one has `"done": True`. Closing the iterator cancels the request.

    Args:
        actor: who asks; the operation may no more than they may.
        op: a name in `core.jobs.preview.operations`.
        request: what the operation needs; JSON.
        session: a newer request of the same session and operation supersedes an older one that is not done.

    Raises:
        Busy: a run is queued or running.
        Superseded: a newer request of this session came.
        RetortError: what the server refused, that it could not be started or was lost, or no right to.
    """
    check(actor, "run")
    asked = {"op": op, "session": session, "request": request, "settings": settings.kept(actor)}
    line = json.dumps(asked).encode() + b"\n"
    if len(line) > REQUEST_BYTES:
        raise RetortError("This request is too long for the preview server.", "Shorten the text.")
    refuse_if_busy(settings)
    if not held(live_lock(settings)):
        yield {"stage": "Starting the engine."}
    with closing(_connect(settings)) as connection:
        connection.settimeout(settings.limits.live_silence_seconds)
        try:
            yield from _events(connection, line, settings)
        except TimeoutError:
            raise _ended_silent(settings, settings.limits.live_silence_seconds) from None


def status(settings: Settings, actor: Actor) -> LiveStatus:
    """How the server is; starts nothing. Raises RetortError where there is no right to look."""
    check(actor, "look")
    if Store(settings).runs.counts().active:
        return LiveStatus("busy")
    for event in _ask_running(settings, "status"):
        return LiveStatus("ready", tuple(event["models"]), event["bytes"], event["pid"])
    return LiveStatus("silent" if held(live_lock(settings)) else "off")


def release(settings: Settings, actor: Actor) -> bool:
    """Ends the server, if there is one, and waits until it is gone; one that does not leave is killed.

    True where none is left. Raises RetortError where there is no right to.
    """
    check(actor, "run")
    _ask_running(settings, "release")
    if wait_until_gone(settings, settings.limits.live_leave_seconds):
        return True
    return end(settings, "somebody else needs this machine")


def refuse_if_busy(settings: Settings) -> None:
    """Raises Busy where a run is queued or running."""
    if Store(settings).runs.counts().active:
        raise Busy


def _ask_running(settings: Settings, op: str) -> list[dict[str, Any]]:
    """The answer of a server that is there already; empty where there is none."""
    line = json.dumps({"op": op, "session": "", "request": {}, "settings": {}}).encode() + b"\n"
    connection = _try(settings)
    if connection is None:
        return []
    with closing(connection), suppress(RetortError, OSError):
        connection.settimeout(_SHORT_SECONDS)
        return list(_events(connection, line, settings))
    return []


def _events(connection: socket.socket, line: bytes, settings: Settings) -> Iterator[dict[str, Any]]:
    try:
        connection.sendall(line)
        with connection.makefile("rb") as answers:
            while raw := answers.readline(EVENT_BYTES):
                if raw == b"\n":  # nothing to say yet, and alive
                    continue
                event: dict[str, Any] = json.loads(raw)
                if "error" in event:
                    raise _error(event["error"])
                yield event
                if event.get("done"):
                    return
    except TimeoutError:
        raise
    except (OSError, ValueError):
        pass
    refuse_if_busy(settings)
    raise RetortError("The engine stopped in the middle of its answer.", "Ask again: it starts anew.")


def _error(error: dict[str, str]) -> Exception:
    if error["kind"] == "superseded":
        return Superseded()
    return Busy() if error["kind"] == "busy" else RetortError(error["cause"], error["remedy"])


def _connect(settings: Settings) -> socket.socket:
    """A connection to the server, which is started where none lives. One that takes no connection is ended."""
    give_up, starts = time.monotonic() + _START_SECONDS, 0
    while time.monotonic() < give_up:
        connection = _try(settings)
        if connection is not None:
            return connection
        refuse_if_busy(settings)
        with plain_errors(settings.home):
            lock = FileLock(live_lock(settings))
            if lock.acquire(patience=0.05):
                try:
                    if starts == 2:
                        break
                    starts += 1
                    _start(settings, lock)
                finally:
                    lock.release()
        time.sleep(0.05)
    if held(live_lock(settings)):
        raise _ended_silent(settings, _START_SECONDS)
    raise RetortError(
        "The engine for previews could not be started.",
        f"Read {_log(settings).name} in the data folder for the reason, then try again.",
    )


def _ended_silent(settings: Settings, seconds: float) -> RetortError:
    """Ends a server that hangs, and says so."""
    end(settings, "it did not answer")
    return RetortError(
        f"The engine for previews did not answer for {seconds:.0f} seconds, so it was ended.",
        "Ask again: it starts anew. If it happens with the same model again, choose another model or a shorter text.",
    )


def _try(settings: Settings) -> socket.socket | None:
    """A connection to a server that lives: an address without one may be somebody else's by now."""
    if not held(live_lock(settings)):
        return None
    try:
        address = json_io.load(address_file(settings).read_bytes())
        connection = socket.create_connection(("127.0.0.1", int(address["port"])), timeout=5)
        connection.sendall(address["secret"].encode() + b"\n")
    except (OSError, ValueError, KeyError):
        return None
    return connection


def _start(settings: Settings, lock: FileLock) -> None:
    address_file(settings).unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "core.jobs.preview.server",
        "--home",
        str(settings.home),
        "--idle",
        str(settings.limits.live_idle_seconds),
        "--memory",
        str(settings.limits.live_bytes),
        "--patience",
        str(settings.limits.live_answer_seconds),
    ]
    start_detached(command, _log(settings), lock, settings)


def _log(settings: Settings) -> Path:
    return settings.home / "preview-server.log"
