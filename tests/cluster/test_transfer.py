"""Folders cut into chunks and put together again, whatever the chunks' borders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.cluster import transfer
from core.cluster.transfer import archive_name, pack, received, unpack


class Shelf(list[bytes]):
    """As much of Ray as archives need: things are put away and got back by their number."""

    def put(self, chunk: bytes) -> int:
        self.append(chunk)
        return len(self) - 1

    def get(self, number: int, timeout: float) -> bytes:
        return self[number]


@pytest.mark.parametrize("chunk", [1, 511, 10_240, 1 << 20])
def test_what_arrives_is_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(transfer, "_CHUNK_BYTES", chunk)
    (tmp_path / "a").mkdir()
    content = {"empty": b"", "one": os.urandom(1), "large": os.urandom(30_000)}
    for name, data in content.items():
        (tmp_path / "a" / name).write_bytes(data)
    shelf = Shelf()
    sent = pack(shelf, "name", {"inside": tmp_path / "a"})
    assert sum(map(len, shelf)) == sent.bytes and all(len(c) <= chunk for c in shelf)
    unpack(shelf, sent, tmp_path / "b")
    assert {p.name: p.read_bytes() for p in (tmp_path / "b" / "inside").iterdir()} == content
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_a_parcel_comes_once_and_a_lost_chunk_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    shelf = Shelf()
    sent = pack(shelf, archive_name("x"), {"f": tmp_path / "f"})
    cache = tmp_path / "cache" / "node"
    cache.mkdir(parents=True)
    shelf_without: Any = Shelf()
    with pytest.raises(IndexError):
        received(shelf_without, sent, cache)
    assert [p for p in cache.iterdir() if p.is_dir()] == []
    folder, new = received(shelf, sent, cache)
    assert new and (folder / "f").read_bytes() == b"content"
    assert received(shelf, sent, cache) == (folder, False)


def test_a_link_out_of_the_folder_is_not_followed_when_it_is_unpacked(tmp_path: Path) -> None:
    import io
    import tarfile

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        escape = tarfile.TarInfo("../outside")
        archive.addfile(escape, io.BytesIO(b""))
    shelf = Shelf([raw.getvalue()])
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(shelf, transfer.Archive("bad", (0,), len(raw.getvalue())), tmp_path / "deep" / "target")
    assert not (tmp_path / "deep" / "outside").exists()
