"""Folders that travel through Ray's object store: packed into chunks once, unpacked once on each node.

A chunk at a time is in memory on either side, so a model may be larger than a node's object store.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.durable_files import put_in_place, replacing_folder
from core.base.integrity import seal, unseal, whole

_CHUNK_BYTES = 32 << 20
_CHUNK_SECONDS = 60.0
_UNUSED_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Archive:
    """Files on their way. `name` identifies their content; `chunks` are references into the object store."""

    name: str
    chunks: tuple[Any, ...]
    bytes: int


def archive_name(*identity: str) -> str:
    """A folder name for content that `identity` determines."""
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:24]


def pack(ray: Any, name: str, entries: Mapping[str, Path]) -> Archive:
    """Puts files and folders into the object store. `entries`: path inside the archive -> file or folder here."""
    splitter = _Splitter(ray.put)
    with tarfile.open(fileobj=splitter, mode="w|", dereference=True) as tar:
        for inside, path in entries.items():
            tar.add(path, inside)
    splitter.close()
    return Archive(name, tuple(splitter.chunks), splitter.total)


def unpack(ray: Any, archive: Archive, target: Path) -> None:
    """Writes the files of an archive to `target`, under a temporary name first. What lay there is replaced.

    Raises Ray's error where a chunk was lost with its node, or does not come.
    """
    with (
        replacing_folder(target, flush=False) as partial,
        tarfile.open(fileobj=_Joiner(ray.get, archive.chunks), mode="r|") as tar,
    ):
        tar.extractall(partial, filter="data")


def bring_home(ray: Any, archive: Archive, inside: str, target: Path) -> None:
    """Puts what an archive has under `inside` in the place of `target`, which nobody sees half written."""
    came = target.with_name(f".{target.name}.came")
    unpack(ray, archive, came)
    put_in_place(came / inside, target)
    shutil.rmtree(came, ignore_errors=True)


def node_cache(node_id: str) -> Path:
    """Where this node keeps archives: a folder that only its user can read."""
    base = Path(tempfile.gettempdir()) / f"retort-cluster-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to another user.")
    base.chmod(0o700)
    folder = base / node_id
    folder.mkdir(exist_ok=True)
    return folder


def received(ray: Any, archive: Archive, cache: Path) -> tuple[Path, bool]:
    """The archive's files on this node, and whether they came just now; other processes of the node wait meanwhile."""
    target = cache / archive.name
    with _alone(cache / f"{archive.name}.lock"):
        new = not whole(target, "files of a run")
        if new:
            _remove_unused(cache.parent)
            unpack(ray, archive, target)
            seal(target)
        os.utime(target)
    return target, new


def _remove_unused(base: Path) -> None:
    """What no run has asked for in a day goes, that of nodes that are gone too."""
    for path in base.glob("*/*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
            unseal(path)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Splitter(io.RawIOBase):
    """A file to write to that hands on what it gets in chunks."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put
        self._held = bytearray()
        self.chunks: list[Any] = []
        self.total = 0

    def write(self, data: Any) -> int:
        self._held += data
        self.total += len(data)
        while len(self._held) >= _CHUNK_BYTES:
            self._send(_CHUNK_BYTES)
        return len(data)

    def close(self) -> None:
        if self._held:
            self._send(len(self._held))
        super().close()

    def _send(self, count: int) -> None:
        self.chunks.append(self._put(bytes(self._held[:count])))
        del self._held[:count]


class _Joiner(io.RawIOBase):
    """A file to read from, made of chunks that are fetched as they are needed."""

    def __init__(self, get: Callable[..., bytes], chunks: Sequence[Any]) -> None:
        self._get = get
        self._left = list(chunks)
        self._held = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        parts: list[memoryview] = []
        wanted = size if size >= 0 else 1 << 62
        while wanted > 0:
            if not self._held:
                if not self._left:
                    break
                self._held = memoryview(self._get(self._left.pop(0), timeout=_CHUNK_SECONDS))
            parts.append(self._held[:wanted])
            wanted -= len(parts[-1])
            self._held = self._held[len(parts[-1]) :]
        return b"".join(parts)
