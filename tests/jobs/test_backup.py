"""The data folder in one archive while it is written to, and back into an empty one with the same figures."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.jobs.backup import back_up, restore
from core.jobs.home_check import check_home
from core.store import Store
from tests.pages.study import finished_study


def test_a_study_comes_back_elsewhere_with_its_figures_its_notes_and_its_models(home: Settings, tmp_path: Path) -> None:
    run, store = finished_study(home), Store(home)
    store.runs.annotate(run, tags=["mine"], notes="Words.")
    kept = store.candidates.results(run_id=run)[1]
    model = store.candidates.folder(kept.key) / "model"
    model.mkdir(parents=True)
    (model / "weights.bin").write_bytes(b"1" * 1000)
    (home.home / "cache" / "big").mkdir(parents=True)
    (home.home / "samples").mkdir(exist_ok=True)
    (home.home / "samples" / "text").write_text("can be fetched again")
    (home.home / "roles.toml").write_text('default = "viewer"\n')
    packed = back_up(tmp_path / "b.tar.gz", home, LOCAL)
    elsewhere = Settings.load(tmp_path / "elsewhere")
    assert "1 run" in restore(tmp_path / "b.tar.gz", elsewhere, LOCAL)
    again = Store(elsewhere)
    assert again.runs.get(run).notes == "Words." and again.runs.get(run).tags == ("mine",)
    there = {r.key: r for r in again.candidates.results(run_id=run)}
    assert there == {r.key: r for r in store.candidates.results(run_id=run)}
    assert (again.candidates.folder(kept.key) / "model" / "weights.bin").read_bytes() == b"1" * 1000
    assert (elsewhere.home / "roles.toml").read_text() == 'default = "viewer"\n'
    assert not (elsewhere.home / "samples").exists() and not [
        p for p in elsewhere.home.iterdir() if "partial" in p.name
    ]
    files = [p for p in elsewhere.home.rglob("*") if p.is_file()]
    assert packed.files > 10 and all(p.stat().st_mode & 0o077 == 0 for p in files)
    assert [p for p in check_home(elsewhere) if "weights" not in p.cause and p.where.startswith("runs")] == []


def test_a_backup_taken_while_runs_are_added_is_whole(home: Settings, tmp_path: Path) -> None:
    store = Store(home)
    first = finished_study(home)
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            Store(home).runs.add("sweep", "Another", "path:/m", {}, LOCAL)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for i in range(3):
            back_up(tmp_path / f"{i}.tar", home, LOCAL)
    finally:
        done.set()
        thread.join()
    many = store.runs.counts().total
    for i in range(3):
        elsewhere = Settings.load(tmp_path / f"home-{i}")
        restore(tmp_path / f"{i}.tar", elsewhere, LOCAL)
        found = Store(elsewhere)
        assert 1 <= found.runs.counts().total <= many and found.runs.get(first).state == "done"
        assert len(found.candidates.results(run_id=first)) == len(store.candidates.results(run_id=first))


@pytest.mark.parametrize("name", ["../outside", "/etc/x", "samples/x", "link"])
def test_an_archive_that_is_no_backup_writes_nothing(tmp_path: Path, name: str) -> None:
    source = tmp_path / "b.tar"
    with tarfile.open(source, "w") as archive:
        for one in ("retort.sqlite3", name):
            member = tarfile.TarInfo(one)
            if one == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member, io.BytesIO())
        last = tarfile.TarInfo("backup.json")
        last.size = len('{"files": 2}')
        archive.addfile(last, io.BytesIO(b'{"files": 2}'))
    elsewhere = Settings.load(tmp_path / "home")
    with pytest.raises(RetortError, match="which no backup has"):
        restore(source, elsewhere, LOCAL)
    assert list(elsewhere.home.iterdir()) == [] and not (tmp_path / "outside").exists()


def test_what_cannot_be_saved_or_restored_is_said(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(RetortError, match="no data in"):
        back_up(tmp_path / "b.tar", Settings.load(tmp_path / "none"), LOCAL)
    finished_study(home)
    with pytest.raises(RetortError, match="no name of an archive"):
        back_up(tmp_path / "b.zip", home, LOCAL)
    with pytest.raises(RetortError, match="in the data folder it saves"):
        back_up(home.home / "b.tar", home, LOCAL)
    with pytest.raises(RetortError, match="needs the role admin"):
        back_up(tmp_path / "b.tar", home, Actor("a@b.c", "editor"))
    assert not list(tmp_path.glob("b.*")), "nothing half-written is left"
    back_up(tmp_path / "b.tar", home, LOCAL)
    with pytest.raises(RetortError, match=r"holds data already \(runs, candidates, retort.sqlite3\)"):
        restore(tmp_path / "b.tar", home, LOCAL)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:5000])
    (tmp_path / "text.tar").write_text("no archive")
    with tarfile.open(tmp_path / "b.tar") as whole:
        second = whole.getmembers()[1].offset
    (tmp_path / "short.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:second])  # one whole file, then nothing
    for name in ("cut.tar", "text.tar", "short.tar"):
        with pytest.raises(RetortError, match="not a backup of Retort, or is damaged"):
            restore(tmp_path / name, Settings.load(tmp_path / "empty"), LOCAL)
