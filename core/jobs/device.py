"""The device for work outside a run: no run starts beside it, and it disturbs nobody's figures. Light: no torch."""

from __future__ import annotations

from core.jobs import live
from core.jobs.executors import device_lock
from core.jobs.locks import FileLock
from core.settings import Settings


def take_device(settings: Settings) -> FileLock | None:
    """The device's lock, to be released afterwards; None while a run has the device. The live host makes room.

    Hand its descriptor to the process that computes (`pass_fds`): the lock then lives as long as that does.
    """
    lock = FileLock(device_lock(settings))
    if lock.acquire():
        return lock
    live.release(settings)
    return lock if lock.acquire(patience=0.1) else None
