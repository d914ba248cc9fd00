"""What a sensitivity measurement is asked for and what it found, as kept in the home.

`home/sensitivity/KEY.json` holds a finished measurement; its key is a hash of everything that determines
the figures. While it is being made, its cells lie in `KEY.cells.json` and `KEY.removed.json` beside it.
"""

from __future__ import annotations

import json
import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.analysis.estimate import ModelSize, read_probe
from core.base import durable_files, json_io
from core.base.integrity import damage, write_sealed
from core.base.roles import Actor
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.catalogue.contents import content_of
from core.recipe.parts import Calibration, Evaluation, Fraction, Seed, Strict
from core.recipe.recipe import Grid, Recipe, Sweep
from core.recipe.references import ModelReference
from core.recipe.results import ENGINE_REVISION
from core.recipe.trial_keys import hashed, library_versions
from core.registry.methods import METHODS

log = logging.getLogger("retort")
MEASURED_ON = Evaluation(split="training", tokens=4_096, window=256)
"""By default a text that neither calibrates nor evaluates: an allocation fitted to the figures on the text it is
judged by would flatter itself."""


Working = Literal["cells", "removed"]
_WORKING: tuple[Working, ...] = ("cells", "removed")
KEY_NOTE = "sensitivity.json"
_START_SECONDS = 15.0  # a worker's imports, loading the model, the break-even
_SKIPPED = 0.55  # the layers before the changed one are not computed again


class SensitivitySpec(Strict):
    """One measurement: a method at some sparsities, layer by layer and part by part, and layers taken out."""

    model: ModelReference
    method: str = "magnitude"
    sparsities: tuple[Fraction, ...] = Field((0.5,), min_length=1, max_length=10)
    parts: bool = True
    """Each matrix of a layer as well as the whole layer."""
    removed: Literal["nothing", "layers", "layers_and_heads"] = "layers"
    calibration: Calibration = Calibration()
    evaluation: Evaluation = MEASURED_ON
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Seed = 0

    @field_validator("method")
    @classmethod
    def zeroes_weights(cls, value: str) -> str:
        if value not in METHODS or METHODS[value].structured:
            known = ", ".join(m.id for m in METHODS.values() if not m.structured)
            raise ValueError(f"'{value}' is no method that zeroes weights; those are {known}")
        return value

    def recipe(self) -> Recipe:
        """The sweep that reads the same model and texts."""
        return Recipe(
            name=one_line(f"Sensitivity of {self.model}", 120),
            model=self.model,
            calibration=self.calibration,
            evaluation=self.evaluation,
            latency=None,
            dtype=self.dtype,
            seed=self.seed,
            sweep=Sweep(grid=(Grid(method=(self.method,), sparsity=self.sparsities, seeds=(self.seed,)),)),
        )

    def key(self, fingerprint: str, settings: Settings, actor: Actor) -> str:
        """Where a measurement of this lies: a hash of all that determines it, texts and model by their bytes.

        `fingerprint` identifies the model's exact bytes; how model and texts were called does not count.

        Raises:
            RetortError: a text lies outside the roots, or is not there.
        """
        calibrated = METHODS[self.method].calibrated
        left_out = {"model"} if calibrated else {"model", "calibration"}
        parts = self.model_dump(mode="json", exclude=left_out)
        for name in ("calibration", "evaluation"):
            if name in parts:
                parts[name]["data"] = content_of(parts[name]["data"], settings, actor)
        return hashed([ENGINE_REVISION, library_versions(), fingerprint, parts])


class Change(BaseModel):
    """The loss change (nats per token) with one part of one layer pruned or taken out, all else dense."""

    model_config = ConfigDict(frozen=True)
    layer: int
    part: str | None
    """The part of the layer; None for the whole layer."""
    sparsity: float
    change: float
    samples: list[float]
    """The loss change of each window."""
    parameters: int


class BreakEvenFact(BaseModel):
    """From which sparsity on a CSR product of one matrix shape is faster than the dense one, on this machine."""

    model_config = ConfigDict(frozen=True)
    rows: int
    columns: int
    matrices: int
    """How many matrices of the model have this shape."""
    dense_ms: float
    sparse_ms: list[tuple[float, float]]
    """(sparsity, milliseconds), ascending."""
    sparsity: float | None
    """None where the sparse product never was faster."""
    settings: dict[str, Any]


