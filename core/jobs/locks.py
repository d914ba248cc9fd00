"""Liveness and exclusion by kernel file locks: released on any death, unlike a pid that may be reused.

A lock belongs to an open file description, so a child that inherits the descriptor holds the same
lock, and it stays held until the last of them has closed it or died. Lock files are never deleted:
two processes could then hold "the same" lock on two files.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path


class FileLock:
    """An exclusive lock on a file. `release` closes it; a child that inherited it keeps it held."""

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        """`descriptor`: one that was inherited and holds the lock already."""
        self.path = path
        self._descriptor = descriptor
        if descriptor is not None:
            # Programs this process starts must not keep the lock alive.
            os.set_inheritable(descriptor, False)

    @property
    def descriptor(self) -> int:
        """To hand to a child (`pass_fds`). The lock must be held."""
        assert self._descriptor is not None
        return self._descriptor

    def acquire(self, patience: float = 0.0) -> bool:
        """Takes the lock, trying for `patience` seconds; False where somebody else keeps it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        give_up = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever signed it last is dead, and his number may be somebody else's by now.
                os.ftruncate(descriptor, 0)
                self._descriptor = descriptor
                return True
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    os.close(descriptor)
                    return False
                time.sleep(0.01)

    def release(self) -> None:
        """Closes this process's copy. Not LOCK_UN, which would unlock a child's copy as well."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def sign(self, purpose: str = "", pid: int | None = None) -> None:
        """Writes into the file who holds the lock and what for: this process, or the one `pid` that inherits it.

        The process id is the address for signals while the lock is held.
        """
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{pid or os.getpid()} {purpose}".encode(), 0)


def held(path: Path) -> bool:
    """Whether somebody holds the lock. It is touched for an instant: takers of such a lock need some patience."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Holder:
    """Who signed a lock: a process, and what it holds it for ('' where it did not say)."""

    pid: int
    purpose: str


def holder(path: Path) -> Holder | None:
    """Who signed a lock file; means something only while the lock is held."""
    try:
        number, _, purpose = path.read_text().strip().partition(" ")
        pid = int(number)
    except (OSError, ValueError):
        return None
    return Holder(pid, purpose) if pid > 1 else None


def signer(path: Path) -> int | None:
    """The process id in a lock file; means something only while the lock is held."""
    found = holder(path)
    return None if found is None else found.pid
