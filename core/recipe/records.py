"""A run's record: what the index knows of it, in its own folder too, so that the index can be made again.

`runs/ID/run.json` holds the run (recipe, state, tags, note, times) and its trials, with a checksum over both. The store
writes it with each change, in the same transaction; progress, which changes twice a second, is left to the index.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.base import durable_files
from core.base.json_io import load
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import read_bounded, reason

log = logging.getLogger("retort")
RECORD = "run.json"
_BYTES = 64_000_000


class Record(BaseModel):
    """One run and its trials, as the rows of the tables: column to value."""

    model_config = ConfigDict(frozen=True)
    run: dict[str, Any]
    trials: list[dict[str, Any]]

    @property
    def keys(self) -> set[str]:
        return {str(t.get("key")) for t in self.trials}


def write_record(folder: Path, record: Record) -> None:
    """Makes the record durable.

    Raises:
        OSError: it cannot be written.
    """
    body = record.model_dump()
    durable_files.write(folder / RECORD, json.dumps({"sha256": _digest(body), **body}))


def read_record(folder: Path) -> Record | None:
    """The record in a run's folder; None where there is none, or it is damaged (which is logged)."""
    try:
        found = load(read_bounded(folder / RECORD, _BYTES))
        record = Record.model_validate(found)
        if found.get("sha256") != _digest(record.model_dump()):
            raise ValueError("its checksum differs")
        if record.run.get("id") != folder.name:
            raise ValueError("it belongs to another run")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        log.warning("left out %s: %s", one_line(str(folder / RECORD), 300), reason(error))
        return None
    return record


def records(settings: Settings) -> Iterator[Record]:
    """All that can be read, in the order of their ids."""
    if settings.runs.is_dir():
        for folder in sorted(p for p in settings.runs.iterdir() if p.is_dir()):
            record = read_record(folder)
            if record is not None:
                yield record


def makes_again(key: str, settings: Settings) -> str:
    """A remedy: how the model of the candidate `key` comes back."""
    for record in records(settings):
        if key in record.keys:
            return _made_by(record.run)
    return "No run here makes it: prune or train it anew, then use that one."


def run_makes_again(run_id: str, settings: Settings) -> str:
    """A remedy: how what a run wrote into its own folder comes back."""
    record = read_record(settings.run_folder(run_id))
    return _made_by(record.run) if record is not None else "Do the run anew."


def _made_by(run: dict[str, object]) -> str:
    run_id, name = str(run["id"]), one_line(str(run.get("name", "")), 120)
    if run.get("state") in ("queued", "running"):
        return f"The run '{name}' ({run_id}) makes it again: wait for its end."
    return f"Resume the run '{name}' on its page, or with 'python -m core resume {run_id}': it makes it again."


def _digest(body: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
