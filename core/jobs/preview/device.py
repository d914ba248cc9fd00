"""The device for work outside a run: no run starts beside it, and it disturbs nobody's figures."""

from __future__ import annotations

from core.base.roles import Actor
from core.base.settings import Settings
from core.jobs.executors import COMMAND, device_lock
from core.jobs.locks import FileLock
from core.jobs.preview import client


def take_device(settings: Settings, actor: Actor, command: str) -> FileLock | None:
    """The device's lock, to be released afterwards; None while a run or another command has the device.

    The preview server makes room, or is ended where it does not. Hand its descriptor to the process that computes
    (`pass_fds`): the lock then lives as long as that does.

    Args:
        command: which command wants it, for whoever waits for it meanwhile.
    """
    lock = FileLock(device_lock(settings))
    if not lock.acquire():
        client.release(settings, actor)
        if not lock.acquire(patience=0.1):
            return None
    lock.sign(f"{COMMAND}{command}")
    return lock
