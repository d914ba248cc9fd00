"""A finished study in one small file, and back into a home of its own: figures without models.

The product comes with one, so that its charts and reports can be tried before anything has run. It is shown from a
home that holds nothing else: the user's own runs never mix with it.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.base import json_io
from core.base.durable_files import replacing_folder
from core.base.errors import RetortError
from core.base.integrity import write_sealed
from core.base.settings import Settings
from core.base.untrusted_files import read_bounded, reason
from core.recipe.recipe import Recipe
from core.recipe.records import Record, write_record
from core.recipe.results import Result
from core.store import result_files
from core.store.store import Store

BYTES = 4_000_000
"""The largest bundle that is read."""
_DIGITS = 6
_LEFT_OUT = {"seq", "settings", "started_by", "notes", "tags"}
"""What a run's row says of its home and its people."""
_NAME = 120


class Bundle(BaseModel):
    """A study as it is handed on."""

    model_config = ConfigDict(frozen=True)
    format: int = Field(1, ge=1, le=1)
    machine: str = Field(min_length=1, max_length=80)
    """Where it was measured, as people call it."""
    measured: float
    """When it ended, in seconds since 1970."""
    run: dict[str, Any]
    trials: list[dict[str, Any]]
    results: list[dict[str, Any]]

    @property
    def day(self) -> str:
        """'30 Nov 2026'."""
        then = time.gmtime(self.measured)
        return f"{then.tm_mday} {time.strftime('%b %Y', then)}"

    @property
    def said(self) -> str:
        """The sentence that stands wherever it is shown."""
        return f"Example, measured on {self.machine} on {self.day}; not your machine."

    def recipe(self) -> Recipe:
        """What was measured.

        Raises:
            RetortError: it was made by another version of Retort.
        """
        try:
            return Recipe.model_validate(json.loads(self.run["recipe"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RetortError("The example was made by another version of Retort.", "Install Retort again.") from error


def pack(store: Store, run_id: str, machine: str = "") -> str:
    """The bundle of a finished study, as JSON: figures, samples rounded to six digits, the recipe, no models.

    Args:
        machine: what the machine is called; '' : the processor's name, as the times of the study say it.

    Raises:
        RetortError: there is no such run, it has not ended well, or nobody knows where it was measured.
    """
    run, results = store.runs.get(run_id), store.candidates.results(run_id=run_id)
    if run.state != "done" or run.trials_failed or len(results) < 2:
        raise RetortError(f"'{run.name}' is not finished in full.", "Choose a study that is done, without failures.")
    machine = machine or next(
        (str(m.settings["machine"]) for r in results for m in r.measurements if m.settings.get("machine")), ""
    )
    if not machine:
        raise RetortError(f"'{run.name}' does not say on which machine it was measured.", "Name the machine.")
    record = json_io.load((store.settings.run_folder(run_id) / "run.json").read_bytes())
    kept = [r.model_copy(update={"saved": False}).model_dump(mode="json") for r in results]
    return json.dumps(
        {
            "format": 1,
            "machine": machine,
            "measured": run.finished,
            "run": {k: v for k, v in record["run"].items() if k not in _LEFT_OUT},
            "trials": record["trials"],
            "results": _rounded(kept),
        },
        separators=(",", ":"),
    )


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file.

    Raises:
        RetortError: there is none, or it is damaged.
    """
    try:
        return Bundle.model_validate(json_io.load(read_bounded(path, BYTES)))
    except (OSError, ValueError, ValidationError) as error:
        raise RetortError(
            f"The example in {path.name} cannot be read ({reason(error)}).", "Install Retort again."
        ) from error


def unpack(bundle: Bundle, run_id: str, settings: Settings) -> None:
    """Makes a home, at `settings.home`, that holds this study alone, as the run `run_id`.

    Raises:
        RetortError: it was made by another version of Retort.
        OSError: the folder cannot be written.
    """
    try:
        results = [Result.model_validate(r) for r in bundle.results]
        name = f"Example on {bundle.machine}, {bundle.day}: {bundle.run['name']}"[:_NAME]
        run = {**bundle.run, "id": run_id, "name": name, "settings": "", "started_by": "", "notes": "", "tags": "[]"}
    except (ValidationError, KeyError) as error:
        raise RetortError("The example was made by another version of Retort.", "Install Retort again.") from error
    with replacing_folder(settings.home, flush=False) as folder:
        write_record(_made(folder / "runs" / run_id), Record(run=run, trials=bundle.trials))
        for result in results:
            path = _made(folder / "candidates" / result.key) / "result.json"
            write_sealed(path, result_files.dump(result))
            os.utime(path, (bundle.measured, bundle.measured))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _rounded(value: Any) -> Any:
    """Plain data with its floats at `_DIGITS` significant digits."""
    if isinstance(value, float):
        return value if not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
