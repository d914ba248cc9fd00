"""Where jobs run. An executor starts, watches and stops them; the runner decides which and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import core
from core.base.durable_files import make_folder, move
from core.base.settings import Settings
from core.jobs import preview_process
from core.jobs.locks import FileLock, held, holder, signer
from core.jobs.logs import log_path

PROJECT = Path(core.__file__).resolve().parent.parent
DEVICE = "cpu"
"""The one device of the local executor: the whole machine, since any other work would spoil a latency figure."""
RUN, COMMAND = "run ", "command "
"""What the device is held for, as it stands in its lock: before a run's id, and before a command's name."""
_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class Ended:
    """A job is over. `status` is its exit status, minus the signal's number if one ended it; None if unknown."""

    status: int | None


class Executor(Protocol):
    """A place that can run jobs, each named by its run's id."""

    def submit(self, run_id: str, claim: Callable[[], bool]) -> bool:
        """Reserves a place, then calls `claim`, then starts the job.

        False where there is no place now or `claim` says that the run is not to be had. The place is held
        from the claim on and until the job's process ends, even if the runner dies in between.
        """

    def poll(self, run_id: str) -> Ended | None:
        """None while the job runs. Once it has ended the executor forgets it."""

    def cancel(self, run_id: str, force: bool) -> None:
        """Asks the job to stop, or with `force` ends it."""

    def recover(self, run_id: str) -> bool:
        """Takes over the job which an earlier runner started for this run; False where it no longer lives."""


class LocalExecutor:
    """One process a job on this machine, each in a process group of its own."""

    def __init__(self, settings: Settings, device: str = DEVICE) -> None:
        self._settings = settings
        self._device_lock = device_lock(settings, device)
        self._jobs: dict[str, subprocess.Popen[bytes] | None] = {}
        """None: adopted from an earlier runner, known by its lock only."""
        self._wanted_since: float | None = None
        """Since when a run waits for the device, on the monotonic clock."""

    def submit(self, run_id: str, claim: Callable[[], bool]) -> bool:
        device, own = FileLock(self._device_lock), FileLock(worker_lock(self._settings, run_id))
        try:
            if not device.acquire():
                self._make_room()
                return False
            self._wanted_since = None
            if not own.acquire() or not claim():
                return False
            self._jobs[run_id] = self._start(run_id, device, own)
            return True
        finally:
            device.release()
            own.release()

    def _make_room(self) -> None:
        """Ends a preview server that has not left by itself for a while though a run waits."""
        now = time.monotonic()
        self._wanted_since = now if self._wanted_since is None else self._wanted_since
        if now - self._wanted_since > self._settings.limits.live_leave_seconds:
            user = holder(self._device_lock)
            if user is not None and user.purpose == preview_process.PREVIEWS:
                preview_process.end(self._settings, "a run waits for this machine")
            self._wanted_since = None

    def poll(self, run_id: str) -> Ended | None:
        process = self._jobs[run_id]
        if process is None:
            if held(worker_lock(self._settings, run_id)):
                return None
            del self._jobs[run_id]
            return Ended(None)
        status = process.poll()
        if status is None:
            return None
        del self._jobs[run_id]
        # What the job had started must not go on without it.
        _signal_group(process.pid, signal.SIGKILL)
        return Ended(status)

    def cancel(self, run_id: str, force: bool) -> None:
        number = signal.SIGKILL if force else signal.SIGTERM
        process = self._jobs[run_id]
        if process is not None:
            _signal_group(process.pid, number)
            return
        # While the lock is held, the one who signed it lives, so the number is still its own.
        lock = worker_lock(self._settings, run_id)
        pid = signer(lock)
        if pid is not None and held(lock):
            _signal_group(pid, number)

    def recover(self, run_id: str) -> bool:
        if not held(worker_lock(self._settings, run_id)):
            return False
        self._jobs[run_id] = None
        return True

    def _start(self, run_id: str, device: FileLock, own: FileLock) -> subprocess.Popen[bytes]:
        folder = self._settings.run_folder(run_id)
        command = [sys.executable, "-m", "core.jobs.worker", "--home", str(self._settings.home), "--run", run_id]
        command += ["--lock", str(own.descriptor), "--device-lock", str(device.descriptor)]
        process = spawn(command, log_path(folder), (own.descriptor, device.descriptor), self._settings)
        own.sign(pid=process.pid)
        device.sign(f"{RUN}{run_id}", process.pid)
        return process


def spawn(
    command: list[str], output: Path, descriptors: tuple[int, ...], settings: Settings
) -> subprocess.Popen[bytes]:
    """Starts a process detached from this one: own session and group, no input, output appended to a file."""
    make_folder(output.parent)
    environment = {**os.environ, **settings.environment(), "PYTHONUNBUFFERED": "1"}
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
            start_new_session=True,
        )


def start_detached(command: list[str], output: Path, lock: FileLock, settings: Settings) -> None:
    """`spawn`s a process that inherits `lock`, which is held from this moment on: nobody starts a second one.

    An output file that has grown is put aside first.
    """
    if output.exists() and output.stat().st_size > _LOG_BYTES:
        move(output, output.with_suffix(".old.log"))
    process = spawn([*command, "--lock", str(lock.descriptor)], output, (lock.descriptor,), settings)
    lock.sign(pid=process.pid)  # so that it can be ended from its first moment on
    # Collects the exit status when it ends, so that a long-lived server has no zombies.
    threading.Thread(target=process.wait, name=f"{output.stem}-wait", daemon=True).start()


def device_lock(settings: Settings, device: str = DEVICE) -> Path:
    """Held, and signed, by whoever computes on the device: a run's worker, a command, or the preview server."""
    return settings.locks / f"device-{device}.lock"


def worker_lock(settings: Settings, run_id: str) -> Path:
    """Held as long as the run's worker lives."""
    return settings.run_folder(run_id) / "worker.lock"


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
