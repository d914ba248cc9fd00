"""What goes wrong around a job: two servers, a full or read-only disk, a clock set back, a database kept locked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.jobs import actions
from core.jobs.executors import PROJECT
from scripts.soak_world import World, visit
from tests.jobs.conftest import Bench, database_locked
from tests.store.test_homes import needs_mounts

pytestmark = pytest.mark.jobs


@pytest.fixture
def worlds(bench: Bench) -> Iterator[list[World]]:
    """Two servers on one home."""
    both = [World(bench.settings), World(bench.settings)]
    for world in both:
        world.start_server()
    yield both
    for world in both:
        world.kill("server")


def test_two_servers_on_one_home_start_every_run_once(bench: Bench, worlds: list[World]) -> None:
    """Pages of both are opened again and again while runs are queued by two processes."""
    assert worlds[0].port != worlds[1].port and worlds[0].problems == worlds[1].problems == []
    runs: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit, worlds[i % 2].port, ("runs", "start")[i % 3 == 0]) for i in range(12)]
        for run in pool.map(lambda i: bench.add(trials=2, seconds=0.05, start=False, number=i), range(6)):
            runs.append(run)
    assert [v.result() for v in visits] == [""] * 12, "no page showed an exception"
    for world in worlds:
        assert visit(world.port, "runs") == ""  # whoever opens a page makes sure that a runner works
    bench.until(lambda: all(bench.store.runs.get(r).state == "done" for r in runs))
    assert (bench.settings.home / "runner.log").read_text().count("started ") == 6
    starts = [key for key, _, _ in bench.lines("start")]
    assert len(starts) == len(set(starts)) == 12


def in_namespace(program: str, home: Path, prepare: str) -> str:
    """What a program prints in a mount namespace of its own; `prepare` is a shell command with the home as $1."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", f'{prepare}; shift; exec "$@"', "-", str(home)]
    done = subprocess.run(
        [*command, sys.executable, "-c", _COMMON + program, str(home)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(PROJECT)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


_COMMON = """
import os, subprocess, sys, time
from pathlib import Path
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.jobs import actions
from core.base.settings import Limits, Settings
from core.store import Store
from tests.jobs.conftest import Bench, database_locked
home = Path(sys.argv[1])
settings = Settings(home=home, limits=Limits(runner_idle_seconds=1.0, cancel_grace_seconds=2.0))
bench = Bench(settings, Store(settings), home.parent / "ledger.txt")
"""


def test_a_disk_that_fills_up_at_a_checkpoint_costs_nothing_that_was_finished(bench: Bench) -> None:
    """Real checkpoints on a small disk of their own; then somebody makes room."""
    needs_mounts()
    said = in_namespace(
        """
run_id = bench.add(trials=3, seconds=0.05, start=False)
filler = home / "filler"
bench.wait(bench.add(trials=1))
free = lambda: os.statvfs(home).f_bavail * os.statvfs(home).f_frsize
bench.store.runs.request_cancel(run_id)
filler.write_bytes(bytes(free() - 9_000_000))
run_id = bench.add(trials=3, seconds=0.05, saves=2_000_000)  # two of them a trial: the second or third does not fit
run = bench.wait(run_id)
done = [t.state for t in bench.store.trials.of(run_id)].count("done")
print(run.state, "|", run.cause, "|", run.remedy, "|", done)
results = {p: p.stat().st_mtime_ns for p in home.glob("candidates/*/result.json")}
print(sorted(p.name for p in (home / "runs" / run_id).rglob("*.tmp")))
filler.unlink()
actions.resume(run_id, settings, LOCAL)
run = bench.wait(run_id)
print(run.state, run.trials_done, bench.repeated(), all(p.stat().st_mtime_ns == t for p, t in results.items()))
bench.stop()
""",
        bench.settings.home,
        'mount -t tmpfs -o size=24m none "$1"',
    )
    first, litter, last = said.splitlines()
    state, cause, remedy, done = first.split(" | ")
    assert state == "failed" and 1 <= int(done) <= 2, said
    assert "is full" in cause or "No space left" in cause, said
    assert remedy.startswith("Free") and litter == "[]", said
    assert last == "done 3 [] True", said


def test_a_home_that_becomes_read_only_amid_a_run_and_writable_again(bench: Bench) -> None:
    needs_mounts()
    said = in_namespace(
        """
run_id = bench.add(trials=12, seconds=0.2)
bench.until(lambda: len(bench.lines("end")) >= 3)
# What is open stays open; nothing can be opened for writing or made any more.
subprocess.run(["mount", "--bind", str(home), str(home)], check=True)
remount = ["mount", "-o", "remount,ro,bind", str(home)]  # refused while a file is just being written
bench.until(lambda: subprocess.run(remount, capture_output=True).returncode == 0)
try:
    Store(settings).runs.add("count", "Later", "path:/none", {}, LOCAL)
    print("no error")
except RetortError as error:
    print(error.cause)
time.sleep(4)
subprocess.run(["umount", str(home)], check=True)
run = bench.wait(run_id)
while run.state == "failed":
    print("failed:", run.cause)
    actions.retry(run_id, settings, LOCAL)
    run = bench.wait(run_id)
print(run.state, run.trials_done, bench.repeated())
bench.stop()
""",
        bench.settings.home,
        "true",
    )
    refused, *failed, last = said.splitlines()
    assert "may not write to its data folder" in refused, said
    assert all("may not write to its data folder" in line for line in failed), said
    assert last == "done 12 []", said


CLOCK = """
import os, time
real = time.time
time.time = lambda: real() - (86_400 if os.path.exists({flag!r}) else 0)
"""


def test_a_clock_set_back_a_day_amid_a_run(bench: Bench, tmp_path: Path) -> None:
    """In the runner and in the worker, while they work; waiting and limits go by the monotonic clock."""
    flag = tmp_path / "clock-set-back"
    (tmp_path / "site" / "sitecustomize.py").write_text(CLOCK.format(flag=str(flag)))
    run_id, later = bench.add(trials=8, seconds=0.2), bench.add(trials=2, start=False)
    bench.until(lambda: len(bench.lines("end")) >= 2)
    flag.touch()
    bench.until(lambda: len(bench.lines("end")) >= 4)
    bench.kill(bench.worker_pid(run_id))
    runs = [bench.wait(run_id), bench.wait(later)]
    assert [(r.state, r.trials_done) for r in runs] == [("done", 8), ("done", 2)] and bench.repeated() == []
    for run in runs:
        assert run.started is not None and run.finished is not None and run.finished >= run.started
        for trial in bench.store.trials.of(run.id):
            assert trial.started is not None and trial.finished is not None and trial.finished >= trial.started
    assert runs[1].finished is not None and runs[1].finished < time.time() - 80_000, "the clock really was back"


IMPATIENT = """
from core.store import connection, store
for function in (connection.Database.__init__, store.Store.__init__):
    function.__defaults__ = tuple(2.0 if d == connection.BUSY_SECONDS else d for d in function.__defaults__)
"""


def test_a_database_kept_locked_longer_than_anybody_waits(bench: Bench, tmp_path: Path) -> None:
    """The wait is 2 s here in place of 30; another program has the file for 9."""
    site = tmp_path / "site"
    (site / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\n{IMPATIENT}")
    run_id = bench.add(trials=5, seconds=0.2)
    bench.until(lambda: bench.lines("end"))
    with database_locked(bench, 9.0):
        run = bench.wait(run_id)
    if run.state == "failed":
        assert "kept Retort's data locked for too long" in run.cause and run.remedy, bench.log(run_id)
        actions.retry(run_id, bench.settings, LOCAL)
        run = bench.wait(run_id)
    assert (run.state, run.trials_done, run.trials_failed) == ("done", 5, 0), bench.log(run_id)
    assert bench.repeated() == []
