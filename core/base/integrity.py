"""Notices that what Retort saved itself is no longer what was written, before it is used.

Beside a file or folder `X` that is sealed lies `.X.sums.json`: the size and SHA-256 of each of its files, and the times
of last write and change at which they had these bytes.

Before use names, sizes and times are compared and no byte is read, which takes microseconds a file. Where a time
differs (the home was copied or restored, or somebody wrote there) the file is read whole, once: with the same SHA-256
it is the same file, and its new times are noted. So what is cut short, emptied, overwritten, replaced or gone is
noticed; bytes that rot on the disk without being written are not, until `thorough` reads everything
(`python -m core home check`).
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.base import durable_files
from core.base.json_io import load
from core.base.text import one_line
from core.base.untrusted_files import read_bounded, reason

log = logging.getLogger("retort")
_NOTE_BYTES = 16_000_000
_COUNT = (".safetensors", ".json", ".model", ".jinja", ".bin", ".py")
"""Endings of files that loaders look for: one more of these in a folder could be loaded instead of ours."""

_CLOCK_STEP = 20_000_000  # nanoseconds; Linux: 1 to 10 ms

Times = tuple[int, int]
"""Of last write and of last change, nanoseconds. The second cannot be set by a program."""
_seen: dict[str, tuple[int, Times, str]] = {}
"""Files this process has read: size, times, SHA-256. For homes whose notes it may not write."""


class Sum(BaseModel):
    """One file as it was written."""

    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str
    times: Times


class _Note(BaseModel):
    made: int
    """Nanoseconds since 1970."""
    files: dict[str, Sum]

    def proves(self, known: Sum, times: Times) -> bool:
        """Whether equal times mean equal bytes. The kernel's clock for files goes in steps: one that was changed just
        before the note was made may have been changed once more in the same step."""
        return times == known.times and max(times) < self.made - _CLOCK_STEP


def seal(path: Path) -> None:
    """Notes what a file, or every file of a folder, holds now.

    Raises:
        OSError: it cannot be read, or the note cannot be written.
    """
    files = {name: _sum(file) for name, file in _files(path).items()}
    _write(path, files)


def unseal(path: Path) -> None:
    """Removes the note of what is going to be removed."""
    note_of(path).unlink(missing_ok=True)


def is_sealed(path: Path) -> bool:
    return _read(path) is not None


def damage(path: Path, *, thorough: bool = False) -> str | None:
    """What is wrong with a sealed file or folder, as the end of a sentence ("... is missing"); None where nothing is.

    Nothing is known of what was never sealed: None too.
    """
    note = _read(path)
    if note is None:
        return None
    try:
        there = _files(path)
        moved: dict[str, Sum] = {}
        for name, known in note.files.items():
            wrong = _wrong(there.get(name), name, known, note, thorough, moved)
            if wrong is not None:
                return wrong
    except OSError as error:
        return f"{path.name} cannot be read ({reason(error)})"
    strange = next((n for n in there if n not in note.files and n.endswith(_COUNT)), None)
    if strange is not None:
        return f"{one_line(strange, 80)} was put there by something else"
    if moved:
        with suppress(OSError):  # a home that may only be read
            _write(path, note.files | moved)
    return None


def sealed_in(folder: Path, *, deep: bool = False) -> list[Path]:
    """Everything in a folder that was sealed, there or not, in alphabetical order; with `deep` at any depth."""
    if not folder.is_dir():
        return []
    notes = folder.rglob(".*.sums.json") if deep else folder.glob(".*.sums.json")
    return sorted(p.with_name(p.name[1:].removesuffix(".sums.json")) for p in notes)


def whole(path: Path, what: str) -> bool:
    """Whether a sealed file or folder is there as it was written; the log says where it is not.

    What was never sealed does not count: it may be half of anything. `what`: for the log, such as 'statistics'.
    """
    if not path.exists():
        return False
    wrong = damage(path) if is_sealed(path) else "nothing says what it should hold"
    if wrong is not None:
        log.warning("%s in %s cannot be used and are made again: %s", what, path, wrong)
    return wrong is None


def write_sealed(path: Path, text: str) -> None:
    """A small file and its note."""
    durable_files.write(path, text)
    seal(path)


def note_of(path: Path) -> Path:
    """Where the sums of a file or folder lie: beside it, since a folder may be handed on as it is."""
    return path.with_name(f".{path.name}.sums.json")


def _wrong(file: Path | None, name: str, known: Sum, note: _Note, thorough: bool, moved: dict[str, Sum]) -> str | None:
    """`moved` gets what was read and is the same: its times are good from now on."""
    shown = one_line(name, 80)
    if file is None:
        return f"{shown} is missing"
    facts = file.stat()
    if facts.st_size != known.bytes:
        return f"{shown} has {facts.st_size:,} bytes instead of {known.bytes:,}"
    times = (facts.st_mtime_ns, facts.st_ctime_ns)
    if note.proves(known, times) and not thorough:
        return None
    seen = _seen.get(str(file))
    if thorough or seen is None or seen[:2] != (facts.st_size, times):
        seen = _seen[str(file)] = (facts.st_size, times, sha256(file))
    if seen[2] != known.sha256:
        return f"{shown} holds other bytes than were written"
    if not note.proves(known, times):
        moved[name] = known.model_copy(update={"times": times})
    return None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, files: dict[str, Sum]) -> None:
    durable_files.write(note_of(path), _Note(made=time.time_ns(), files=files).model_dump_json())


def _sum(file: Path) -> Sum:
    digest, facts = sha256(file), file.stat()
    return Sum(bytes=facts.st_size, sha256=digest, times=(facts.st_mtime_ns, facts.st_ctime_ns))


def _files(path: Path) -> dict[str, Path]:
    """A file under its own name, or the files of a folder, at any depth, by their names inside it."""
    if not path.is_dir():
        return {path.name: path} if path.is_file() else {}
    return {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}


def _read(path: Path) -> _Note | None:
    """The note; None where there is none, or it is damaged itself: nothing is known then."""
    try:
        return _Note.model_validate(load(read_bounded(note_of(path), _NOTE_BYTES)))
    except (OSError, ValueError):
        return None
