"""A dense model made ready for previews: its probe text, its loss there, its statistics, its weights' ranks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter, Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.references import ResolvedModel
from core.engine.data.inputs import prepare
from core.engine.live.ranks import all_ranks, mask_in_place, mask_pattern
from core.engine.models.chunked_head import ChunkedHead, token_losses
from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.engine.models.matrices import Matrix, prunable
from core.engine.models.packed import packed_weights
from core.engine.prune.statistics import Statistics
from core.engine.run.prune_step import Source, needed, statistics_for
from core.recipe.recipe import Calibration, Evaluate, Evaluation, Prune, Recipe
from core.registry.methods import METHODS, Statistic

PROBE_WINDOWS, PROBE_LENGTH = 8, 48
CALIBRATION_SEQUENCES, CALIBRATION_LENGTH = 16, 128
_LARGEST = 1_500_000_000
"""Prunable weights beyond which ranks and a second copy of them would not fit beside the model."""
_RANKS_KEPT = 2
_TEXTS_KEPT = 32


@dataclass
class Warm:
    """Everything that does not change while a slider is dragged.

    `probe`: (windows, length) token ids. `dense_losses`: mean loss of each window, nats. `dense`: copies of
    the prunable weights, (out, in) as stored. `token_seconds`: one greedy token of the dense model, once timed.
    """

    loaded: Loaded
    recipe: Recipe
    fingerprint: str
    probe: Tensor
    calibration: Tensor
    matrices: list[Matrix]
    dense: list[Tensor]
    logits: ChunkedHead
    dense_losses: list[float]
    statistics: dict[frozenset[Statistic], Statistics | None] = field(default_factory=dict)
    ranks: OrderedDict[tuple[str, int], list[Tensor]] = field(default_factory=OrderedDict)
    texts: OrderedDict[tuple[str, int], str] = field(default_factory=OrderedDict)
    token_seconds: float | None = None

    def statistics_of(self, prune: Prune, settings: Settings, reporter: Reporter) -> Statistics | None:
        """The statistics a method needs, from one small pass that the home keeps."""
        needs = needed([prune])
        if needs not in self.statistics:
            source = Source(self.loaded, self.fingerprint, self.calibration)
            self.statistics[needs] = statistics_for(source, needs, settings, reporter)
        return self.statistics[needs]

    def is_calibrated(self, prune: Prune) -> bool:
        return needed([prune]) in self.statistics

    def is_ranked(self, prune: Prune) -> bool:
        return prune.pattern != "unstructured" or (prune.method, prune.seed) in self.ranks

    def rank(self, prune: Prune, statistics: Statistics | None, reporter: Reporter) -> None:
        """Ranks all weights by a method, once; the two methods used last are kept."""
        if not self.is_ranked(prune):
            self.ranks[prune.method, prune.seed] = all_ranks(self.matrices, prune, statistics, reporter)
        while len(self.ranks) > _RANKS_KEPT:
            self.ranks.popitem(last=False)

    @contextmanager
    def masked(self, prune: Prune, statistics: Statistics | None) -> Iterator[None]:
        """The model pruned in place inside, dense again afterwards whatever happens."""
        try:
            if prune.pattern == "unstructured":
                ranks = self.ranks[prune.method, prune.seed]
                for matrix, dense, rank in zip(self.matrices, self.dense, ranks, strict=True):
                    mask_in_place(matrix, dense, rank, prune, prune.nominal)
            else:
                for matrix in self.matrices:
                    mask_pattern(matrix, prune, statistics)
            yield
        finally:
            with torch.no_grad():
                for matrix, dense in zip(self.matrices, self.dense, strict=True):
                    matrix.stored.copy_(dense)

    def keep_text(self, key: tuple[str, int], text: str) -> None:
        self.texts[key] = text
        while len(self.texts) > _TEXTS_KEPT:
            self.texts.popitem(last=False)


def warm(loaded: Loaded, resolved: ResolvedModel, texts: dict[str, Any], settings: Settings, actor: Actor) -> Warm:
    """Prepares a dense model.

    Args:
        texts: `calibration` and `evaluation`: corpora as recipes write them.

    Raises:
        RetortError: a model that writes no text, is quantised or too large; a text that is missing or too short.
    """
    model, matrices = loaded.model, prunable(loaded.model)
    _refuse_unfit(loaded, matrices)
    context = context_of(model) or CALIBRATION_LENGTH
    recipe = Recipe(
        name="Preview",
        model=str(resolved.reference),
        steps=(Evaluate(),),
        calibration=Calibration(
            **texts.get("calibration", {}), sequences=CALIBRATION_SEQUENCES, length=min(CALIBRATION_LENGTH, context)
        ),
        evaluation=Evaluation(
            **texts.get("evaluation", {}), tokens=PROBE_WINDOWS * PROBE_LENGTH, window=min(PROBE_LENGTH, context)
        ),
    )
    inputs = prepare(
        recipe, loaded.tokenizer, loaded.task, context, settings, actor, InMemoryReporter(), calibrated=True
    )
    assert inputs.calibration is not None
    logits = ChunkedHead(model, inputs.evaluation)
    return Warm(
        loaded=loaded,
        recipe=recipe,
        fingerprint=resolved.fingerprint,
        probe=inputs.evaluation,
        calibration=inputs.calibration,
        matrices=matrices,
        dense=[m.stored.clone() for m in matrices],
        logits=logits,
        dense_losses=probe_losses(logits, inputs.evaluation),
    )


@torch.inference_mode()
def probe_losses(source: ChunkedHead, windows: Tensor) -> list[float]:
    """Mean loss in nats of every window (n, length), all in one batch."""
    ids = windows.to(source.model.device)
    features = source.features(ids)[:, :-1].flatten(0, 1)  # (n * (length - 1), hidden)
    losses = token_losses(source, features, ids[:, 1:].flatten()).view(len(windows), -1)  # (n, length - 1)
    return [float(x) for x in losses.double().mean(dim=1)]


def _refuse_unfit(loaded: Loaded, matrices: list[Matrix]) -> None:
    if loaded.task != "causal":
        raise RetortError("Previews need a model that writes text.", "Measure this model with a sweep instead.")
    if packed_weights(loaded.model):
        raise RetortError("A quantised model cannot be pruned.", "Choose the model it was made from.")
    if sum(m.numel() for m in matrices) > _LARGEST:
        raise RetortError("This model is too large for previews on this machine.", "Measure it with a sweep instead.")


def previewable(prune: Prune) -> bool:
    """Whether a method answers quickly: scores that masks follow from, and structures ranked by one small pass."""
    chosen = METHODS[prune.method]
    return chosen.kind == "score" or prune.method in ("block_influence", "width_activations", "width_norm")
