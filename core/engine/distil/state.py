"""What a training run must remember to go on as if it had never stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.base.durable_files import make_folder, replacing, replacing_folder
from core.base.errors import RetortError
from core.base.integrity import damage, is_sealed, seal, sealed_in, unseal
from core.base.untrusted_files import reason
from core.engine.distil.parallel import like

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
    """Checkpoints and best weights in one folder; everything appears whole or not at all.

    `say` is told in a sentence what was found damaged, and what is done instead.
    """

    def __init__(self, folder: Path, identity: str, say: Callable[[str], None] = lambda sentence: None) -> None:
        self.folder = folder
        self._identity = identity
        self._say = say
        make_folder(folder)

    def save(self, state: TrainState, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> None:
        """Writes `step-N/` and removes older ones, and best weights no checkpoint refers to."""
        final = self.folder / f"step-{state.step:08d}"
        unseal(final)
        try:
            with replacing_folder(final) as temporary:
                save_file(_stored(weights), temporary / "weights.safetensors")
                save_file(_stored(optimizer), temporary / "optimizer.safetensors")
                (temporary / "state.json").write_text(state.model_dump_json(indent=1))
            seal(final)
        except OSError as error:
            raise RetortError(
                f"The checkpoint could not be written: {error.strerror or error}.",
                "Free disk space and resume the run.",
            ) from error
        kept = self._steps()[-_KEPT:]
        self._drop(self._steps()[:-_KEPT])
        named = {self._best_path(state.best.step).name for state in map(self._read, kept) if state and state.best}
        for file in self.folder.glob("best-*.safetensors"):
            if file.name not in named:
                unseal(file)
                file.unlink()

    def latest(self) -> tuple[TrainState, dict[str, Tensor], dict[str, Tensor]] | None:
        """The newest checkpoint that is whole, with its best weights: state, weights, optimiser. None: start anew.

        Raises:
            RetortError: it belongs to another run (other models, data or settings).
        """
        try:
            return self._latest(self._known())
        finally:
            for file in self.folder.glob("best-*.safetensors"):
                if damage(file) is not None:  # of a checkpoint that is not gone on from
                    unseal(file)
                    file.unlink()

    def _latest(self, known: list[Path]) -> tuple[TrainState, dict[str, Tensor], dict[str, Tensor]] | None:
        for path in known:
            wrong = damage(path)
            state = self._read(path)
            if wrong is not None or state is None:
                self._say(f"The checkpoint {path.name} is damaged ({wrong or 'its state cannot be read'}).")
                continue
            try:
                weights, optimizer = load_file(path / "weights.safetensors"), load_file(path / "optimizer.safetensors")
            except (OSError, SafetensorError) as error:
                self._say(f"The checkpoint {path.name} is damaged ({reason(error)}).")
                continue
            if state.identity != self._identity:
                raise RetortError(
                    "The checkpoint in this folder belongs to a run with other models, data or settings.",
                    "Start a new run, or set everything back to what it was.",
                )
            if not self._has_best(state, weights):
                continue
            if path != known[0]:
                self._say(f"Training goes on from step {state.step} instead.")
            self._drop(known[: known.index(path)])
            return state, weights, optimizer
        if known:
            self._say("No checkpoint is whole, so this training starts anew.")
        self._drop(known)
        return None

    def save_best(self, step: int, weights: Mapping[str, Tensor]) -> None:
        path = self._best_path(step)
        unseal(path)
        with replacing(path) as temporary:
            save_file(_stored(weights), temporary)
        seal(path)

    def load_best(self, step: int) -> dict[str, Tensor]:
        """The weights of the best step.

        Raises:
            RetortError: they were damaged since this training began or went on.
        """
        path = self._best_path(step)
        try:
            wrong = damage(path)
            if wrong is None:
                return load_file(path)
        except (OSError, SafetensorError) as error:
            wrong = reason(error)
        raise RetortError(
            f"The best weights of this training, which Retort saved itself, are damaged: {wrong}.",
            "Resume the run: it trains again from where they are whole.",
        )

    def _drop(self, paths: Iterable[Path]) -> None:
        """Removes checkpoints: old ones, and damaged ones, which must not count as newer than what comes now."""
        for path in paths:
            unseal(path)
            shutil.rmtree(path, ignore_errors=True)

    def _has_best(self, state: TrainState, weights: Mapping[str, Tensor]) -> bool:
        """Whether the best weights so far are whole. Those of the checkpoint's own step are written again from it."""
        if state.best is None:
            return True
        path = self._best_path(state.best.step)
        wrong = self._best_damage(path)
        if wrong is None:
            return True
        if state.best.step == state.step:
            self._say(f"The best weights, of step {state.step}, were damaged ({wrong}); the checkpoint has them too.")
            self.save_best(state.step, weights)
            return True
        self._say(f"The best weights so far, of step {state.best.step}, are damaged ({wrong}).")
        return False

    def _best_damage(self, path: Path) -> str | None:
        if is_sealed(path):
            return damage(path)
        try:  # from before sums were noted
            with safe_open(path, framework="pt"):
                return None
        except (OSError, SafetensorError) as error:
            return reason(error)

    def _known(self) -> list[Path]:
        """Checkpoints, the newest first; one that is gone but was sealed is known too."""
        sealed = [path for path in sealed_in(self.folder) if path.name.startswith("step-")]
        return sorted({*self._steps(), *sealed}, reverse=True)

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
