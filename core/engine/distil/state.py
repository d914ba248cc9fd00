"""What a training run must remember to go on as if it had never stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.durable_files import make_folder, replacing, replacing_folder
from core.engine.distil.parallel import like
from core.errors import RetortError

_KEPT = 2  # checkpoints that stay: should the newest be damaged, the one before is there


class Evaluated(BaseModel):
    """One look at the held-out sequences. `value` is the weighted mix, what the best step is chosen by."""

    step: int
    value: float
    terms: dict[str, float]


class TrainState(BaseModel):
    """Everything beside weights and optimiser. Random numbers and data order follow from seed and step."""

    identity: str
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    average: float | None = None
    lowest: float | None = None
    rising: int = 0
    evaluations: list[Evaluated] = []

    @property
    def best(self) -> Evaluated | None:
        """The evaluation with the lowest loss, the earliest of equals."""
        finite = [e for e in self.evaluations if e.value == e.value]
        return min(finite, key=lambda e: e.value) if finite else None


class Checkpoints:
    """Checkpoints and best weights in one folder; everything appears whole or not at all."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self._identity = identity
        make_folder(folder)

    def save(self, state: TrainState, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        """Writes `step-N/` and removes older ones, and best weights no checkpoint refers to."""
        final = self.folder / f"step-{state.step:08d}"
        try:
            with replacing_folder(final) as temporary:
                save_file(_stored(weights), temporary / "weights.safetensors")
                save_file(_stored(optimizer), temporary / "optimizer.safetensors")
                (temporary / "state.json").write_text(state.model_dump_json(indent=1))
        except OSError as error:
            raise RetortError(
                f"The checkpoint could not be written: {error.strerror or error}.",
                "Free disk space and resume the run.",
            ) from error
        kept = self._steps()[-_KEPT:]
        for old in self._steps()[:-_KEPT]:
            shutil.rmtree(old)
        named = {self._best_path(state.best.step).name for state in map(self._read, kept) if state and state.best}
        for file in self.folder.glob("best-*.safetensors"):
            if file.name not in named:
                file.unlink()

    def latest(self) -> tuple[TrainState, dict[str, Tensor], dict[str, Tensor]] | None:
        """The newest whole checkpoint: state, weights, optimiser. None where there is none.

        Raises:
            RetortError: it belongs to another run (other models, data or settings).
        """
        for path in reversed(self._steps()):
            state = self._read(path)
            if state is None:
                continue
            try:
                weights, optimizer = load_file(path / "weights.safetensors"), load_file(path / "optimizer.safetensors")
            except (OSError, SafetensorError):
                continue
            if state.identity != self._identity:
                raise RetortError(
                    "The checkpoint in this folder belongs to a run with other models, data or settings.",
                    "Start a new run, or set everything back to what it was.",
                )
            return state, weights, optimizer
        return None

    def save_best(self, step: int, weights: Mapping[str, Tensor]) -> None:
        path = self._best_path(step)
        with replacing(path) as temporary:
            save_file(_stored(weights), temporary)

    def load_best(self, step: int) -> dict[str, Tensor]:
        return load_file(self._best_path(step))

    def _best_path(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _read(self, path: Path) -> TrainState | None:
        """None where the file is missing or damaged."""
        try:
            return TrainState.model_validate_json((path / "state.json").read_text())
        except (OSError, ValueError):
            return None


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]) -> dict[str, Tensor]:
    """The optimiser's state as `name of the parameter | name of the entry` to tensor."""
    return {
        f"{name}|{entry}": torch.as_tensor(value)
        for parameter, name in names.items()
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str], tensors: Mapping[str, Tensor]
) -> None:
    """Undoes `optimizer_tensors`."""
    by_name = {name: p for p, name in names.items()}
    for key, tensor in tensors.items():
        name, entry = key.rsplit("|", 1)
        parameter = by_name[name]
        optimizer.state[parameter][entry] = like(tensor, parameter)
