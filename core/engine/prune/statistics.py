"""One calibration pass, and the folder its statistics are read from at any sparsity afterwards."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base import json_io
from core.base.durable_files import make_folder, replacing
from core.base.errors import RetortError
from core.base.integrity import damage, seal, whole, write_sealed
from core.base.progress import Reporter
from core.engine.models.matrices import Matrix
from core.engine.prune.linear_inputs import LinearInputs
from core.engine.prune.observers import BlockInfluence, Observer
from core.engine.prune.stream import BlockStream
from core.registry.methods import Statistic

_FACTS = "statistics.json"
_ALIASES = "aliases"


@dataclass(frozen=True)
class ModuleStatistics:
    """What went into one weight matrix during calibration.

    Attributes:
        input_norms: `(in,)` float32: the square root of the mean over sequences of the sum over tokens of X_j^2.
        tokens: how many token vectors it saw (0 for an expert no token was routed to: the norms are then all 0).
        cholesky: `(in, in)` float32, the upper Cholesky factor of the inverse Hessian, where it was asked for.
        damping: the share of the Hessian's mean diagonal that was added to it (0.01 unless that failed).
    """

    input_norms: Tensor
    tokens: int
    cholesky: Tensor | None = None
    damping: float = 0.0

    def to(self, device: torch.device) -> ModuleStatistics:
        factor = self.cholesky.to(device) if self.cholesky is not None else None
        return replace(self, input_norms=self.input_norms.to(device), cholesky=factor)


def weight_observers(model: nn.Module, needs: Collection[Statistic], reporter: Reporter) -> list[Observer]:
    """The observers that weight methods, allocations and layer removal by block influence need."""
    observers: list[Observer] = [BlockInfluence()]
    if {"input_norms", "hessian"} & set(needs):
        observers.append(LinearInputs(model, reporter, hessian="hessian" in needs))
    return observers


def collect(
    model: PreTrainedModel,
    windows: Tensor,
    observers: Sequence[Observer],
    reporter: Reporter,
    batch: int = 4,
    *,
    folder: Path,
) -> Statistics:
    """One pass over `windows` `(sequences, length)`, block by block; each block's file is written when it is done.

    A folder left by an interrupted pass with the same windows and observers is continued: its finished
    blocks are run again without their statistics, which is the cheap part.

    Raises:
        RetortError: the model cannot be run block by block, or its values are not finite.
    """
    if is_complete(folder, windows, observers) and _whole(folder):
        return Statistics(folder)
    _begin(folder, windows, observers)
    stream = BlockStream(model, windows, batch)
    count = len(stream.blocks)
    for index in range(count):
        reporter.checkpoint()
        reporter.progress(index, count, f"Calibrating layer {index + 1} of {count}.")
        started, path = time.perf_counter(), _block_file(folder, index)
        known = whole(path, "statistics")
        stream.advance(index, () if known else observers, reporter)
        if not known:
            save_block(path, observers)
            seal(path)
        seconds = time.perf_counter() - started
        reporter.series("calibration layer tokens per second", index, stream.tokens / seconds)
    facts = _request(windows, observers) | {"prefix": stream.prefix, "blocks": count, "complete": True}
    _write_json(folder / _FACTS, facts)
    reporter.progress(count, count, "Calibrated.")
    return Statistics(folder)


def is_complete(folder: Path, windows: Tensor | None = None, observers: Sequence[Observer] = ()) -> bool:
    """True where the folder holds a finished pass (over these windows, with at least these observers)."""
    facts = _facts(folder)
    if not facts.get("complete"):
        return False
    if windows is None:
        return True
    asked = _request(windows, observers)
    return facts["windows"] == asked["windows"] and set(asked["observers"]) <= set(facts["observers"])


class Statistics:
    """The statistics of a finished pass, read block by block as they are asked for.

    Raises:
        RetortError: the folder holds no finished pass.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = _facts(folder)
        if not self.facts.get("complete"):
            raise RetortError(
                "There are no finished calibration statistics for this model.", "Run the calibration again."
            )
        self.prefix: str = self.facts["prefix"]
        self.blocks: int = self.facts["blocks"]

    def block(self, index: int, key: str) -> dict[str, Tensor]:
        """The tensors the observer `key` wrote for a block; empty where it did not watch."""
        return load_block(_block_file(self.folder, index), f"{key}/")

    def has(self, key: str) -> bool:
        return key in self.facts["observers"]

    def module(self, name: str) -> ModuleStatistics:
        """What went into the matrix of that name (`Matrix.name`).

        Raises:
            RetortError: linear inputs were not gathered.
        """
        index, part = name.removeprefix(f"{self.prefix}.").split(".", 1)
        return self._module(int(index), part)

    def _module(self, index: int, part: str) -> ModuleStatistics:
        if not self.has(LinearInputs.key):
            raise RetortError("The calibration holds no input statistics.", "Run the calibration again.")
        return module_statistics(_block_file(self.folder, index), part)

    def of(self, matrix: Matrix) -> ModuleStatistics:
        """What went into a matrix; one that saw nothing has norms of 0."""
        found = self._module(matrix.block_index, matrix.part)
        return found if found.tokens else ModuleStatistics(torch.zeros(matrix.shape[1]), 0)

    @property
    def block_influence(self) -> Tensor:
        """`(blocks,)` float32."""
        return torch.stack([self.block(i, BlockInfluence.key)[""] for i in range(self.blocks)])

    def units(self, key: str) -> list[dict[str, Tensor]]:
        """What the observer `key` wrote, one dictionary per block."""
        return [self.block(i, key) for i in range(self.blocks)]


