"""Homes as they are found: old, newer, damaged, full, read-only, huge."""

from __future__ import annotations

import gzip
import multiprocessing
import resource
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.results import Result
from core.store import Store
from core.store.schema import VERSION

FORMAT_1 = Path(__file__).with_name("data") / "format-1.sqlite3.gz"
PROJECT = Path(__file__).resolve().parents[2]


def old_home(home: Settings) -> Settings:
    """A home as the first version left it."""
    home.database.write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    return home


def version(path: Path) -> int:
    with sqlite3.connect(path) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def tables(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Columns with their types, and indices, of a database."""
    with sqlite3.connect(path) as db:
        names = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1")]
        return {n: [(r[1], r[2]) for r in db.execute(f"SELECT * FROM pragma_table_info('{n}')")] for n in names}


def test_an_old_home_is_migrated_with_everything_in_it(home: Settings, tmp_path: Path) -> None:
    store = Store(old_home(home))
    runs = store.runs.find(oldest_first=True)
    assert [(r.name, r.state) for r in runs] == [
        ("First study", "done"),
        ("Second study", "failed"),
        ("Waiting study", "queued"),
    ]
    assert runs[0].tags == ("old",) and runs[0].notes == "From format 1" and runs[0].version == ""
    assert [t.state for t in store.trials.of(runs[1].id)] == ["done", "failed"]
    assert runs[1].cause == "It failed."
    (result, _) = store.candidates.results()
    assert result.measurements[0].value == 20.25 and result.measurements[0].samples == [3.0, 3.1]
    assert store.events.tail(runs[0].id)[0].data == {"windows": 3}
    assert [p.value for p in store.series.read(runs[0].id, "loss")] == [3.5, 3.25]
    assert store.runs.claim(runs[2].id) and store.runs.get(runs[2].id).version
    assert version(home.database) == VERSION
    fresh = Settings(home=tmp_path / "fresh")
    Store(fresh)
    assert tables(home.database) == tables(fresh.database)


def test_the_old_file_is_kept_beside_the_migrated_one(home: Settings) -> None:
    Store(old_home(home))
    kept = home.home / "retort-format-1.sqlite3"
    assert version(kept) == 1
    assert "version" not in dict(tables(kept)["runs"])
    assert sorted(p.name for p in home.home.glob("*.partial")) == []


def _count(home: str) -> int:
    return Store(Settings(home=Path(home))).runs.count()


@pytest.mark.slow
@pytest.mark.parametrize("old", [True, False])
def test_many_processes_may_open_a_home_first(home: Settings, old: bool) -> None:
    if old:
        old_home(home)
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_count, [str(home.home)] * 12)) == [3 if old else 0] * 12


def test_a_migration_that_fails_changes_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.store import connection, schema

    broken = (*schema.MIGRATIONS[:1], ("ALTER TABLE runs ADD COLUMN half TEXT", "ALTER TABLE none ADD COLUMN x TEXT"))
    with monkeypatch.context() as patch:
        patch.setattr(connection, "MIGRATIONS", broken)
        with pytest.raises(RetortError):
            Store(old_home(home))
    assert version(home.database) == 1 and "half" not in dict(tables(home.database)["runs"])
    assert Store(home).runs.count() == 3


def test_a_newer_home_is_refused_and_left_alone(home: Settings) -> None:
    Store(home)
    with sqlite3.connect(home.database) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(RetortError, match=f"newer Retort \\(format {VERSION + 1}") as refusal:
        Store(home)
    assert "Update Retort" in refusal.value.remedy
    assert version(home.database) == VERSION + 1


def test_a_file_that_is_no_database_makes_way_and_is_kept(home: Settings) -> None:
    home.database.write_bytes(b"This is not a database." * 500)
    assert Store(home).runs.count() == 0
    (kept,) = home.home.glob("retort.sqlite3.damaged-*")
    assert kept.read_bytes() == b"This is not a database." * 500


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RetortError, match="file is a file"):
            Store(Settings(home=home))


def fill(home: Path, prepare: str = "", *, largest_file: int | None = None) -> str:
    """What `OPEN` prints. `prepare` runs first, as a shell command with the home as $1, in a mount namespace."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    command = [sys.executable, "-B", "-c", OPEN, str(home)]
    if prepare:
        command = [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-ec",
            f'{prepare}; shift; exec "$@"',
            "-",
            str(home),
            *command,
        ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs_mounts() -> None:
    """Skips where this user may not mount anything, not even in a namespace."""
    try:
        command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        allowed = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("needs a mount namespace of its own, which this machine does not allow")


OPEN = """
import sys
from pathlib import Path
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.store import Store
try:
    store = Store(Settings(home=Path(sys.argv[1])))
    for i in range(20_000):
        store.runs.add("count", f"Run {i}", "path:/none", {"text": "x" * 1000}, LOCAL)
except RetortError as error:
    print(error.cause, "|", error.remedy)
else:
    print("no error")
"""


@pytest.mark.parametrize("existing", [True, False])
def test_a_read_only_home_is_one_sentence(tmp_path: Path, existing: bool) -> None:
    needs_mounts()
    home = tmp_path / "home"
    home.mkdir()
    if existing:
        Store(Settings(home=home))
    said = fill(home, 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"')
    assert "may not write to its data folder" in said and "RETORT_HOME" in said, said


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    needs_mounts()
    home = tmp_path / "home"
    home.mkdir()
    said = fill(home, 'mount -t tmpfs -o size=2m none "$1"')
    assert "is full" in said and "Free some space" in said, said


def test_a_write_that_fails_halfway_loses_nothing(home: Settings) -> None:
    """Files may not grow beyond a size, as with a quota."""
    store = Store(home)
    first = store.runs.add("count", "First", "path:/none", {}, LOCAL)
    said = fill(home.home, largest_file=300_000)
    assert "could not be written" in said and "space left" in said, said
    again = Store(home)
    assert again.runs.get(first).name == "First"
    assert again.runs.add("count", "Later", "path:/none", {}, LOCAL)
    with sqlite3.connect(home.database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_result_that_does_not_fit_leaves_nothing_half_written(home: Settings) -> None:
    store = Store(home)
    result = Result(key="k1", label="x", model="path:/none", method="dense", notes=["x" * 100_000])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(RetortError, match="is full"):
            store.candidates.add(result)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(store.candidates.folder("k1").iterdir()) == [] and store.candidates.get("k1") is None
    store.candidates.add(result)
    assert store.candidates.get("k1") == result


def test_listing_uses_an_index_with_five_thousand_runs(home: Settings) -> None:
    """No time is asserted: the plan says whether the whole table is read."""
    store = Store(home)
    with sqlite3.connect(home.database) as db:
        db.executemany(
            "INSERT INTO runs (id, kind, name, model, recipe, state, created) VALUES (?, 'sweep', ?, ?, '{}', ?, 0)",
            [(f"r{i}", f"Run {i}", f"sample:m{i % 7}", "done" if i % 50 else "failed") for i in range(5_000)],
        )
        db.executemany(
            "INSERT INTO trials (run, position, key, label, state) VALUES (?, ?, ?, 'x', 'done')",
            [(f"r{i}", j, f"k{i}-{j}") for i in range(5_000) for j in range(4)],
        )
    page = store.runs.find(states=["failed"], limit=20)
    assert len(page) == 20 and all(r.trials_total == r.trials_done == 4 for r in page)
    assert store.runs.counts().total == 5_000 and store.runs.count(text="Run 49") == 111
    with sqlite3.connect(home.database) as db:
        plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM runs WHERE state IN ('failed') ORDER BY seq DESC LIMIT 20")
        assert "runs_by_state" in str(plan.fetchall())
        plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM runs WHERE 1 ORDER BY seq DESC LIMIT 20")
        assert "USE TEMP B-TREE" not in str(plan.fetchall())
        plan = db.execute("EXPLAIN QUERY PLAN SELECT COUNT(*) FROM trials WHERE run = 'r1' AND state = 'done'")
        assert "trials_by_state" in str(plan.fetchall())
