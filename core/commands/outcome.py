"""What a run came to, on a terminal: who failed and why, what was noted, where exports lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from core.base import json_io
from core.base.errors import SAME_AGAIN
from core.base.settings import Settings
from core.commands.terminal import put, say
from core.jobs import resumable
from core.recipe.results import Result
from core.registry.formats import EXPORTS
from core.registry.formatting import show_bytes
from core.store import RunRow, TrialRow

_FACTS = "export.json"
_SHOWN = 3
"""Failed trials of a run that a list of runs names; all of them where one run is shown."""


def failures(run: RunRow, trials: Sequence[TrialRow], most: int | None = None) -> list[str]:
    """Sentences that name each failed trial with cause and remedy; of a run that failed as a whole, its own."""
    failed = [t for t in trials if t.state == "failed"]
    told = [f"'{t.label}' failed: {t.cause} {t.remedy}".rstrip() for t in failed]
    if run.state == "failed" and run.cause not in (t.cause for t in failed):
        told.append(f"{run.cause} {run.remedy}".rstrip())
    if most is not None and len(told) > most:
        more = len(told) - most
        told = [*told[:most], f"{more} more failed; all of them: python -m core show {run.id}"]
    return told


def say_failures(run: RunRow, trials: Sequence[TrialRow]) -> None:
    """What failed, and how to go on: a resume is named only where it can help."""
    for sentence in failures(run, trials):
        say(sentence)
    command = f"python -m core resume {run.id}"
    failed = f"{run.trials_failed} of {run.trials_total} candidates failed. " if run.state == "done" else ""
    if resumable.can_help(run, trials):
        say(f"{failed}When that is mended, go on with: {command}")
    elif failed:
        say(f"{failed}{SAME_AGAIN}")


def list_failures(run: RunRow, trials: Sequence[TrialRow]) -> None:
    """The same below a list of runs, a few lines per run."""
    for sentence in failures(run, trials, _SHOWN):
        say(f"{run.id}: {sentence}")


def put_notes(results: Sequence[Result]) -> None:
    """How the candidates were obtained: each note once, with those it is about."""
    about: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            about.setdefault(note, []).append(result.label)
    if not about:
        return
    put("")
    put("Notes:")
    made = {r.label for r in results if not r.baseline}
    for note, labels in about.items():
        whose = "All" if len(labels) > 1 and set(labels) >= made else "; ".join(labels)
        put(f"  {whose}: {note}")


class Exported(TypedDict):
    """An export of a run: in which format, of which candidate, where, and its size in bytes."""

    format: str
    candidate: str | None
    folder: str
    bytes: NotRequired[int]
    bytes_with_tokenizer: NotRequired[int]
    max_logit_difference: NotRequired[float | None]


def exports_of(run: RunRow, trials: Sequence[TrialRow], settings: Settings) -> list[Exported]:
    """The exports in a run's folder, in the order they were written: format, whose model, folder, bytes."""
    labels = {t.index: t.label for t in trials}
    found: list[Exported] = []
    for path in sorted((settings.run_folder(run.id) / "exports").glob(f"*/{_FACTS}"), key=_place):
        try:
            facts = json_io.load(path.read_bytes())
            one = Exported(format=str(facts["format"]), candidate=labels.get(_place(path)[0]), folder=str(path.parent))
            if "bytes" in facts:
                one["bytes"] = int(facts["bytes"])
            if "bytes_with_tokenizer" in facts:
                one["bytes_with_tokenizer"] = int(facts["bytes_with_tokenizer"])
            if "max_logit_difference" in facts:
                one["max_logit_difference"] = facts["max_logit_difference"]
            found.append(one)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue  # a folder that is being written, or that somebody changed
    return found


def put_exports(found: Sequence[Exported]) -> None:
    """One line an export: what, of which model, how large, where."""
    if not found:
        return
    put("")
    put("Exports:")
    for one in found:
        known = EXPORTS.get(one["format"])
        size = f" ({show_bytes(one['bytes'])} of weights)" if "bytes" in one else ""
        whose = f" of '{one['candidate']}'" if one["candidate"] else ""
        put(f"  {known.label if known else one['format']}{whose}{size}: {one['folder']}")


def _place(path: Path) -> tuple[int, int]:
    """The trial an export belongs to, from its folder's name '2-gguf', and when its facts were written."""
    number = path.parent.name.partition("-")[0]
    return (int(number) if number.isdecimal() else -1, path.stat().st_mtime_ns)
