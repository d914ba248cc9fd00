"""Child processes of a fetch (watched, cancellable, output in a file, never a pipe) and the lock around it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import core

POLL_SECONDS = 0.2


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a file lock; calls `waiting` a few times a second until it is free.

    The kernel lets go of it once this process and the children started under it are all gone, so whoever
    holds it next never meets a child that still writes.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def run_child(arguments: list[str], log: Path, environment: dict[str, str], poll: Callable[[], None]) -> int:
    """Runs this Python with `arguments`, calling `poll` a few times a second; returns the exit status.

    Whatever `poll` raises (a cancellation) ends the child before it is passed on.
    """
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # `-m` finds Retort in the working folder: on PYTHONPATH a folder's name may hold the separator.
            cwd=Path(core.__file__).resolve().parent.parent,
            env=os.environ | environment,
            close_fds=False,  # the lock's descriptor is the one that may be inherited
        )
        try:
            while child.poll() is None:
                poll()
                time.sleep(POLL_SECONDS)
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
    return child.returncode


def last_line(log: Path) -> str:
    """The last line a child wrote that says anything."""
    lines = log.read_text("utf-8", "replace").replace("\r", "\n").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`; files that vanish while it looks are not counted."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_size
            except OSError:
                continue
    return total
