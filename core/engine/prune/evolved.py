"""Which layers to remove, by an evolutionary search for the healed model nearest to the dense one.

Each generation changes the best choice so far: a layer or two come back, as many others go. The most promising changes
(by what their maps leave, `core.engine.prune.folded_runs`) are judged by KL from the dense model on a few windows, the
best of them on all, and only a better one takes over. Sieberling et al. 2024, EvoPress, with healing in the judgement.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.engine.models.divergence import divergence
from core.engine.prune.depth import DepthContext
from core.engine.prune.folded_runs import FoldedRuns, parted
from core.engine.prune.gradients import refuse_unless_causal
from core.engine.prune.prefix import Prefix
from core.registry.methods import METHODS

_DRAWN, _JUDGED, _FINALISTS = 48, 8, 3
"""Changes a generation: drawn, judged on a few windows, judged on all."""
_FEW = 2
_GENERATIONS, _PATIENCE = 16, 4
"""Generations at most, and how many without a better choice end the search."""
_MOST_BYTES = 1_000_000_000
"""Of the dense model's predictions that are held."""

Choice = tuple[int, ...]


def evolved(context: DepthContext) -> list[int]:
    """The layers whose absence leaves the healed model nearest to the dense one, then the others.

    The same seed (0) each time. Reports the KL divergence of the best choice after each generation as a series.

    Raises:
        RetortError: no calibration text, or a model that does not predict the next token.
    """
    if context.windows is None or len(context.windows) < 2:
        raise RetortError("Searching for layers needs two calibration sequences.", "Choose a text.")
    refuse_unless_causal(context.model, "Searching for layers")
    windows = context.windows.to(context.model.device)
    fitted, judged = parted(windows, METHODS["evolved"].search_windows)
    each = judged.shape[1] * context.model.config.vocab_size * context.model.dtype.itemsize
    with torch.no_grad():
        judged = judged[: max(1, _MOST_BYTES // each)]
        gone = _Evolution(context, FoldedRuns(context, fitted), judged).run() if context.count else ()
    return [*gone, *(i for i in context.removable if i not in gone)]


@dataclass
class _Evolution:
    context: DepthContext
    folded: FoldedRuns
    judged: Tensor
    _dense: list[Tensor] = field(default_factory=list)
    """Logits of the dense model, (length, vocabulary) a window."""
    _known: dict[tuple[Choice, int], float] = field(default_factory=dict)

    def run(self) -> Choice:
        prefix, dice = Prefix(self.context.model), random.Random(0)
        with prefix.recording():
            self._dense = [self._predicted(at).to(self.context.model.dtype) for at in range(len(self.judged))]
        best = min(self._starts(), key=lambda c: self._divergence(c, len(self.judged), prefix))
        unchanged = 0
        for generation in range(_GENERATIONS):
            now = self._divergence(best, len(self.judged), prefix)
            self.context.reporter.series("KL of the best choice of layers", generation, now)
            self.context.reporter.progress(generation, _GENERATIONS, f"Searching for layers: KL {now:.3f}.")
            if unchanged == _PATIENCE:
                break
            changes = {self._changed(best, dice) for _ in range(_DRAWN)} - {best}
            near = sorted(changes, key=lambda c: (self.folded.lacking(c), c))[:_JUDGED]
            few = min(_FEW, len(self.judged))
            last = sorted(near, key=lambda c: self._divergence(c, few, prefix))[:_FINALISTS]
            winner = min([best, *last], key=lambda c: self._divergence(c, len(self.judged), prefix))
            unchanged = unchanged + 1 if winner == best else 0
            best = winner
        self.context.notes.append(
            f"{len(self._known)} judgements of layers to remove, after healing, on up to {len(self.judged)} "
            f"calibration windows; the best leaves a KL divergence of {now:.3f} nats from the dense model."
        )
        return best

    def _starts(self) -> list[Choice]:
        """The best row, and the layers that are made up for best one after another."""
        gone: list[int] = []
        for _ in range(self.context.count):
            left = [i for i in self.context.removable if i not in gone]
            gone.append(min(left, key=lambda i: (self.folded.lacking([*gone, i]), i)))
        return [tuple(sorted(gone)), *(tuple(row) for row in self.folded.rows()[:1])]

    def _changed(self, choice: Choice, dice: random.Random) -> Choice:
        kept = [i for i in self.context.removable if i not in choice]
        count = min(dice.choice((1, 1, 2)), len(kept), len(choice))
        back = dice.sample(choice, count)
        return tuple(sorted({*choice, *dice.sample(kept, count)} - set(back)))

    def _divergence(self, choice: Choice, windows: int, prefix: Prefix) -> float:
        """Mean KL from the dense model on the first windows, in nats; judged once."""
        if (choice, windows) not in self._known:
            self.context.reporter.checkpoint()
            with self.folded.without(choice, prefix):
                found = [divergence(self._dense[at].float(), self._predicted(at))[0] for at in range(windows)]
            self._known[choice, windows] = sum(float(kl.mean()) for kl in found) / windows
        return self._known[choice, windows]

    def _predicted(self, at: int) -> Tensor:
        logits: Tensor = self.context.model(self.judged[at : at + 1], use_cache=False).logits
        return logits[0].float()
