"""Turns what stopped a job into one sentence of cause and one of remedy. Torch is recognised by name."""

from __future__ import annotations

import signal
from pathlib import Path

from core.base.errors import RetortError
from core.base.panics import panic_in_words
from core.store.problems import disk_full, explain_os

KEPT = "finished candidates are kept"
_LESS_MEMORY = f"Close other programs, or use fewer sequences, shorter windows or a smaller batch, then retry: {KEPT}."
_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "bad_alloc",
)
_DISK_FULL = ("no space left on device", "disk quota exceeded", "os error 28", "os error 27", "file too large")


def explain(error: BaseException, run_folder: Path) -> RetortError:
    """The sentence for any exception of a job. Its traceback belongs in the log only."""
    if isinstance(error, RetortError):
        return error
    if (panic := panic_in_words(error)) is not None:
        return panic
    if is_out_of_memory(error):
        return out_of_memory()
    if _mentions(error, None, "", _DISK_FULL):
        return disk_full(run_folder)
    plain = explain_os(error, run_folder) if isinstance(error, OSError) else None
    if plain is not None:
        return plain
    what = " ".join(str(error).split())[:300] or "no message"
    return RetortError(
        f"Something unexpected happened: {type(error).__name__}: {what}",
        f"Read log.txt of this run for the details, then retry: {KEPT}.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in whatever words Python, torch or a library says so."""
    return _mentions(error, MemoryError, "OutOfMemoryError", _OUT_OF_MEMORY)


def lost(status: int | None, memory_ran_out: bool | None, working_on: list[str], starts: int) -> RetortError:
    """The sentence for a worker that died without a word.

    Args:
        status: its exit status (minus the signal's number where a signal ended it), None if nobody saw it.
        memory_ran_out: whether the kernel ended programs for want of memory meanwhile, None if unknown.
    """
    how = " ".join(p for p in (_times(starts), f"while working on '{working_on[0]}'" if working_on else "") if p)
    how = f" {how}" if how else ""
    killed = status in (None, -signal.SIGKILL)
    if killed and memory_ran_out:
        return RetortError(f"The system ended the job{how}, most likely because memory ran out.", _LESS_MEMORY)
    if status == -signal.SIGKILL and memory_ran_out is None:
        return RetortError(f"The job was killed{how}, perhaps because memory ran out.", _LESS_MEMORY)
    if status == -signal.SIGKILL:
        return RetortError(
            f"The job was killed{how}, and not for want of memory: something else ended it.",
            f"See whether a person or a program (such as a job manager) ends processes here, then retry: {KEPT}.",
        )
    name = f" ({signal.Signals(-status).name})" if status is not None and -status in set(signal.Signals) else ""
    maybe = "; perhaps memory ran out" if killed and memory_ran_out is None else ""
    return RetortError(
        f"The job stopped without a word{how}{name}{maybe}.",
        f"Read log.txt of this run for the last thing it did, then retry: {KEPT}.",
    )


def out_of_memory() -> RetortError:
    return RetortError("There was not enough memory for this job.", _LESS_MEMORY)


def _mentions(error: BaseException, kind: type[BaseException] | None, name: str, words: tuple[str, ...]) -> bool:
    """Whether the error, or one it was raised from, is of a kind, has a name, or says one of the words."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        if (kind and isinstance(seen, kind)) or type(seen).__name__ == name or any(w in text for w in words):
            return True
        seen = seen.__cause__
    return False


def _times(count: int) -> str:
    return "" if count <= 1 else "twice in a row" if count == 2 else f"{count} times in a row"
