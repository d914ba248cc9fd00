"""A lost, empty or damaged index is made again from the folders, and everything reads as before."""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.jobs.home_check import check_home, rebuild_home
from core.recipe.recipe import Prune
from core.recipe.records import RECORD, read_record
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.store import Store
from core.store.schema import VERSION
from tests.damage import HARMS, flip, truncate

FORMAT_1 = Path(__file__).with_name("data") / "format-1.sqlite3.gz"
PROJECT = Path(__file__).resolve().parents[2]


def result(key: str, value: float, saved: bool = False, **more: Any) -> Result:
    measured = [
        Measurement(metric="perplexity", value=value, unit="", low=value - 1, high=value + 1, samples=[value, 1.5]),
        Measurement(metric="disk_bytes", value=1e6 * value, unit="bytes"),
    ]
    return Result(
        key=key, label=f"Label {key}", model="path:/m", method="wanda", measurements=measured, saved=saved, **more
    )


def fill(store: Store) -> list[str]:
    """Two studies that share a candidate, one of them still running, and a queued run; what people wrote about them."""
    found = []
    for name, keys, state in (("First", "abc", "done"), ("Second", "ad", "running"), ("Third", "", "queued")):
        run = store.runs.add(
            "sweep",
            f"{name} study",
            "path:/m",
            {"n": name, "deep": {"x": [1, None, "\u00e9"]}},
            Actor("ann@x.org", "editor"),
            tags=("t1", name),
            notes=f"Note of {name}\nwith two lines",
        )
        found.append(run)
        if state == "queued":
            continue
        assert store.runs.claim(run)
        trials = [
            Trial(index=i, key=k, label=f"Trial {k}", prune=Prune(method="wanda", sparsity=0.5))
            for i, k in enumerate(keys)
        ]
        store.trials.add(run, [*trials, Trial(index=len(keys), key=f"f{name}", label="Fails")])
        for trial in trials:
            store.trials.start(run, trial.index)
            store.candidates.add(result(trial.key, 20.0 + ord(trial.key)))
            store.trials.finish(run, trial.index)
            time.sleep(0.01)  # one is written after the other
        store.trials.start(run, len(keys))
        store.trials.fail(run, len(keys), "It failed.", "Retry it.")
        for step in range(40):
            store.series.add(run, [("loss", step, 4.0 / (step + 1)), ("rate", step, step / 7)])
        store.series.add(run, [("loss", 39, 9.0), ("loss", 40, float("nan"))])  # reached again after a resume
        store.events.add(run, "info", f"Event of {name}", windows=3, text="\u00e9\n")
        store.events.add(run, "warning", "Second event", folder=Path("/x"))
        store.runs.progress(run, 2, 3, "Working")
        if state == "done":
            store.runs.finish(run, "done", message="3 of 4 candidates finished, 1 failed.")
    store.runs.annotate(found[0], tags=["z", "a"], notes="Changed")
    store.votes.add("sample:a", "run:b", "Prompt", "run:b", voter="ann@x.org")
    store.votes.add("run:b", "sample:a", "Other", None)
    store.votes.add("x:1", "x:2", "Prompt", "x:1")
    store.votes.clear("x:1", "x:2")
    store.votes.add("x:1", "x:2", "Again", "x:2")
    return found


def read(settings: Settings) -> dict[str, Any]:
    """All that a page could ask for, except what runs say twice a second."""
    store = Store(settings)
    runs = store.runs.find(oldest_first=True, limit=100)
    return {
        "runs": [
            {f: getattr(r, f) for f in r.__slots__ if not (r.active and f in ("done", "total", "message"))}
            for r in runs
        ],
        "tags": store.runs.tags(),
        "found": [r.id for r in store.runs.find(tag="z")] + [r.id for r in store.runs.find(text="Second")],
        "trials": [store.trials.of(r.id) for r in runs],
        "events": [[(e.time, e.level, e.message, e.data) for e in store.events.tail(r.id)] for r in runs],
        "curves": [{n: store.series.read(r.id, n) for n in store.series.names(r.id)} for r in runs],
        "votes": [store.votes.tally(*p) for p in (("sample:a", "run:b"), ("x:1", "x:2"))],
        "prompts": [sorted(store.votes.prompts(*p)) for p in (("sample:a", "run:b"), ("x:1", "x:2"))],
        "candidates": store.candidates.rows(),
        "results": store.candidates.results(),
        "of runs": [[x.key for x in store.candidates.results(run_id=r.id)] for r in runs],
        "columns": [store.columns.judged(r.id, "perplexity") for r in runs],
    }


