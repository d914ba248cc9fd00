"""What a queued run waits for, in a sentence: read from the queue and from who holds the machine."""

from __future__ import annotations

import psutil

from core.base.settings import Settings
from core.jobs.executors import COMMAND, RUN, device_lock
from core.jobs.locks import held, holder, signer
from core.jobs.preview_process import PREVIEWS
from core.jobs.runner import runner_lock
from core.store import RunRow, Store


def waits_for(run: RunRow, store: Store) -> str:
    """A sentence for a run in the queue; '' for any other."""
    if run.state != "queued":
        return ""
    if runner := _stopped_runner(store.settings):
        return runner
    running = store.runs.find(states=["running"], limit=1, oldest_first=True)
    ahead = [r for r in store.runs.find(states=["queued"], limit=1000, oldest_first=True) if r.seq < run.seq]
    others = f" {_stand(len(ahead))} before it in the queue." if ahead else ""
    if running:
        return f"Waits for '{running[0].name}', which is running.{others}"
    user = device_user(store)
    if ahead:
        first = f"Waits for '{ahead[0].name}', which is next in the queue"
        return f"{first}, and that {user[0].lower()}{user[1:]}" if user else f"{first}."
    return user or "Starts in a moment."


def device_user(store: Store) -> str:
    """Who has the machine, as a sentence that begins with 'Waits for'; '' where nobody has."""
    settings = store.settings
    lock = device_lock(settings)
    if not held(lock):
        return ""
    found = holder(lock)
    if found is None:
        return "Waits for another program that has this machine."
    if found.purpose == PREVIEWS:
        grace = settings.limits.live_leave_seconds
        return f"Waits for the preview process ({found.pid}) to leave; it is ended after {grace:.0f} seconds."
    if found.purpose.startswith(COMMAND):
        command = found.purpose.removeprefix(COMMAND)
        return f"Waits for the command 'python -m core {command}' (process {found.pid}), which has this machine."
    if found.purpose.startswith(RUN):
        names = {r.id: r.name for r in store.runs.find(text=found.purpose.removeprefix(RUN), limit=1)}
        name = names.get(found.purpose.removeprefix(RUN), "a run that was deleted")
        return f"Waits for the process of '{name}' ({found.pid}) to end."
    return f"Waits for process {found.pid}, which has this machine."


def _stopped_runner(settings: Settings) -> str:
    """A sentence where the runner lives and does nothing. Its lock is read, never probed: its takers do not wait."""
    pid = signer(runner_lock(settings))
    try:
        stopped = pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:  # none works now: whoever looks at the queue starts one
        return ""
    if not stopped:
        return ""
    return f"The runner (process {pid}) is stopped, so nothing starts: continue it with 'kill -CONT {pid}'."


def _stand(count: int) -> str:
    return "1 run stands" if count == 1 else f"{count} runs stand"
