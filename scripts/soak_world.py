"""The world of the soak: a home, its server with a page open, its processes, and how a user brings them back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import preview_process
from core.jobs.executors import device_lock, worker_lock
from core.jobs.locks import held, signer
from core.jobs.preview import client
from core.jobs.runner import runner_lock
from core.store import Store
from scripts import dashboard

PATIENCE = 120.0
"""Seconds within which a process must have come back, or a lock must be free, however busy the machine is."""


@dataclass
class World:
    """One home and everything that runs on it."""

    settings: Settings
    problems: list[str] = field(default_factory=list)
    server: subprocess.Popen[bytes] | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.store = Store(self.settings)
        self.folder = self.settings.home.parent

    # Processes by the lock they hold: what the program itself goes by.

    def pids(self, victim: str) -> list[int]:
        """The living processes a kill means."""
        if victim == "server":
            return [self.server.pid] if self.server is not None and self.server.poll() is None else []
        if victim == "runner":
            return _holder(runner_lock(self.settings))
        if victim == "preview server":
            return _holder(preview_process.live_lock(self.settings))
        if victim == "worker":
            active = self.store.runs.find(states=["running"])
            return [pid for run in active for pid in _holder(worker_lock(self.settings, run.id))]
        return [p.pid for p in self.strangers()]  # those that have not signed their lock yet as well

    def kill(self, victim: str) -> bool:
        """SIGKILL, one right after the other; False where nobody was there. Waits until they are gone."""
        pids: list[int] = []
        while new := [pid for pid in self.pids(victim) if pid not in pids]:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pids += new
            if victim != "all":
                break
        for pid in pids:
            self.until(lambda: gone(pid), f"process {pid} did not end")  # noqa: B023 (called at once)
        if self.server is not None and self.server.pid in pids:
            self.server.wait()
            self.server = None
        return bool(pids)

    def until(self, condition: Callable[[], Any], complaint: str, patience: float = PATIENCE) -> bool:
        """Waits for a condition; a problem is recorded where it does not come true."""
        give_up = time.monotonic() + patience
        while not condition():
            if time.monotonic() > give_up:
                self.problems.append(complaint)
                return False
            time.sleep(0.02)
        return True

    # What a user does.

    def comes_back(self) -> None:
        """Starts the server again where it is gone, and opens the Runs page, as a user would."""
        if self.server is None:
            self.start_server()
        said = visit(self.port, "runs")
        if said:
            self.problems.append(f"the Runs page showed: {said}")

    def start_server(self) -> None:
        self.port = dashboard.free_port()
        with (self.folder / "server.log").open("ab") as out:
            self.server = dashboard.start(self.settings, self.port, out)
        self.until(lambda: dashboard.answers(self.port), "the server did not start")

    def ask_preview_server(self, model: str) -> threading.Thread:
        """Asks the preview server to write, as Compare does. Anything but an answer or a sentence is a problem."""

        def ask() -> None:
            try:
                for _ in client.ask(
                    self.settings, LOCAL, "generate", {"models": [model], "prompt": "the", "tokens": 200}
                ):
                    pass
            except RetortError:
                pass  # a sentence: busy, or lost in the middle of its answer
            except Exception as error:
                self.problems.append(f"asking the preview server raised {type(error).__name__}: {error}")

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        return thread

    def locks_are_free(self) -> None:
        """After everything was killed nobody holds anything."""
        locks = [runner_lock(self.settings), preview_process.live_lock(self.settings), device_lock(self.settings)]
        locks += [worker_lock(self.settings, p.name) for p in self.settings.runs.glob("*")]
        for lock in locks:
            self.until(lambda: not held(lock), f"{lock.name} is held though its process is dead", 20)  # noqa: B023

    def leaves_nothing(self) -> None:
        """Ends what still runs and records any process of this home that has no reason to be there."""
        self.kill("all")
        self.until(lambda: not self.strangers(), "a process of this home was left behind", 30)
        for process in self.strangers():
            process.kill()

    def strangers(self) -> list[psutil.Process]:
        """Living processes that work for this home, whoever started them."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get("RETORT_HOME") == str(self.settings.home):
                    found.append(process)
        return found


def visit(port: int, page: str) -> str:
    """Opens a page as a browser does, over Streamlit's own web socket; what went wrong on it, or ''."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    asked = BackMsg()
    asked.rerun_script.query_string = ""
    asked.rerun_script.page_name = page
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    with closing(connect(address, subprotocols=["streamlit"], max_size=None, open_timeout=60)) as socket_:  # type: ignore[list-item]
        socket_.send(asked.SerializeToString())
        give_up, shown = time.monotonic() + PATIENCE, 0
        while time.monotonic() < give_up:
            message = ForwardMsg.FromString(socket_.recv(timeout=PATIENCE))
            kind = message.WhichOneof("type")
            if kind == "delta":
                shown += 1
                element = message.delta.new_element
                if element.WhichOneof("type") == "exception":
                    return f"{element.exception.type}: {element.exception.message}"
            elif kind == "script_finished":
                if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    continue  # a run started or ended while the page was drawn: it is drawn anew, and that one counts
                return "" if shown else "nothing"
    return "no end"


def whole_results(settings: Settings) -> dict[str, tuple[int, int]]:
    """(size, time of writing in ns) of every result file; raises ValueError for one that is not whole."""
    found = {}
    for path in (settings.home / "candidates").glob("*/result.json"):
        with suppress(FileNotFoundError):
            if json.loads(path.read_text())["key"] != path.parent.name:
                raise ValueError(f"{path} is not the result of its folder")
            found[path.parent.name] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def gone(pid: int) -> bool:
    """Dead with all its threads, even if nobody has collected its exit status yet."""
    try:
        process = psutil.Process(pid)
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def leftover_bytes(home: Path) -> int:
    """Bytes under temporary names, which a killed writer left."""
    names = ("*.tmp", "*.partial")
    files = {f for n in names for p in home.rglob(n) for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()}
    return sum(f.stat().st_size for f in files)


def _holder(lock: Path) -> list[int]:
    """The process that holds a lock and signed it."""
    pid = signer(lock) if held(lock) else None
    return [] if pid is None else [pid]
