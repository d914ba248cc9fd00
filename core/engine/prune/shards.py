"""Pruning a model that is larger than memory: one block at a time, from its safetensors files into new ones.

In memory at once: embeddings, norms and head; one block and its statistics; the hidden states of the
calibration windows. The mathematics is that of `sequential.py` and `apply.py`; only where weights live differs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.durable_files import replacing_folder
from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.engine.models.load import hollow_model
from core.engine.models.matrices import find_stacks, prunable
from core.engine.models.older_readers import complete_config
from core.engine.models.packed import count_nonzero
from core.engine.models.save import model_card
from core.engine.models.shard_writer import ShardWriter
from core.engine.models.tokenizer_files import SETTINGS, copy_tokenizer, tidy_settings
from core.engine.prune.apply import prune_matrix, tensor_files, weight_method
from core.engine.prune.linear_inputs import LinearInputs
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import module_statistics, save_block
from core.engine.prune.stream import BlockStream
from core.recipe.recipe import Prune

_COPIED = ("config.json", "generation_config.json")


def prune_shards(
    folder: Path,
    target: Path,
    prune: Prune,
    windows: Tensor | None,
    reporter: Reporter,
    *,
    batch: int = 4,
    shard_bytes: int = 2_000_000_000,
) -> PruneReport:
    """Prunes the model in `folder` to a new folder `target`, never holding it whole.

    Args:
        folder: a model folder of safetensors files.
        target: must not exist; appears complete or not at all.
        windows: token ids `(sequences, length)` for a calibrated method, else None.
        shard_bytes: size of the files written.

    Returns:
        `facts`: `sparsity_pruned`, `sparsity_model` (shares), `parameters`, `nonzero_parameters`.

    Raises:
        RetortError: a structured method, an allocation other than uniform, a calibrated method without
            windows, tensors stored under other names than the model has, or a target that exists.
    """
    chosen = weight_method(prune)
    if prune.allocation != "uniform":
        raise RetortError(
            f"The allocation '{prune.allocation}' needs the whole model at once.", "Choose the uniform allocation."
        )
    if chosen.calibrated and windows is None:
        raise RetortError(f"{chosen.label} needs calibration text.", "Add a calibration, or choose magnitude.")
    if target.exists():
        raise RetortError(f"'{target.name}' exists already.", "Choose another folder to write to.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target, private=False) as partial:
        return _Pruning(folder, partial, prune, reporter, shard_bytes).run(
            windows if chosen.calibrated else None, batch
        )


class _Pruning:
    """One model on its way from files to files."""

    def __init__(self, folder: Path, out: Path, prune: Prune, reporter: Reporter, shard_bytes: int) -> None:
        self.folder, self.out, self.prune, self.reporter = folder, out, prune, reporter
        self.files = tensor_files(folder)
        self.model: PreTrainedModel = hollow_model(folder)
        stacks = find_stacks(self.model)
        if len(stacks) > 1:
            raise Impossible(
                "A model with an encoder and a decoder cannot be pruned file by file.",
                "Prune it on a machine with more memory.",
            )
        self.prefix, self.blocks = stacks[0]
        self.writer = ShardWriter(out, shard_bytes)
        self.report = PruneReport()
        self.stored = 0
        self.nonzero = 0
        self.zeros = 0  # in prunable matrices
        self.prunable = 0
        self._refuse_other_names()

    def run(self, windows: Tensor | None, batch: int) -> PruneReport:
        outside = [n for n in self.files if not n.startswith(f"{self.prefix}.")]
        for name in outside:
            tensor = self._read(name)
            self._write(name, tensor)
            if windows is not None:
                _put(self.model, name, tensor)
        stream = None
        if windows is not None:
            self.model.tie_weights()
            stream = self._stream(windows, batch)
        chosen = weight_method(self.prune)
        observers = [LinearInputs(self.model, self.reporter, hessian="hessian" in chosen.needs)] if stream else []
        matrices = prunable(self.model)
        count = len(self.blocks)
        with tempfile.TemporaryDirectory(prefix="retort-") as scratch:
            path = Path(scratch) / "block.safetensors"
            for index in range(count):
                self.reporter.checkpoint()
                self.reporter.progress(index, count, f"Pruning layer {index + 1} of {count}.")
                with self._resident(index):
                    if stream is not None:
                        joint = self.prune.mode == "joint"
                        stream.advance(index, observers, self.reporter, keep=joint)
                        save_block(path, observers)
                    for matrix in (m for m in matrices if m.block_index == index):
                        if index not in self.prune.protect:
                            stats = module_statistics(path, matrix.part) if stream is not None else None
                            prune_matrix(matrix, self.prune, self.prune.nominal, stats, self.report)
                        self.prunable += matrix.numel()
                        self.zeros += matrix.numel() - count_nonzero(matrix.stored)
                    if stream is not None and self.prune.mode == "sequential" and index + 1 < count:
                        stream.advance(index, (), self.reporter)
                    for name in self._names(index):
                        self._write(name, self.model.get_parameter(name).detach())
        return self._finish()

    def _finish(self) -> PruneReport:
        self.writer.close()
        for name in _COPIED:
            if (self.folder / name).is_file():
                shutil.copy2(self.folder / name, self.out / name)
        complete_config(self.out)
        copy_tokenizer(self.folder, self.out)
        tidy_settings(self.out / SETTINGS)
        facts = {
            "sparsity_pruned": self.zeros / self.prunable,
            "sparsity_model": 1.0 - self.nonzero / self.stored,
            "parameters": self.stored,
            "nonzero_parameters": self.nonzero,
        }
        self.report.facts |= facts
        card = {"Name": self.prune.label(), "Step": self.prune.model_dump(mode="json", exclude_defaults=True), **facts}
        (self.out / "README.md").write_text(model_card(self.model, card), encoding="utf-8")
        return self.report

    def _stream(self, windows: Tensor, batch: int) -> BlockStream:
        """Blocks come into memory when the model is first run through to see how they are called."""
        for index, block in enumerate(self.blocks):

            def forward(*args: Any, _i: int = index, _forward: Any = block.forward, **kwargs: Any) -> Any:
                with self._resident(_i):
                    return _forward(*args, **kwargs)

            block.forward = forward
        try:
            return BlockStream(self.model, windows, batch)
        finally:
            for block in self.blocks:
                del block.forward

    @contextmanager
    def _resident(self, index: int) -> Iterator[None]:
        """Block `index` has its weights inside."""
        names = self._names(index)
        for name in names:
            _put(self.model, name, self._read(name))
        try:
            yield
        finally:
            for name in names:
                _put(self.model, name, self.model.get_parameter(name).detach().to("meta"))

    def _names(self, index: int) -> list[str]:
        return [n for n in self.files if n.startswith(f"{self.prefix}.{index}.")]

    def _read(self, name: str) -> Tensor:
        """A copy of a stored tensor, so that its file need not stay open."""
        with safe_open(self.files[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor.clone()

    def _write(self, name: str, tensor: Tensor) -> None:
        self.stored += tensor.numel()
        self.nonzero += count_nonzero(tensor)
        self.writer.add(name, tensor)

    def _refuse_other_names(self) -> None:
        """Every stored tensor must be a parameter of the model by the same name, and the other way round."""
        known = {n: p.shape for n, p in self.model.named_parameters(remove_duplicate=False)}
        tied = getattr(self.model, "_tied_weights_keys", None) or ()
        missing = [n for n in known if n not in self.files and n not in tied]
        strange = [n for n in self.files if n not in known]
        if missing or strange:
            raise RetortError(
                f"This model stores its tensors under other names than it uses ({(missing + strange)[0]}), so it "
                "cannot be pruned file by file.",
                "Prune it on a machine with more memory.",
            )


def _put(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Makes `tensor` the parameter called `name`."""
    path, _, own = name.rpartition(".")
    module = model.get_submodule(path)
    setattr(module, own, nn.Parameter(tensor, requires_grad=False))
