"""A home whose runs are done by real runner and worker processes, and helpers to kill and watch them."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core.base.roles import LOCAL
from core.base.settings import Limits, Settings
from core.jobs import actions
from core.jobs.executors import worker_lock
from core.jobs.locks import held, signer
from core.jobs.logs import log_path, tail
from core.jobs.preview_process import live_lock
from core.jobs.runner import runner_lock
from core.store import RunRow, Store

OPERATIONS = (
    "slow",
    "broken",
    "hungry",
    "muddled",
    "loads",
    "holds",
    "computes",
    "tokenizes",
    "grows",
)
ENTRY_POINTS = "[retort.jobs]\ncount = retort_counting:count\n"


@dataclass(frozen=True)
class Bench:
    """A home, and what tests do to it."""

    settings: Settings
    store: Store
    ledger: Path

    def add(self, trials: int = 4, seconds: float = 0.05, start: bool = True, **spec: Any) -> str:
        """Queues a counting run."""
        recipe = {"trials": trials, "seconds": seconds, "ledger": str(self.ledger), **spec}
        run_id = self.store.runs.add("count", "Counting", "path:/none", recipe, LOCAL)
        if start:
            actions.ensure_runner(self.settings)
        return run_id

    def wait(self, run_id: str, timeout: float = 180) -> RunRow:
        run = actions.wait(run_id, self.settings, timeout=timeout, pause=0.05)
        assert not run.active, self.log(run_id)
        return run

    def log(self, run_id: str) -> str:
        """The run and the end of its log, to say with a failed assertion."""
        return f"{self.store.runs.get(run_id)}\n{tail(log_path(self.settings.run_folder(run_id)))}"

    def until(self, condition: Callable[[], Any], timeout: float = 90) -> Any:
        """What `condition` returns once it is true."""
        give_up = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < give_up, "waited in vain"
            time.sleep(0.01)
        return value

    def runner_pid(self) -> int | None:
        return self._holder(runner_lock(self.settings))

    def worker_pid(self, run_id: str) -> int | None:
        return self._holder(worker_lock(self.settings, run_id))

    def host_pid(self) -> int | None:
        return self._holder(live_lock(self.settings))

    def kill(self, pid: int | None) -> bool:
        """SIGKILL, and waits until the process holds nothing any more."""
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.until(lambda: gone(pid))
        return True

    def lines(self, word: str) -> list[tuple[str, int, float]]:
        """(key, pid, time) of the ledger's lines that begin with `word`."""
        if not self.ledger.exists():
            return []
        rows = [line.split() for line in self.ledger.read_text().splitlines()]
        return [(r[1], int(r[2]), float(r[3])) for r in rows if r[0] == word]

    def repeated(self) -> list[str]:
        """Keys of trials that were started again after they had ended."""
        ended = {key: at for key, _, at in reversed(self.lines("end"))}
        return [key for key, _, at in self.lines("start") if at > ended.get(key, float("inf"))]

    def stop(self) -> None:
        """Ends every process of this home."""
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            holders = [self.runner_pid(), *(self.worker_pid(p.name) for p in self.settings.runs.glob("*"))]
            if not any(self.kill(pid) for pid in holders):
                return

    @staticmethod
    def _holder(lock: Path) -> int | None:
        return signer(lock) if held(lock) else None


def gone(pid: int) -> bool:
    """Dead with all its threads, even if nobody has collected its exit status yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in ("Z", "X") and int(fields[17]) <= 1


@pytest.fixture
def bench(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose workers know the kind `count`, as a package installed beside Retort would add it."""
    site = tmp_path / "site"
    (site / "retort_counting-1.dist-info").mkdir(parents=True)
    (site / "retort_counting-1.dist-info" / "METADATA").write_text("Name: retort-counting\nVersion: 1\n")
    (site / "retort_counting-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    shutil.copy(Path(__file__).with_name("counting.py"), site / "retort_counting.py")
    monkeypatch.setenv("PYTHONPATH", str(site))
    settings = replace(home, limits=Limits(runner_idle_seconds=1.0, cancel_grace_seconds=2.0))
    bench = Bench(settings, Store(settings), tmp_path / "ledger.txt")
    yield bench
    bench.stop()


@pytest.fixture
def host(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A home whose preview server also knows the operations of asking.py; it leaves nothing running."""
    site = tmp_path / "site"
    shutil.copy(Path(__file__).with_name("asking.py"), site / "retort_asking.py")
    register = f"OPERATIONS.update({{n: f'retort_asking:{{n}}' for n in {OPERATIONS!r}}})"
    (site / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path.cwd())!r})\n"
        f"from core.jobs.preview.operations import OPERATIONS\n{register}\n"
    )
    yield bench
    bench.kill(bench.host_pid())


@contextmanager
def database_locked(bench: Bench, seconds: float) -> Iterator[None]:
    """Another program has the database for itself, for so long from the start of the block on."""
    other = sqlite3.connect(bench.settings.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, lambda: other.execute("COMMIT"))
    timer.start()
    yield
    timer.join()
    other.close()
