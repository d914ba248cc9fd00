"""The preview server as a process: the lock it holds, where it listens, and how it is ended when it does not leave."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from core.base.settings import Settings
from core.jobs.locks import held, signer

log = logging.getLogger("retort")
PREVIEWS = "previews"
"""What the preview server holds the device for, as it stands in the device's lock."""
_DEATH_SECONDS = 10.0


def live_lock(settings: Settings) -> Path:
    """Held as long as the server lives."""
    return settings.locks / "live.lock"


def address_file(settings: Settings) -> Path:
    """`{"port": ..., "secret": ...}` of the living server; readable by its user only."""
    return settings.home / "preview-server.json"


def wait_until_gone(settings: Settings, seconds: float) -> bool:
    """Whether the server is gone, at the latest after so many seconds."""
    give_up = time.monotonic() + seconds
    while held(live_lock(settings)):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def end(settings: Settings, why: str) -> bool:
    """Kills the server with all it started; True where none lives afterwards. Nothing is lost: it only ever previews.

    For one that does not leave by itself: a stopped process, or one that computes for minutes in compiled code.
    """
    lock = live_lock(settings)
    pid = signer(lock)
    if held(lock) and pid is not None:  # while the lock is held, the number is still its own
        log.warning("ending the preview process %d: %s", pid, why)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # it leads a group of its own
    return wait_until_gone(settings, _DEATH_SECONDS)
