"""The job behind a sensitivity measurement: layers and parts pruned alone, layers and heads taken out, break-even."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch

from core.analysis.sensitivity import (
    BreakEvenFact,
    Change,
    Sensitivity,
    SensitivitySpec,
    note_key,
    read,
    working_path,
    write,
)
from core.base.errors import RetortError
from core.base.progress import Level, Reporter
from core.engine.data.inputs import prepare
from core.engine.evaluate.masked import masked_losses
from core.engine.evaluate.perplexity import causal_losses, target_losses
from core.engine.measure.breakeven import break_even
from core.engine.models.architectures import Architecture, adapter_for
from core.engine.models.chunked_head import language_model_kind
from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.engine.models.matrices import Matrix, prunable
from core.engine.prune.removal import removals
from core.engine.prune.sensitivity import Cell, Evaluate, sensitivity
from core.engine.run.prune_step import Source, needed, statistics_for
from core.engine.run.session import Session
from core.recipe.hooks import Hooks
from core.recipe.recipe import Prune
from core.registry.families import cannot
from core.registry.methods import METHODS

_SHAPES = 6  # matrix shapes whose break-even is measured, the ones with most weights
_REPEATS = 9


def measure_sensitivity(spec: SensitivitySpec, hooks: Hooks) -> Sensitivity:
    """Measures what is not measured yet, stores it in the home and returns it.

    Raises:
        RetortError: the model or the texts cannot be used, or the model has no loss on text.
        Cancelled: the user asked to stop; what was measured is found again.
    """
    session = Session(spec.recipe(), hooks)
    fingerprint, settings, actor = session.resolved.fingerprint, hooks.settings, hooks.actor
    key = spec.key(fingerprint, settings, actor)
    note_key(hooks.run_folder, key)
    known = read(settings, key)
    if known is not None:
        hooks.reporter.progress(1, 1, "Measured before.")
        return known
    reporter, loaded = hooks.reporter, session.loaded
    calibrated = METHODS[spec.method].calibrated
    context = context_of(loaded.model)
    inputs = prepare(session.recipe, loaded.tokenizer, loaded.task, context, settings, actor, reporter, calibrated)
    prune = Prune(method=spec.method, sparsity=spec.sparsities[0], seed=spec.seed)
    source = Source(loaded, fingerprint, inputs.calibration)
    statistics = statistics_for(source, needed([prune]), settings, reporter)
    evaluate = evaluation_of(loaded, inputs.evaluation, spec.evaluation.batch, reporter)
    sparsities, identity = sorted(set(spec.sparsities)), {"key": key}
    cells: list[Cell] = []
    path = working_path(settings, key, "cells")
    cells += sensitivity(loaded.model, prune, sparsities, statistics, evaluate, path, reporter, spec.parts, identity)
    heads, notes = _heads(spec, loaded)
    removed: list[Cell] = []
    if spec.removed != "nothing":
        path = working_path(settings, key, "removed")
        removed += removals(loaded.model, evaluate, path, reporter, heads, identity)
    found = Sensitivity(
        key=key,
        fingerprint=fingerprint,
        spec=spec,
        loss=sum(base := evaluate()) / len(base),
        cells=[Change(**asdict(c)) for c in cells],
        removed=[Change(**asdict(c)) for c in removed],
        break_even=break_evens(prunable(loaded.model), loaded.dtype, reporter),
        notes=notes,
        made=time.time(),
    )
    write(settings, found)
    return found


def evaluation_of(loaded: Loaded, windows: torch.Tensor, batch: int, reporter: Reporter) -> Evaluate:
    """The loss of each of `windows` (n, window) in the model as it is when called.

    Raises:
        RetortError: the model predicts no tokens.
    """
    kind, inner = language_model_kind(loaded.model), _Inner(reporter)

    def evaluate() -> list[float]:
        if kind == "masked":
            losses = masked_losses(loaded.model, windows, batch, inner, loaded.tokenizer, 0)
        elif kind == "seq2seq":
            losses = target_losses(loaded.model, windows, batch, inner)
        else:
            losses = causal_losses(loaded.model, windows, batch, inner)
        per_window: list[float] = losses.double().mean(dim=1).tolist()  # (windows,)
        return per_window

    return evaluate


def break_evens(matrices: list[Matrix], dtype: torch.dtype, reporter: Reporter) -> list[BreakEvenFact]:
    """The break-even of each shape of matrix, those with most weights first; in float32 where CSR has no `dtype`."""
    counts = Counter((int(m.shape[0]), int(m.shape[1])) for m in matrices)
    most = sorted(counts, key=lambda s: -counts[s] * s[0] * s[1])[:_SHAPES]
    found: list[BreakEvenFact] = []
    for rows, columns in most:
        try:
            one = break_even(rows, columns, reporter, repeats=_REPEATS, dtype=dtype)
        except RetortError:
            one = break_even(rows, columns, reporter, repeats=_REPEATS, dtype=torch.float32)
        found.append(
            BreakEvenFact(
                rows=rows,
                columns=columns,
                matrices=counts[rows, columns],
                dense_ms=one.dense_ms,
                sparse_ms=list(one.sparse_ms),
                sparsity=one.sparsity,
                settings=one.settings,
            )
        )
    return found


def _heads(spec: SensitivitySpec, loaded: Loaded) -> tuple[Architecture | None, list[str]]:
    """The architecture whose heads are measured, if they are asked for and can be."""
    if spec.removed != "layers_and_heads":
        return None, []
    try:
        architecture = adapter_for(loaded.model)
    except RetortError as error:
        return None, [f"Heads were not measured: {error.cause}"]
    if architecture.family.head_site is None:
        why = architecture.stays.get("heads", "its layers have none")
        return None, [f"Heads were not measured: {cannot('heads', why)}"]
    return architecture, []


@dataclass(frozen=True)
class _Inner:
    """For work within one measurement: it may be stopped, and its progress is not the job's."""

    base: Reporter

    def progress(self, done: float, total: float, message: str) -> None:
        return None

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.base.event(level, message, **data)

    def series(self, name: str, step: int, value: float) -> None:
        return None

    def checkpoint(self) -> None:
        self.base.checkpoint()
