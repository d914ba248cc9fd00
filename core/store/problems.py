"""Turns what a file system or SQLite says into one sentence of cause and one of remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.base.errors import RetortError
from core.base.text import one_line

DATABASE = "retort.sqlite3"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


def explain_os(error: OSError, folder: Path) -> RetortError | None:
    """The sentence for a full or read-only disk; None where the error is something else."""
    if error.errno in _FULL:
        return disk_full(folder)
    if error.errno == errno.ENAMETOOLONG:
        return too_long(folder)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return in_the_way(folder)
    if error.errno in _DENIED:
        return read_only(folder)
    if error.errno == errno.ENOENT and not folder.is_dir():
        return RetortError(
            f"The data folder {folder} is not there and cannot be made.",
            "Choose another with RETORT_HOME or --home.",
        )
    return None


def explain_sqlite(error: sqlite3.Error, folder: Path) -> RetortError:
    """The sentence for an SQLite error about the index in `folder`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return disk_full(folder)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and (folder / DATABASE).is_dir():
        return RetortError(
            f"There is a folder called {DATABASE} in {folder}, where Retort's own file of that name belongs.",
            "Move it elsewhere, or choose another data folder with RETORT_HOME or --home.",
        )
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
        "Free some space, or delete old runs on the Runs page, then retry: finished candidates are kept.",
    )


def too_long(folder: Path) -> RetortError:
    return RetortError(
        f"The path of the data folder is longer than this system allows: {one_line(str(folder), 120)}",
        "Choose a shorter one with RETORT_HOME or --home.",
    )


def in_the_way(folder: Path) -> RetortError:
    """For a file that stands where a folder is needed."""
    found = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), folder)
    what = "is a file" if found.is_file() else "is no folder"
    return RetortError(
        f"Retort's data folder cannot be {folder}: {found} {what}."
        if found.exists() and not found.is_dir()
        else f"A file in the data folder {folder} stands where Retort needs a folder of that name.",
        "Move it elsewhere, or choose another data folder with RETORT_HOME or --home.",
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
