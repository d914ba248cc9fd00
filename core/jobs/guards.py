"""What keeps a job from taking the machine with it: refused before it starts, watched while it works, ended in time.

Memory is watched by a thread and not by a kernel limit (RLIMIT_DATA), which counts what is reserved and not what
is used, and at which an allocation fails somewhere in the middle of a step: the thread asks the job to stop at its
next checkpoint, so that nothing is lost.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from core.analysis.fits_model import refuse_misfit
from core.analysis.needs import Need, need_of
from core.base import json_io, memory
from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.anatomy import Anatomy, anatomy
from core.catalogue.references import resolve
from core.recipe.recipe import Recipe
from core.registry.formatting import show_bytes
from core.store import Store

log = logging.getLogger("retort")
LOOK = 0.5
"""Seconds between two looks at memory and clock."""
BEYOND = 1.15
"""At so many times its limit a job is ended at once."""
GRACE = 60.0
"""Seconds a job has to reach a checkpoint once it was asked to stop."""
ENDED = 76
"""Exit status of a worker that ended itself because it did not stop in time."""
_KILLS = "memory-kills.json"


def refuse_oversized(recipe: Recipe, settings: Settings) -> None:
    """Refuses what cannot work on this machine whatever else runs. A model that is not here yet is not judged.

    Raises:
        RetortError: what the model does not have; what the recipe needs, what a job may take, and what to do; a model
            whose files do not hold what its config states; or a limit cannot be read.
    """
    _refuse_obstacle(recipe, settings)
    if (found := _anatomy(recipe, settings)) is not None:
        refuse_misfit(recipe, found)
    _refused_need(recipe, settings)


def refuse_unfit(recipe: Recipe, settings: Settings) -> None:
    """Refuses what does not fit beside what runs now. The worker asks, before it opens the model.

    Raises:
        RetortError: as `refuse_oversized`, with the memory that is free at this moment.
    """
    _refuse_obstacle(recipe, settings)
    need, free = _refused_need(recipe, settings), memory.available()
    if need is not None and need.bytes > free:
        raise RetortError(
            f"This run needs about {show_bytes(need.bytes)} of memory ({need.step}), and {show_bytes(free)} is free.",
            "Close other programs, then retry: nothing was started.",
        )


def _refuse_obstacle(recipe: Recipe, settings: Settings) -> None:
    """Refuses a model nothing can be done with: not its size is at fault then."""
    found = _anatomy(recipe, settings)
    if found is not None and found.obstacle:
        raise RetortError(found.obstacle, found.way_on)


def _refused_need(recipe: Recipe, settings: Settings) -> Need | None:
    """What the recipe needs, unless that is refused on this machine; None where nobody can tell."""
    limit = memory.limit_of(settings.limits.memory)
    minutes_of(settings.limits.minutes)
    need = _need(recipe, settings)
    if need is not None and need.bytes > limit:
        raise RetortError(
            f"This run needs about {show_bytes(need.bytes)} of memory ({need.step}), and a job may take "
            f"{show_bytes(limit)} on this machine.",
            "Choose a smaller model, dtype bfloat16 or a method that needs less (see 'What can be done with it' on the "
            "Model page); 'python -m core prune' prunes models that are larger than memory.",
        )
    return need


def minutes_of(text: str) -> float | None:
    """Minutes a run may work at a stretch by `RETORT_TIME_LIMIT`; None: as long as it takes.

    Raises:
        RetortError: it is no number above 0.
    """
    if not text.strip():
        return None
    with suppress(ValueError):
        if (minutes := float(text)) > 0:
            return minutes
    raise RetortError(f"The time limit '{text[:40]}' cannot be read.", "Set RETORT_TIME_LIMIT to minutes, such as 90.")


def _need(recipe: Recipe, settings: Settings) -> Need | None:
    if recipe.executor != "local":
        return None  # the cluster's nodes compute, and each says itself what it cannot load
    found = _anatomy(recipe, settings)
    return None if found is None else need_of(recipe, found, settings)


def _anatomy(recipe: Recipe, settings: Settings) -> Anatomy | None:
    try:
        return anatomy(resolve(recipe.model, settings, None).folder)
    except RetortError:
        return None  # what is wrong with the model is said by whoever opens it


class ResourceWatch:
    """Looks at a job's memory and time from a thread of its process.

    Args:
        ask: called once with the reason when the job should stop at its next checkpoint.
        end: called with the reason where it did not; it ends the process.
    """

    def __init__(
        self,
        limit: int,
        minutes: float | None,
        ask: Callable[[RetortError], None],
        end: Callable[[RetortError], None],
        grace: float = GRACE,
    ) -> None:
        self.limit = limit
        self._minutes, self._grace = minutes, grace
        self._ask, self._end = ask, end
        self._began = time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        while (reason := self._reason(self.limit)) is None:
            time.sleep(LOOK)
        log.warning("%s", reason.cause)
        self._ask(reason)
        asked = time.monotonic()
        while time.monotonic() - asked < self._grace:
            if self._too_much(int(self.limit * BEYOND)):
                break
            time.sleep(LOOK / 5)
        self._end(reason)

    def _reason(self, limit: int) -> RetortError | None:
        if self._minutes is not None and time.monotonic() - self._began > self._minutes * 60:
            return RetortError(
                f"The run reached its time limit of {self._minutes:g} minutes.",
                "Resume it to go on where it stopped: finished candidates and the last checkpoint are kept.",
            )
        if used := self._too_much(limit):
            return RetortError(
                f"The job had grown to {show_bytes(used)} of memory, and its limit is {show_bytes(limit)}.",
                "Use fewer sequences, shorter windows or a smaller batch, or raise RETORT_MEMORY_LIMIT; then retry: "
                "finished candidates and the last checkpoint are kept.",
            )
        return None

    @staticmethod
    def _too_much(limit: int) -> int:
        """Bytes in use where that is more than the limit, else 0. Shared pages are told apart only when it matters."""
        if used_quickly() <= limit:
            return 0
        used = used_exactly()
        return used if used > limit else 0


def used_quickly() -> int:
    """Bytes of memory that belong to this process and all it started; pages they share count more than once."""
    total = 0
    for pid in _family():
        with suppress(OSError, ValueError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            total += 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in fields)
    return total or int(psutil.Process().memory_info().rss)


def used_exactly() -> int:
    """The same with every page counted once. It takes milliseconds for a large process."""
    total = 0
    for pid in _family():
        with suppress(OSError, ValueError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            fields = dict(line.split(":", 1) for line in lines)
            total += 1024 * sum(int(fields[n].split()[0]) for n in ("Pss_Anon", "Pss_Shmem") if n in fields)
    return total or used_quickly()


def _family(pid: int | str = "self") -> list[str]:
    """This process and everything it started, as the kernel knows them; only this one where it does not say."""
    found = [str(pid)]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    found += _family(child)
    return found


def end_for(store: Store, run_id: str) -> Callable[[RetortError], None]:
    """Ends this process and leaves its run with the reason: for a job that does not stop by itself."""

    def end(reason: RetortError) -> None:
        with suppress(RetortError):
            store.trials.stop(run_id)
            store.runs.finish(run_id, "failed", cause=reason.cause, remedy=reason.remedy)
        logging.shutdown()
        os._exit(ENDED)

    return end


def remember_kills(run_folder: Path) -> None:
    """Writes down how often the kernel has ended programs for want of memory until now."""
    with suppress(OSError):
        (run_folder / _KILLS).write_text(json.dumps({"machine": socket.gethostname(), "kills": memory.kills()}))


def killed_for_memory(run_folder: Path) -> bool | None:
    """Whether the kernel has done so since `remember_kills`; None where nobody can know."""
    try:
        before = json_io.load((run_folder / _KILLS).read_bytes())
        counts = {n: (int(before["kills"][n]), now) for n, now in memory.kills().items() if n in before["kills"]}
        known = before["machine"] == socket.gethostname() and bool(counts)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return any(now > then for then, now in counts.values()) if known else None
