"""What Retort writes is its user's alone, whatever umask it was started with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o077
_found: int | None = None  # the umask this process was started with


def keep_private() -> None:
    """First thing in every program: files it makes from now on are 0600 and folders 0700, and those of its children,
    whichever library makes them."""
    global _found
    before = os.umask(_OTHERS)
    _found = before if _found is None else _found


def hand_on(path: Path) -> None:
    """Gives a file or folder that somebody asked to be written where they said what their own umask would give it."""
    if _found is None:
        return
    for one in (path, *_below(path)):
        with suppress(OSError):
            one.chmod((0o777 if one.is_dir() else 0o666) & ~_found)


def tighten(home: Path) -> None:
    """Takes a home of an earlier version away from others: the folder itself last, which says that it is done."""
    with suppress(OSError):
        if not stat.S_IMODE(home.stat().st_mode) & _OTHERS:
            return
    for one in (*_below(home), home):
        with suppress(OSError):  # somebody else's, or gone meanwhile
            mode = stat.S_IMODE(one.lstat().st_mode)
            if mode & _OTHERS:
                one.chmod(mode & ~_OTHERS)


def _below(folder: Path) -> Iterator[Path]:
    """Everything inside a folder but links, which may lead elsewhere; nothing where it is a file."""
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at, name)
            if not path.is_symlink():
                yield path
