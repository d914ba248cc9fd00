"""What is renamed into place: whole or not at all, flushed before it is named, for its owner only."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.base import durable_files
from core.base.durable_files import move, put_in_place, replacing, replacing_folder, write


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_reads_what_is_written_whatever_the_umask(tmp_path: Path) -> None:
    write(tmp_path / "home" / "runs" / "r1" / "note.json", "x")
    with replacing(tmp_path / "home" / "made.bin") as temporary:
        temporary.unlink()  # some writers make a file of their own
        temporary.write_bytes(b"y")
        temporary.chmod(0o666)
    with replacing_folder(tmp_path / "home" / "model") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text("z")
    found = {p: mode(p) for p in (tmp_path / "home").rglob("*")} | {tmp_path / "home": mode(tmp_path / "home")}
    assert {p for p, m in found.items() if m != (0o700 if p.is_dir() else 0o600)} == set()
    assert (tmp_path / "home" / "model" / "deep" / "a.txt").read_text() == "z"


def test_what_a_user_asked_for_elsewhere_keeps_to_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "report.html", "x", private=False)
    finally:
        os.umask(before)
    assert mode(tmp_path / "report.html") == 0o640
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no" / "such" / "report.html", "x", private=False)


def test_where_writing_fails_the_old_one_stays_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "a", "old")
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise OSError("full")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("old")
    with pytest.raises(OSError, match="full"), replacing_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("half")
        raise OSError("full")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b" / "c").read_text()) == ("old", "old")
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_that_cannot_be_renamed_gives_the_old_one_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("old")
    rename, refused = os.rename, []

    def once(source: Path, target: Path) -> None:
        if target == tmp_path / "b" and not refused:
            refused.append(source)
            raise OSError("busy")
        rename(source, target)

    monkeypatch.setattr(durable_files.os, "rename", once)
    with pytest.raises(OSError, match="busy"), replacing_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("new")
    assert refused and names(tmp_path) == ["b"] and (tmp_path / "b" / "c").read_text() == "old"


def test_a_folder_takes_the_place_of_a_folder_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("x")
    (tmp_path / "f").write_text("x")
    for name in "bf":
        with replacing_folder(tmp_path / name) as folder:
            (folder / "new").write_text("y")
    assert names(tmp_path) == ["b", "f"] and names(tmp_path / "b") == names(tmp_path / "f") == ["new"]


def test_everything_is_on_the_disk_before_it_is_named_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def flushing(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append("flush here" if path == tmp_path else f"flush {path.name if path.name in 'ab' else '?'}")

    monkeypatch.setattr(durable_files.os, "fsync", flushing)
    monkeypatch.setattr(durable_files.os, "replace", lambda a, b: (replace(a, b), done.append(f"name {b.name}")))
    monkeypatch.setattr(durable_files.os, "rename", lambda a, b: (rename(a, b), done.append(f"name {b.name}")))
    write(tmp_path / "w", "x")
    assert done == ["flush ?", "name w", "flush here"]
    done.clear()
    with replacing_folder(tmp_path / "m") as folder:
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
    at = done.index("name m")
    assert sorted(done[:at]) == ["flush ?", "flush a", "flush b"] and done[at + 1 :] == ["flush here"]
    done.clear()
    move(tmp_path / "w", tmp_path / "trash" / "w")
    assert done[-3:] == ["name w", "flush ?", "flush here"]


def test_writers_at_the_same_time_never_share_a_temporary_name(tmp_path: Path) -> None:
    """Each text is whole afterwards, and nobody fails because another took the file away."""
    path, texts = tmp_path / "same", [c * 200_000 for c in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: [write(path, text) for _ in range(20)], texts))
    assert path.read_text() in texts and names(tmp_path) == ["same"]


def test_a_long_name_has_room_for_a_temporary_one(tmp_path: Path) -> None:
    write(tmp_path / ("\u00e9" * 127), "x", private=False)  # 254 bytes of 255
    assert names(tmp_path) == ["\u00e9" * 127]


def test_a_killed_writer_leaves_the_old_file_and_a_name_that_is_swept_up(tmp_path: Path) -> None:
    write(tmp_path / "a", "old")
    program = (
        "import os, signal, sys; from pathlib import Path; from core.base.durable_files import replacing\n"
        "with replacing(Path(sys.argv[1])) as t: t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    left = [n for n in names(tmp_path) if n != "a"]
    assert (tmp_path / "a").read_text() == "old"
    assert len(left) == 1 and left[0].endswith(durable_files.PARTIAL)


def test_what_came_from_elsewhere_is_put_in_place_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "came" / "inside").mkdir(parents=True)
    (tmp_path / "came" / "inside" / "x").write_text("1")
    put_in_place(tmp_path / "came" / "inside", tmp_path / "home" / "model")
    assert names(tmp_path / "came") == [] and (tmp_path / "home" / "model" / "x").read_text() == "1"
