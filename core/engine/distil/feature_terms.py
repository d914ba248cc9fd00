"""The feature losses of a mix: which layers they compare, through which learned projections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.distil.activation_hooks import ActivationHooks, fresh_projection, head_sizes, width_of
from core.engine.distil.batches import Batch
from core.engine.distil.features import relation_heads, seen_positions
from core.engine.distil.loss_terms import LossTerm
from core.engine.models.matrices import find_blocks

Pairs = Sequence[tuple[int, int]]


class FeatureTerms:
    """Hooks on both models and the projections between them.

    Args:
        student, teacher: hooked until `close`.
        parts: the mix; only its feature terms are looked at.
        pairs: (student layer, teacher layer), in order.
        causal: whether a token sees only those before it.
        seed: of the projections' first values.
    Raises:
        RetortError: a pair names a layer that does not exist.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        parts: Sequence[LossTerm],
        pairs: Pairs,
        causal: bool,
        seed: int = 0,
    ) -> None:
        _check_pairs(pairs, len(find_blocks(student)), len(find_blocks(teacher)))
        self._pairs = {p.name: pairs if p.settings["layers"] == "every" else pairs[-1:] for p in _features(parts)}
        states = sorted({pair for p in _features(parts, "states") for pair in self._pairs[p.name]})
        relations = sorted({pair for p in _features(parts, "relations") for pair in self._pairs[p.name]})
        self.student = ActivationHooks(student, [s for s, _ in states], [s for s, _ in relations])
        self.teacher = ActivationHooks(
            teacher, dict.fromkeys(t for _, t in states), dict.fromkeys(t for _, t in relations)
        )
        self._causal = causal
        self._heads = _relation_heads(student, teacher) if relations else 1
        widths = width_of(student), width_of(teacher)
        differ = widths[0] != widths[1]
        self.projections = nn.ModuleDict(
            {str(s): fresh_projection(*widths, seed + i) for i, (s, _) in enumerate(states)} if differ else {}
        ).to(student.device)

    def losses(self, parts: Sequence[LossTerm], batch: Batch) -> dict[str, Tensor]:
        """Sum of each feature term over the positions that count, averaged over its layers."""
        found: dict[str, Tensor] = {}
        for part in _features(parts):
            pairs = self._pairs[part.name]
            one = self._states if part.loss.kind == "states" else self._relations
            found[part.name] = torch.stack([one(part, s, t, batch) for s, t in pairs]).mean()
        return found

    def _states(self, part: LossTerm, student: int, teacher: int, batch: Batch) -> Tensor:
        ours = self.student.state(student)[batch.positions].float()  # (n, student width)
        theirs = self.teacher.state(teacher)[batch.positions].float()  # (n, teacher width)
        if str(student) in self.projections:
            ours = self.projections[str(student)](ours)
        return part.function(ours, theirs, **part.arguments).sum()

    def _relations(self, part: LossTerm, student: int, teacher: int, batch: Batch) -> Tensor:
        allowed = seen_positions(batch.attended, self._causal)
        each = [
            part.function(relation_heads(s, self._heads), relation_heads(t, self._heads), allowed, **part.arguments)
            for s, t in zip(self.student.projections(student), self.teacher.projections(teacher), strict=True)
        ]  # three of (batch, length)
        return torch.stack(each).mean(0)[batch.positions].sum()

    def clear(self) -> None:
        """Lets go of the kept activations."""
        self.student.clear()
        self.teacher.clear()

    def close(self) -> None:
        """Takes the hooks off both models."""
        self.student.close()
        self.teacher.close()


def _features(parts: Sequence[LossTerm], kind: str | None = None) -> list[LossTerm]:
    return [p for p in parts if p.loss.group == "feature" and kind in (None, p.loss.kind)]


def _relation_heads(student: PreTrainedModel, teacher: PreTrainedModel) -> int:
    """The most relation heads into which every projection of both models can be split evenly."""
    counts = [n for model in (student, teacher) for n in head_sizes(model.config)[::2]]
    return math.gcd(*counts)


def _check_pairs(pairs: Pairs, student: int, teacher: int) -> None:
    wrong = [f"{s}:{t}" for s, t in pairs if not (0 <= s < student and 0 <= t < teacher)]
    if wrong or not pairs:
        raise RetortError(
            f"The layer map names layers that do not exist: {', '.join(wrong[:5]) or 'it is empty'}.",
            f"The student has layers 0 to {student - 1} and the teacher 0 to {teacher - 1}.",
        )