def settle(settings: Settings) -> None:
    """Everything from the log into the file."""
    with sqlite3.connect(settings.database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def garbled(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 20_000)


LOSSES: dict[str, Callable[[Path], None]] = {
    "removed": lambda p: [p.with_name(p.name + e).unlink(missing_ok=True) for e in ("", "-wal", "-shm")],  # type: ignore[dict-item]
    "zero bytes": lambda p: os.truncate(p, 0),
    "garbage": garbage,
    "half": truncate,
    "garbage within": garbled,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("log_left", [False, True], ids=["settled", "with its log"])
def test_everything_reads_as_before(
    home: Settings, loss: str, log_left: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fill(Store(home))
    before = read(home)
    assert len(before["runs"]) == 3 and before["votes"][0] == (0, 1, 1) and before["votes"][1] == (0, 1, 0)
    assert before["curves"][0]["loss"][-1].value == 9.0 and before["tags"] == ["Second", "Third", "a", "t1", "z"]
    if not log_left:
        settle(home)
    old = home.database.read_bytes()
    LOSSES[loss](home.database)
    damaged = home.database.read_bytes() if home.database.exists() else None
    with caplog.at_level(logging.WARNING, "retort"):
        assert read(home) == before
    (line,) = [r.getMessage() for r in caplog.records]
    assert "made again from the folders: 3 runs and 4 candidates." in line
    # The damaged file is set aside, never deleted.
    assert [p.read_bytes() for p in set_aside(home)] == ([] if damaged is None else [damaged]) and damaged != old
    assert all(p.name in line for p in set_aside(home))
    caplog.clear()
    assert read(home) == before and check_home(home) == [] and not caplog.records  # once is enough
    assert not list(home.home.glob("*.partial"))


def test_a_store_that_is_open_goes_on_with_the_new_file(home: Settings) -> None:
    """A server and a worker hold connections when the file vanishes: what they write afterwards is kept."""
    store = Store(home)
    (first, second, _) = fill(store)
    version = store.columns.version([first])
    before = read(home)
    LOSSES["removed"](home.database)
    store.events.add(second, "info", "After the loss")
    assert [e.message for e in store.events.tail(second)][-1] == "After the loss"
    store.candidates.add(result("new", 1.0))
    assert store.columns.version([first]) and version
    again = Store(home)
    assert [e.message for e in again.events.tail(second)][-1] == "After the loss"
    assert again.candidates.get("new") == result("new", 1.0)
    assert read(home)["runs"] == before["runs"]


def test_the_clock_of_charts_moves_on_when_the_index_is_made_again(home: Settings) -> None:
    store = Store(home)
    first = fill(store)[0]
    states = {store.columns.state()}
    LOSSES["removed"](home.database)
    Store(home)
    states.add(store.columns.state())
    store.candidates.add(result("a", 3.0))
    assert len(states) == 2 and store.columns.state() not in states
    assert store.columns.values(first, "perplexity")["a"].value == 3.0


@pytest.mark.parametrize("harm", HARMS)
def test_a_trial_whose_result_is_damaged_is_to_be_measured_again(home: Settings, harm: str) -> None:
    """Of a run that ended, as one that failed, so that it can be resumed; of one that is active, as one that waits."""
    (first, second, _) = fill(Store(home))
    HARMS[harm](home.home / "candidates" / "a" / "result.json")
    LOSSES["removed"](home.database)
    store = Store(home)
    assert [t.state for t in store.trials.of(first)] == ["failed", "done", "done", "failed"]
    assert "damaged or gone" in store.trials.of(first)[0].cause and "Resume" in store.trials.of(first)[0].remedy
    assert [t.state for t in store.trials.of(second)] == ["queued", "done", "failed"]
    assert store.candidates.get("a") is None and len(store.candidates.results()) == 3


@pytest.mark.parametrize("harm", HARMS)
def test_a_record_that_is_damaged_costs_its_own_run_only(
    home: Settings, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    (first, second, third) = fill(Store(home))
    HARMS[harm](home.runs / second / RECORD)
    assert [p.where for p in check_home(home)] == [f"runs/{second}/{RECORD}"]
    # While the index is whole, it gives the folder what it knows.
    assert "3 runs" in rebuild_home(home, LOCAL) and check_home(home) == []
    assert [r.id for r in Store(home).runs.find(oldest_first=True)] == [first, second, third]
    HARMS[harm](home.runs / second / RECORD)
    LOSSES["removed"](home.database)
    caplog.clear()
    assert [r.id for r in Store(home).runs.find(oldest_first=True)] == [first, third]
    assert "2 runs and 4 candidates" in caplog.text
    assert harm == "delete" or "1 could not be read" in caplog.text


@pytest.mark.parametrize("name", ["events.jsonl", "series.jsonl"])
def test_a_damaged_line_costs_itself_only(home: Settings, name: str) -> None:
    first = fill(Store(home))[0]
    lines = (home.runs / first / name).read_bytes().count(b"\n")
    flip(home.runs / first / name)
    (problem,) = check_home(home)
    assert problem.where == f"runs/{first}/{name}" and "1 of its lines" in problem.cause
    LOSSES["removed"](home.database)
    store = Store(home)
    if name == "events.jsonl":
        assert len(store.events.tail(first)) == lines - 1 == 1
    else:
        assert sum(p.step >= 0 for p in store.series.read(first, "rate")) == 39


def test_what_a_killed_writer_left_of_a_line_does_not_spoil_the_next(home: Settings) -> None:
    store = Store(home)
    first = fill(store)[0]
    with (home.runs / first / "events.jsonl").open("ab") as file:
        file.write(b'\n12345678 {"time": 1')
    store.events.add(first, "info", "The next one")
    LOSSES["removed"](home.database)
    assert [e.message for e in Store(home).events.tail(first)] == ["Event of First", "Second event", "The next one"]


def set_aside(home: Settings) -> list[Path]:
    """The files themselves, without what SQLite keeps beside them."""
    return [p for p in home.home.glob("retort.sqlite3.damaged-*") if not p.name.endswith(("-wal", "-shm"))]


def _count(home: str) -> int:
    return Store(Settings(home=Path(home))).runs.count()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["removed", "garbage"])
def test_many_processes_may_find_it_lost_at_once(home: Settings, loss: str) -> None:
    fill(Store(home))
    before = read(home)
    settle(home)
    LOSSES[loss](home.database)
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_count, [str(home.home)] * 12)) == [3] * 12
    assert read(home) == before
    assert len(set_aside(home)) == (1 if loss == "garbage" else 0)  # one did it


KILLED = """
import os, signal, sys
from pathlib import Path
from core.base.settings import Settings
from core.store import Store, rebuild
at, calls = int(sys.argv[2]), 0
real = rebuild._insert
def insert(*given):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)
rebuild._insert = insert
if at == 0:
    rebuild.replacing = lambda path: os.kill(os.getpid(), signal.SIGKILL)
Store(Settings(home=Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_a_rebuild_that_is_killed_is_done_again(home: Settings, at: int) -> None:
    """Right after the damaged file was set aside (0), or while rows are added."""
    fill(Store(home))
    before = read(home)
    settle(home)
    garbage(home.database)
    command = [sys.executable, "-c", KILLED, str(home.home), str(at)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read(home) == before
    assert len(set_aside(home)) == 1


def test_a_fresh_home_says_nothing(home: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert Store(home).runs.count() == 0 and not caplog.records and check_home(home) == []
    assert (home.database.stat().st_mode & 0o777) == 0o600


def test_an_old_home_gets_folders_when_it_is_first_opened(home: Settings) -> None:
    """What only its index knew is there after the index is lost."""
    home.database.write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    before = read(home)
    assert len(before["runs"]) == 3 and len(before["results"]) == 2 and before["events"][0]
    assert check_home(home) == []
    LOSSES["removed"](home.database)
    after = read(home)
    # That format had no table of samples, which is filled now.
    assert before.pop("columns") != after.pop("columns") and after == before
    with sqlite3.connect(home.database) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == VERSION


def test_a_record_says_what_the_index_says_at_every_moment(home: Settings) -> None:
    store = Store(home)

    def check() -> None:
        record = read_record(home.runs / run)
        assert record is not None
        row, trials = store.runs.get(run), store.trials.of(run)
        assert (record.run["state"], record.run["notes"], json.loads(record.run["tags"])) == (
            row.state,
            row.notes,
            list(row.tags),
        )
        assert record.run["attempts"] == row.attempts and record.run["cancel_requested"] == row.cancel_requested
        assert [(t["key"], t["state"], t["cause"]) for t in record.trials] == [
            (t.key, t.state, t.cause) for t in trials
        ]

    run = store.runs.add("sweep", "A", "path:/m", {}, LOCAL)
    check()
    trial = Trial(index=0, key="k", label="x")
    actions: list[Callable[[], object]] = [
        lambda: store.runs.claim(run),
        lambda: store.trials.add(run, [trial]),
        lambda: store.trials.start(run, 0),
        lambda: store.trials.stop(run),
        lambda: store.trials.start(run, 0),
        lambda: store.trials.fail(run, 0, "Why.", "What."),
        lambda: store.runs.request_cancel(run),
        lambda: store.runs.finish(run, "cancelled"),
        lambda: store.runs.requeue(run, LOCAL),
        lambda: store.runs.annotate(run, tags=["x"], notes="y"),
        lambda: store.runs.claim(run),
        lambda: store.trials.finish(run, 0),
        lambda: store.runs.requeue(run, None),
        lambda: store.runs.request_cancel(run),
    ]
    for action in actions:
        action()
        check()
    store.runs.delete(run, lambda keys: None)
    (home.runs / run / RECORD).unlink()
    assert store.runs.count() == 0 and not (home.runs / run / RECORD).exists()


def test_making_the_index_again_by_hand_takes_an_admin(home: Settings) -> None:
    fill(Store(home))
    with pytest.raises(RetortError, match="needs the role admin"):
        rebuild_home(home, Actor("bob@x.org", "editor"))
    before = read(home)
    assert "3 runs and 4 candidates" in rebuild_home(home, LOCAL)
    assert read(home) == before and len(list(home.home.glob("retort.sqlite3.replaced-*"))) >= 1


def test_a_writer_that_waits_during_a_rebuild_by_hand_writes_to_the_new_index(home: Settings) -> None:
    """It holds a connection to the old file, and gets that file's lock once it is not the index any more."""
    store = Store(home)
    second = fill(store)[1]
    script = (
        "import sys; from pathlib import Path; from core.base.settings import Settings; from core.store import Store\n"
        "s = Store(Settings(home=Path(sys.argv[1]))); s.runs.count(); print('open', flush=True); input()\n"
        "for i in range(200): s.events.add(sys.argv[2], 'info', f'Number {i}')\n"
    )
    command = [sys.executable, "-c", script, str(home.home), second]
    writer = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdin is not None and writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    writer.stdin.write("\n")
    writer.stdin.flush()
    for _ in range(3):
        rebuild_home(home, LOCAL)
    assert writer.wait() == 0
    said = [e.message for e in Store(home).events.tail(second, limit=1000)]
    assert [m for m in said if m.startswith("Number")] == [f"Number {i}" for i in range(200)]


def test_the_check_finds_what_only_one_side_knows(home: Settings) -> None:
    store = Store(home)
    (first, second, third) = fill(store)
    with sqlite3.connect(home.database) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM runs WHERE id = ?", (first,))
        db.execute("UPDATE runs SET notes = 'other' WHERE id = ?", (third,))
        db.execute("DELETE FROM candidates WHERE key = 'b'")
    (home.home / "candidates" / "c" / "result.json").unlink()
    flip(home.home / "candidates" / "d" / "result.json")
    found = {p.where: p.cause for p in check_home(home)}
    assert found[f"runs/{first}"] == f"The index does not know the run {first}."
    assert "says something else than the index" in found[f"runs/{third}/{RECORD}"]
    assert found["candidates/b"] == "The index does not know this result."
    assert found["candidates/c"] == found["candidates/d"] == "Its result file is damaged or missing."
    assert f"runs/{second}/{RECORD}" not in found and "candidates/a" not in found