def module_statistics(path: Path, part: str) -> ModuleStatistics:
    """The linear inputs of one part of a block, from the block's file; norms are empty where nothing was seen."""
    key = LinearInputs.key
    names = ("norms", "tokens", "cholesky", "damping")
    found = load_block(path, f"{key}/", tuple(f"{n}/{part}" for n in names))
    if f"norms/{part}" not in found:
        return ModuleStatistics(torch.empty(0), 0)
    damping = found.get(f"damping/{part}")
    return ModuleStatistics(
        input_norms=found[f"norms/{part}"],
        tokens=int(found[f"tokens/{part}"]),
        cholesky=found.get(f"cholesky/{part}"),
        damping=float(damping) if damping is not None else 0.0,
    )


def save_block(path: Path, observers: Sequence[Observer]) -> None:
    """Writes what the observers gathered about a block; tensors that are the same object are written once."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[int, str] = {}
    gathered = [(observer.key, observer.finish()) for observer in observers]  # kept alive: a freed id is used again
    for key, found in gathered:
        for name, tensor in found.items():
            full = f"{key}/{name}"
            if id(tensor) in first:
                aliases[full] = first[id(tensor)]
            else:
                first[id(tensor)] = full
                tensors[full] = tensor.detach().cpu().contiguous()
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={_ALIASES: json.dumps(aliases)})


def load_block(path: Path, prefix: str, wanted: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Tensors of a block's file whose names start with `prefix`, without it; only those `wanted` if given."""
    with safe_open(path, framework="pt") as file:
        aliases: dict[str, str] = json.loads((file.metadata() or {}).get(_ALIASES, "{}"))
        stored = dict.fromkeys(file.keys()) | aliases
        names = [n for n in stored if n.startswith(prefix)]
        if wanted is not None:
            names = [n for n in names if n.removeprefix(prefix) in wanted]
        return {n.removeprefix(prefix): file.get_tensor(stored[n] or n) for n in names}


def _request(windows: Tensor, observers: Sequence[Observer]) -> dict[str, Any]:
    digest = hashlib.sha256(windows.cpu().contiguous().numpy().tobytes()).hexdigest()[:24]
    sequences, length = windows.shape
    return {
        "windows": digest,
        "sequences": int(sequences),
        "length": int(length),
        "tokens": int(windows.numel()),
        "observers": sorted(name for o in observers for name in _identities(o)),
    }


def _identities(observer: Observer) -> list[str]:
    """The key; for linear inputs with Hessians that as well, so that they also serve who asks for norms only."""
    return [observer.key, f"{observer.key}:hessian"] if getattr(observer, "hessian", False) else [observer.key]


def _begin(folder: Path, windows: Tensor, observers: Sequence[Observer]) -> None:
    """Keeps the blocks of an interrupted pass with the same request, and nothing else."""
    make_folder(folder)
    asked = _request(windows, observers)
    facts = _facts(folder)
    if {name: facts.get(name) for name in asked} != asked:
        for stale in [*folder.glob("block-*"), *folder.glob(".block-*")]:
            stale.unlink()
    if facts != asked:
        _write_json(folder / _FACTS, asked)


def _whole(folder: Path) -> bool:
    """Whether every block of a finished pass is there as it was written."""
    return all(whole(_block_file(folder, i), "statistics") for i in range(_facts(folder)["blocks"]))


def _block_file(folder: Path, index: int) -> Path:
    return folder / f"block-{index:04d}.safetensors"


def _facts(folder: Path) -> dict[str, Any]:
    """What the folder says of itself; nothing where that is missing or damaged."""
    path = folder / _FACTS
    try:
        if damage(path) is not None:
            return {}
        found = json_io.load(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_sealed(path, json.dumps(value, indent=1))