class Sensitivity(BaseModel):
    """A finished measurement."""

    model_config = ConfigDict(frozen=True)
    key: str
    fingerprint: str
    spec: SensitivitySpec
    loss: float
    """Of the dense model, nats per token."""
    cells: list[Change]
    removed: list[Change]
    """Whole layers (part None) and heads (part 'head N') that were skipped."""
    break_even: list[BreakEvenFact]
    notes: list[str] = Field(default_factory=list)
    made: float
    """When, in seconds since 1970."""

    def curves(self) -> dict[int, dict[float, float]]:
        """Whole-layer loss changes by layer and sparsity."""
        found: dict[int, dict[float, float]] = {}
        for cell in self.cells:
            if cell.part is None:
                found.setdefault(cell.layer, {})[cell.sparsity] = cell.change
        return found

    def whole(self, sparsity: float) -> dict[int, Change]:
        """The whole-layer cells at one sparsity, by layer."""
        return {c.layer: c for c in self.cells if c.part is None and c.sparsity == sparsity}


def folder_of(settings: Settings) -> Path:
    return settings.home / "sensitivity"


def path_of(settings: Settings, key: str) -> Path:
    return folder_of(settings) / f"{key}.json"


def read(settings: Settings, key: str) -> Sensitivity | None:
    """The finished measurement with this key, or None."""
    return _read(path_of(settings, key))


def write(settings: Settings, found: Sensitivity) -> None:
    """Makes a finished measurement durable; the working files beside it go."""
    path = path_of(settings, found.key)
    write_sealed(path, found.model_dump_json())
    for name in _WORKING:
        working_path(settings, found.key, name).unlink(missing_ok=True)


def note_key(run_folder: Path, key: str) -> None:
    """Says in a run's folder which measurement it makes: texts may be overwritten afterwards."""
    durable_files.write(run_folder / KEY_NOTE, json.dumps({"key": key}))


def key_of_run(settings: Settings, run_id: str) -> str | None:
    """Which measurement a run makes or made; None where it has not begun."""
    try:
        key = json_io.load((settings.run_folder(run_id) / KEY_NOTE).read_bytes())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) and re.fullmatch(r"[0-9a-f]{24}", key) else None


def working_path(settings: Settings, key: str, name: Working) -> Path:
    """Where the parts of a measurement lie that is not finished."""
    return folder_of(settings) / f"{key}.{name}.json"


def unfinished(settings: Settings, key: str) -> tuple[list[Change], list[Change]]:
    """The cells and the removed parts measured so far."""
    found = []
    for name in _WORKING:
        try:
            rows = json_io.load(working_path(settings, key, name).read_bytes())["cells"]
            found.append([Change.model_validate(r) for r in rows])
        except (OSError, ValueError, KeyError, TypeError):
            found.append([])
    return found[0], found[1]


def find(settings: Settings, fingerprint: str | None, method: str | None = None) -> list[Sensitivity]:
    """Finished measurements of a model (None: of any), newest first."""
    paths = sorted(folder_of(settings).glob("*.json")) if folder_of(settings).is_dir() else []
    kept = [k for p in paths if p.name.count(".") == 1 and (k := _read(p)) is not None]
    wanted = [k for k in kept if fingerprint in (None, k.fingerprint) and method in (None, k.spec.method)]
    return sorted(wanted, key=lambda k: (-k.made, k.key))


def measurements(spec: SensitivitySpec, layers: int, parts: int, heads: int) -> int:
    """How many evaluations a measurement takes: the dense model, then one for each cell and removed part."""
    cells = layers * (1 + parts * spec.parts) * len(set(spec.sparsities))
    removed = {"nothing": 0, "layers": layers, "layers_and_heads": layers * (1 + heads)}[spec.removed]
    return 1 + cells + removed


def seconds(spec: SensitivitySpec, size: ModelSize, settings: Settings, count: int) -> float | None:
    """What `count` evaluations take by this machine's timed rates; None until it was timed."""
    probe = read_probe(settings)
    if probe is None:
        return None
    forward = 2 * size.active_parameters * spec.evaluation.tokens / probe.forward_flops
    ranking = len(set(spec.sparsities)) * (1 + spec.parts) * size.block_parameters / probe.rank_weights_per_second
    calibration = 0.0
    if METHODS[spec.method].calibrated:
        tokens = spec.calibration.sequences * spec.calibration.length
        calibration = 2 * size.active_parameters * tokens / probe.forward_flops
    return _START_SECONDS + calibration + ranking + count * _SKIPPED * forward


def _read(path: Path) -> Sensitivity | None:
    """A finished measurement, read again only when its file is another one: pages ask at every click."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _parsed(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=64)
def _parsed(path: Path, version: tuple[int, ...]) -> Sensitivity | None:
    """`version`: what tells one file under this path from the next. A file is put in place whole."""
    try:
        if damage(path) is not None:
            raise ValueError("it is damaged")
        return Sensitivity.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        log.warning("the sensitivity in %s was left out: %s", path, reason(error))
        return None
