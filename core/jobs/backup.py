"""The data folder in one archive, taken while Retort runs, and back into an empty one.

Left out is what can be had again: samples, the cache, locks, what waits for its deletion, and half-written files.
Small files are read whole before they are written, so that one which changes meanwhile is in it as it was at one
moment; large ones never change under their name. The index is copied as it is at one moment; where a run goes on, its
folder may be a moment newer, so after a restore the index is made again from the folders.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from core.base.durable_files import PARTIAL, make_folder, put_in_place, replacing
from core.base.errors import RetortError
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.jobs.home_check import rebuild_home
from core.registry.formatting import show_bytes
from core.store.problems import plain_errors
from core.store.snapshot import snapshot

_LEFT_OUT = {"samples", "cache", "locks", "trash"}
_LAST = "backup.json"
_COMPRESSED = (".tar.gz", ".tgz")
_WHOLE = 64_000_000
"""Files up to this size are read before they are written."""
_OURS = "Name a file that 'python -m core backup' wrote."
_ALIEN = "It is not a backup of Retort, or is damaged."


class Packed(NamedTuple):
    """What an archive holds."""

    files: int
    bytes: int


def back_up(target: Path, settings: Settings, actor: Actor) -> Packed:
    """Writes the archive: `.tar`, or `.tar.gz` and `.tgz` compressed. One of that name is replaced by a whole one.

    Raises:
        RetortError: no right to, nothing to save, another ending, or a file that cannot be read or written.
    """
    check(actor, "backup")
    _refuse_other_endings(target.name)
    home = settings.home
    if not settings.database.is_file():
        raise RetortError(f"There is no data in {home} yet.", "Name the data folder with --home or RETORT_HOME.")
    if target.resolve().is_relative_to(home.resolve()):
        raise RetortError("The archive would lie in the data folder it saves.", "Name a file elsewhere.")
    count = size = 0
    make_folder(settings.cache)
    with (
        plain_errors(target.parent),
        tempfile.TemporaryDirectory(dir=settings.cache, suffix=PARTIAL) as folder,
        replacing(target) as temporary,
        _opened(temporary, target.name) as archive,
    ):
        index = Path(folder) / settings.database.name
        snapshot(settings.database, index)
        size += _add(archive, index, index.name)
        for path in _files(settings):
            with suppress(FileNotFoundError):  # deleted meanwhile
                size += _add(archive, path, str(path.relative_to(home)))
                count += 1
        _close(archive, count + 1)
    return Packed(count + 1, size)


def restore(source: Path, settings: Settings, actor: Actor) -> str:
    """Puts an archive into a data folder without runs, makes its index again, and says in a sentence what came back.

    Raises:
        RetortError: no right to, data that is there already, no archive of `back_up`, or not enough room.
    """
    check(actor, "backup")
    home = settings.home
    there = [p.name for p in (settings.runs, home / "candidates", settings.database) if p.exists()]
    if there:
        raise RetortError(
            f"{home} holds data already ({', '.join(there)}).",
            "Restore into an empty folder: name one with --home or RETORT_HOME.",
        )
    make_folder(home)
    fresh = home / f"restored{PARTIAL}"
    with plain_errors(home):
        shutil.rmtree(fresh, ignore_errors=True)  # of a restore that was stopped
        try:
            with tarfile.open(source, "r:*") as archive:
                members = _whole(archive, source.name)
                _refuse_too_large(sum(m.size for m in members), home)
                archive.extractall(fresh, members, filter="data")
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise RetortError(f"{source.name} cannot be read. {_ALIEN}", _OURS) from error
        else:
            for entry in sorted(fresh.iterdir()):
                put_in_place(entry, home / entry.name)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return rebuild_home(settings, actor)


def _close(archive: tarfile.TarFile, files: int) -> None:
    """How many files there are, in the last: tar itself does not notice that its end is missing."""
    last, text = tarfile.TarInfo(_LAST), json.dumps({"files": files}).encode()
    last.size = len(text)
    archive.addfile(last, io.BytesIO(text))


def _whole(archive: tarfile.TarFile, name: str) -> list[tarfile.TarInfo]:
    """What is to be written; RetortError where that is not all, or more than a backup has."""
    members = archive.getmembers()
    last = archive.extractfile(members.pop()) if members and members[-1].name == _LAST else None
    if last is None or json.loads(last.read(1000)) != {"files": len(members)}:
        raise RetortError(f"{name} is not whole. {_ALIEN}", _OURS)
    return [_checked(m) for m in members]


def _refuse_other_endings(name: str) -> None:
    if not name.endswith((".tar", *_COMPRESSED)):
        raise RetortError(f"{name} is no name of an archive.", "End it with .tar, or .tar.gz to compress it.")


def _opened(path: Path, name: str) -> tarfile.TarFile:
    """Weights hardly get smaller, so little time is spent on that."""
    return tarfile.open(path, "w:gz", compresslevel=1) if name.endswith(_COMPRESSED) else tarfile.open(path, "w")


def _files(settings: Settings) -> Iterator[Path]:
    """Files that cannot be had again. Links are not followed: what they lead to lies elsewhere."""
    for folder, below, names in os.walk(settings.home):
        if Path(folder) == settings.home:
            below[:] = [b for b in below if b not in _LEFT_OUT]
        below[:] = sorted(b for b in below if not b.endswith(PARTIAL))
        for name in sorted(names):
            path = Path(folder, name)
            index = Path(folder) == settings.home and name.startswith(settings.database.name)
            if not index and not name.endswith((PARTIAL, ".tmp")) and path.is_file() and not path.is_symlink():
                yield path


def _add(archive: tarfile.TarFile, path: Path, name: str) -> int:
    """Bytes that were written of the file."""
    with path.open("rb") as file:
        member = archive.gettarinfo(arcname=name, fileobj=file)
        member.mode, member.uname, member.gname = 0o600, "", ""
        if member.size <= _WHOLE:
            text = file.read()
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        else:
            archive.addfile(member, file)
    return member.size


def _checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member as it will be written: for its owner alone."""
    parts = Path(member.name).parts
    if not member.isfile() or not parts or Path(member.name).is_absolute() or ".." in parts or parts[0] in _LEFT_OUT:
        raise RetortError(
            f"The archive holds '{member.name[:80]}', which no backup has.", "Name a file that 'backup' wrote."
        )
    member.mode = 0o600
    return member


def _refuse_too_large(needed: int, home: Path) -> None:
    free = shutil.disk_usage(home).free
    if needed > free:
        raise RetortError(
            f"The archive holds {show_bytes(needed)}, and {show_bytes(free)} are free in {home}.",
            "Make room, or restore elsewhere.",
        )
