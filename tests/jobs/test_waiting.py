"""A queued run always says what it waits for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions
from core.jobs.executors import RUN, device_lock
from core.jobs.locks import FileLock
from core.jobs.preview import client
from core.jobs.preview.device import take_device
from core.jobs.preview_process import PREVIEWS
from core.jobs.waiting import device_user, waits_for
from core.store import RunRow, Store
from tests.jobs.conftest import Bench


@contextmanager
def taken(settings: Settings, purpose: str | None) -> Iterator[None]:
    lock = FileLock(device_lock(settings))
    assert lock.acquire()
    if purpose is not None:
        lock.sign(purpose)
    yield
    lock.release()


def queued(store: Store, name: str) -> RunRow:
    return store.runs.get(store.runs.add("sweep", name, "sample:m", {}, LOCAL))


def test_by_turns_it_is_a_run_the_queue_or_whoever_has_the_machine(home: Settings) -> None:
    store, me = Store(home), os.getpid()
    first, second, third = (queued(store, name) for name in ("One", "Two", "Three"))
    assert waits_for(first, store) == "Starts in a moment."
    assert waits_for(second, store) == "Waits for 'One', which is next in the queue."
    with taken(home, "command prune"):
        command = f"aits for the command 'python -m core prune' (process {me}), which has this machine."
        assert waits_for(first, store) == f"W{command}"
        assert waits_for(third, store) == f"Waits for 'One', which is next in the queue, and that w{command}"
    with taken(home, PREVIEWS):
        assert waits_for(first, store) == f"Waits for the preview process ({me}) to leave; it is ended after 5 seconds."
    with taken(home, f"{RUN}{third.id}"):
        assert waits_for(first, store) == f"Waits for the process of 'Three' ({me}) to end."
    with taken(home, f"{RUN}nothing"):
        assert "a run that was deleted" in waits_for(first, store)
    with taken(home, ""):
        assert waits_for(first, store) == f"Waits for process {me}, which has this machine."
    with taken(home, None):
        assert waits_for(first, store) == "Waits for another program that has this machine."
    assert device_user(store) == "", "what stands in the lock of somebody who is gone means nothing"
    store.runs.claim(first.id)
    assert waits_for(store.runs.get(first.id), store) == ""
    assert waits_for(second, store) == "Waits for 'One', which is running."
    assert waits_for(third, store) == "Waits for 'One', which is running. 1 run stands before it in the queue."


def test_a_command_that_takes_the_device_says_so(home: Settings) -> None:
    lock = take_device(home, LOCAL, "doctor")
    assert lock is not None and "'python -m core doctor'" in device_user(Store(home))
    lock.release()


@pytest.mark.jobs
def test_real_processes_sign_what_they_hold_the_device_for(host: Bench) -> None:
    events = client.ask(host.settings, LOCAL, "computes", {"rounds": 1_000_000_000})
    pid = next(e["pid"] for e in events if "pid" in e)
    assert device_user(host.store).startswith(f"Waits for the preview process ({pid}) to leave")
    events.close()  # type: ignore[attr-defined]
    first, second = host.add(trials=1, seconds=2), host.add(trials=1)
    host.until(lambda: host.lines("start"))
    worker = host.worker_pid(first)
    assert device_user(host.store) == f"Waits for the process of 'Counting' ({worker}) to end."
    assert waits_for(host.store.runs.get(second), host.store) == "Waits for 'Counting', which is running."
    host.wait(second)


@pytest.mark.jobs
def test_a_stopped_runner_is_named(bench: Bench) -> None:
    first = bench.add(trials=1)
    bench.wait(first)
    second = bench.add(trials=1)
    pid = bench.until(bench.runner_pid)
    bench.wait(second)
    os.kill(pid, signal.SIGSTOP)
    bench.until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    third = bench.add(trials=1)
    assert waits_for(bench.store.runs.get(third), bench.store) == (
        f"The runner (process {pid}) is stopped, so nothing starts: continue it with 'kill -CONT {pid}'."
    )
    os.kill(pid, signal.SIGCONT)
    assert bench.wait(third).state == "done"
    actions.ensure_runner(bench.settings)
