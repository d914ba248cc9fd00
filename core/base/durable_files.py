"""Files and folders that appear under their name whole or not at all, and are still there after a power cut.

Everything that is renamed into place goes through here: written under a temporary name of its own (two writers never
share one), flushed to the disk, renamed, and the folder's entry flushed. What a writer that was killed leaves behind
ends in `PARTIAL` and is swept up later (core/jobs/cleanup.py).

What is `private` can be read by its owner only, whatever the umask: files 0600, folders 0700. That is the default, for
everything in a home; what a user asked to have elsewhere is written as any program would.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial"
"""How temporary names end."""
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
"""What file systems say that cannot flush a folder: there is nothing more to be done then."""


def write(path: Path, data: str | bytes, *, private: bool = True) -> None:
    """Writes a whole file; text is UTF-8. What was there stays until the new one is complete.

    Raises:
        OSError: it cannot be written; nothing has changed then.
    """
    with replacing(path, private=private) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, *, private: bool = True) -> Iterator[Path]:
    """An empty file under a temporary name beside `path`, which takes its place when the block ends without an error.

    For those who write to a path themselves, such as safetensors and SQLite.
    """
    _make_parents(path, private)
    temporary = _beside(path)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
    try:
        yield temporary
        if private:
            temporary.chmod(0o600)  # some writers make a file of their own
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, *, private: bool = True, flush: bool = True) -> Iterator[Path]:
    """An empty folder under a temporary name beside `path`, which takes its place when the block ends without an error.

    All files that were written in it are flushed first; not with `flush` off, for what will be thrown away.
    """
    _make_parents(path, private)
    temporary = _beside(path)
    temporary.mkdir(mode=0o700 if private else 0o777)
    try:
        yield temporary
        put_in_place(temporary, path, private=private, flush=flush)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(source: Path, target: Path, *, private: bool = True, flush: bool = True) -> None:
    """Flushes the folder `source` with all its files and renames it to `target`, on the same disk.

    What lay there is moved aside first, comes back if the rename fails, and is removed once it is replaced.
    """
    _make_parents(target, private)
    for path in (source, *source.rglob("*")):
        if path.is_symlink():
            continue
        if private:
            path.chmod(0o700 if path.is_dir() else 0o600)
        if flush:
            _flush(path)
    old = _beside(target)
    with suppress(FileNotFoundError):
        os.rename(target, old)
    try:
        os.rename(source, target)
    except BaseException:
        with suppress(OSError):
            os.rename(old, target)
        raise
    _flush(target.parent)
    if source.parent != target.parent:
        _flush(source.parent)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Renames a file or folder as it is, to a name in a folder that is made where it is missing, and flushes both."""
    make_folder(target.parent)
    os.rename(source, target)
    _flush(target.parent)
    _flush(source.parent)


def make_folder(path: Path) -> None:
    """The folder, and those above it that are missing, for the owner only. One that is there stays as it is."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(exist_ok=True)  # says so where a file lies there


def _make_parents(path: Path, private: bool) -> None:
    """Only a home's folders are made: whoever names a place elsewhere has to have it."""
    if private:
        make_folder(path.parent)


def _beside(path: Path) -> Path:
    """A name that nobody else uses, in the same folder and so on the same disk."""
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}{PARTIAL}")


def _flush(path: Path) -> None:
    """Makes sure that a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
