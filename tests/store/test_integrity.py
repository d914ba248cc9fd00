"""What was saved is checked before use: by sizes and times, and by SHA-256 where a time moved."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.base import integrity
from core.base.integrity import damage, is_sealed, note_of, seal, unseal, whole

BYTES = bytes(range(256)) * 400


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A sealed folder."""
    folder = tmp_path / "home" / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(BYTES)
    (folder / "deep" / "config.json").write_text("{}")
    seal(folder)
    return folder


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(len(BYTES) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


HARMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (lambda p: os.truncate(p, 1000), "model.safetensors has 1,000 bytes instead of 102,400"),
    "emptied": (lambda p: p.write_bytes(b""), "model.safetensors has 0 bytes instead of 102,400"),
    "flipped": (flip, "model.safetensors holds other bytes than were written"),
    "gone": (lambda p: p.unlink(), "model.safetensors is missing"),
    "folder gone": (lambda p: shutil.rmtree(p.parent), "deep/config.json is missing"),
    "one more": (
        lambda p: p.with_name("adapter_config.json").write_text("{}"),
        "adapter_config.json was put there by something else",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("settled", [True, False], ids=["later", "at once"])
def test_every_harm_is_named(model: Path, harm: str, settled: bool) -> None:
    if settled:
        time.sleep(0.05)
        assert damage(model) is None
    assert is_sealed(model)
    do, said = HARMS[harm]
    do(model / "model.safetensors")
    assert damage(model) == said
    assert damage(model, thorough=True) == said
    assert not whole(model, "the model")


def test_bytes_set_back_to_their_old_times_are_noticed_all_the_same(model: Path) -> None:
    """The time of last change is the kernel's: no program can set it."""
    time.sleep(0.05)
    assert damage(model) is None
    file = model / "model.safetensors"
    before = file.stat()
    flip(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert damage(model) == "model.safetensors holds other bytes than were written"


def test_a_check_reads_no_byte_and_a_copied_home_is_read_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = integrity.sha256
    monkeypatch.setattr(integrity, "sha256", lambda p: (read.append(p.name), real(p))[1])
    time.sleep(0.05)
    assert damage(model) is None  # files and note are of the same moment: read once, to be sure
    time.sleep(0.05)
    read.clear()
    assert damage(model) is None and read == []
    copy = model.parent.parent / "copy"
    shutil.copytree(model.parent, copy)
    integrity._seen.clear()
    assert damage(copy / "model") is None and sorted(read) == ["config.json", "model.safetensors"]
    integrity._seen.clear()
    read.clear()
    time.sleep(0.05)
    assert damage(copy / "model") is None
    integrity._seen.clear()
    read.clear()
    assert damage(copy / "model") is None and read == []
    assert damage(copy / "model", thorough=True) is None and len(read) == 2


def test_a_home_that_may_only_be_read_is_read_once_a_process(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    read: list[str] = []
    real = integrity.sha256
    for file in ("model.safetensors", "deep/config.json"):
        os.utime(model / file)
    monkeypatch.setattr(integrity, "sha256", lambda p: (read.append(p.name), real(p))[1])
    monkeypatch.setattr(integrity.durable_files, "write", refuse)
    assert damage(model) is None and len(read) == 2
    assert damage(model) is None and len(read) == 2


OTHER = "model.safetensors holds other bytes than were written"


@pytest.mark.parametrize(("later", "said"), [(10**6, OTHER), (10**9, None)], ids=["in the same step", "later"])
def test_equal_times_prove_nothing_in_the_step_of_the_clock_of_the_note(
    model: Path, later: int, said: str | None
) -> None:
    note = json.loads(note_of(model).read_text())
    note["files"]["model.safetensors"]["sha256"] = "0" * 64  # as if it had been written once more right away
    note["made"] = max(max(f["times"]) for f in note["files"].values()) + later
    note_of(model).write_text(json.dumps(note))
    assert damage(model) == said


def test_of_what_has_no_readable_note_nothing_is_known(model: Path) -> None:
    harms: list[Callable[[Path], object]] = [
        lambda p: os.truncate(p, 10),
        lambda p: p.write_text("{}"),
        lambda p: p.write_bytes(b"\xff"),
    ]
    for harm in harms:
        harm(note_of(model))
        assert (is_sealed(model), damage(model), whole(model, "x")) == (False, None, False)
        seal(model)
    assert is_sealed(model)
    unseal(model)
    assert (is_sealed(model), damage(model), whole(model, "x")) == (False, None, False)


def test_a_single_file_is_sealed_alike(tmp_path: Path) -> None:
    integrity.write_sealed(tmp_path / "facts.json", "{}")
    assert whole(tmp_path / "facts.json", "facts")
    (tmp_path / "facts.json").write_text("[]")
    assert damage(tmp_path / "facts.json") == "facts.json holds other bytes than were written"
    (tmp_path / "facts.json").unlink()
    assert damage(tmp_path / "facts.json") == "facts.json is missing"


def test_files_without_meaning_for_a_loader_may_be_added(model: Path) -> None:
    (model / "my notes.txt").write_text("x")
    (model / ".DS_Store").write_text("x")
    assert damage(model) is None
