"""Turns what a file system or SQLite says into one sentence of cause and one of remedy."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import RetortError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


def explain_os(error: OSError, folder: Path) -> RetortError | None:
    """The sentence for a full or read-only disk; None where the error is something else."""
    if error.errno in _FULL:
        return disk_full(folder)
    if error.errno in _DENIED or isinstance(error, (FileExistsError, NotADirectoryError)):
        return read_only(folder)
    return None


def explain_sqlite(error: sqlite3.Error, folder: Path) -> RetortError:
    """The sentence for an SQLite error about the index in `folder`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return disk_full(folder)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return read_only(folder)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RetortError(
            "Another program kept Retort's data locked for too long.",
            "Close the program that has retort.sqlite3 open, or wait until it is finished, and try again.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return RetortError(
            f"The file retort.sqlite3 in {folder} is damaged.",
            "Start Retort again, or use 'python -m core home rebuild': it is made again from the folders, and kept.",
        )
    if code == sqlite3.SQLITE_IOERR:
        return RetortError(
            f"Retort's data in {folder} could not be written ({error}).",
            "Check that the disk has space left and works, then try again.",
        )
    return RetortError(
        f"Retort's data could not be read or written ({error}).", "Try again, and report it if it stays."
    )


def disk_full(folder: Path) -> RetortError:
    return RetortError(
        f"The disk that holds {folder} is full.",
        "Free some space, or delete old runs on the Runs page, then retry: finished trials are kept.",
    )


def read_only(folder: Path) -> RetortError:
    return RetortError(
        f"Retort may not write to its data folder {folder}.",
        "Give this user write permission, or choose another folder with RETORT_HOME or --home.",
    )


@contextmanager
def plain_errors(folder: Path) -> Iterator[None]:
    """Raises `RetortError` in place of SQLite's errors and of the file system's usual ones."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise explain_sqlite(error, folder) from error
    except OSError as error:
        plain = explain_os(error, folder)
        if plain is None:
            raise
        raise plain from error
