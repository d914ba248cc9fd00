"""Widths and depth together: the shape whose healed model is nearest to the dense one within a budget.

Plain transformers reads one width for all layers, so a shape is one number of neurons, one of key-value groups, and any
layers that go. For each pair of widths as few layers go as the budget allows. Shapes are judged by KL from the dense
model, put together from parts that were healed apart (`part_levels`, `folded_runs`); the one that is found is then cut
and healed as any other. Li et al. 2025, Tyr-the-Pruner; Sieberling et al. 2024, EvoPress; Kurtic et al. 2023, ZipLM.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

from core.engine.prune.depth import DepthContext
from core.engine.prune.evolution import Evolution
from core.engine.prune.evolved import swapped
from core.engine.prune.folded_runs import FoldedRuns, search_windows
from core.engine.prune.judging import Judge
from core.engine.prune.part_levels import Narrowed, PartLevels
from core.engine.prune.prefix import Prefix
from core.engine.prune.search_budget import Widths, layers_left, own_widths, pairs
from core.engine.prune.search_work import SearchWork
from core.engine.prune.surgery import Keep
from core.engine.prune.targets import Question
from core.recipe.recipe import Prune


class Shape(NamedTuple):
    """A smaller model: its widths, and which layers are gone, ascending."""

    neurons: int
    kv_groups: int
    gone: tuple[int, ...]

    @property
    def widths(self) -> Widths:
        return Widths(self.neurons, self.kv_groups)


def searched(context: DepthContext, question: Question, prune: Prune, work: SearchWork) -> Keep:
    """What stays in the best shape that was found; `work` gets how the search went.

    Raises:
        RetortError: no calibration text, a model that does not predict the next token, or a budget below the smallest
            shape.
    """
    fitted, judged = search_windows(context, prune.method, "Searching for a shape")
    left = layers_left(question, prune)
    own, every = own_widths(context.architecture), pairs(question)
    counts: dict[Narrowed, list[int]] = {
        "neurons": sorted({w.neurons for w in every} - {own.neurons}),
        "kv_groups": sorted({w.kv_groups for w in every} - {own.kv_groups}),
    }
    levels = PartLevels(work.levels, context.architecture, {part: c for part, c in counts.items() if c})
    with torch.no_grad():
        levels.make(context, fitted)
        shapes = Shapes(context, FoldedRuns(context, fitted), levels, left)
        judge = Judge[Shape](context.model, judged, shapes.apart, context.reporter, work.record)
        search = Evolution(shapes, judge, context.reporter, prune.label(), "a shape", prune.seed)
        best, divergence = search.run()
    work.found = {"curve": [list(point) for point in search.curve], "judged": judge.count, "windows": judge.windows}
    context.notes.append(
        f"{judge.count} judgements of shapes, put together from healed parts, on up to {judge.windows} calibration "
        f"windows; the best leaves a KL divergence of {divergence:.3f} nats from the dense model."
    )
    return shapes.keep(best)


@dataclass
class Shapes:
    """All shapes that just fit the budget.

    Attributes:
        left: by widths how many layers can stay.
    """

    context: DepthContext
    folded: FoldedRuns
    levels: PartLevels
    left: Mapping[Widths, int]

    def starts(self) -> list[Shape]:
        """For each pair of widths the layers that are made up for best, one after another."""
        return [Shape(*widths, self.folded.greedy(self._gone(widths))) for widths in self.left]

    def changed(self, choice: Shape, dice: random.Random) -> Shape:
        """Other layers go, or a width changes by a step and with it the number of layers, or both."""
        near = self._near(choice.widths)
        widths = dice.choice(near) if near and dice.random() < 0.5 else choice.widths
        gone = choice.gone
        if (more := self._gone(widths)) >= len(gone):
            gone = self.folded.greedy(more, gone)
        else:
            gone = tuple(sorted(dice.sample(gone, more)))
        if widths == choice.widths or dice.random() < 0.5:
            gone = swapped(gone, self.context.removable, dice)
        return Shape(*widths, gone)

    def lacking(self, choice: Shape) -> float:
        """What the maps of the runs and the parts of the layers that stay leave, added up."""
        parts = sum(
            self.levels.lacking(layer, part, count)
            for layer in self._kept(choice)
            for part, count in zip(_PARTS, choice.widths, strict=True)
        )
        return self.folded.lacking(choice.gone) + parts

    @contextmanager
    def apart(self, choice: Shape, prefix: Prefix) -> Iterator[None]:
        """The model has this shape inside, each part healed by itself."""
        if choice.widths == self._own and choice.gone:
            with self.folded.without(choice.gone, prefix):
                yield
            return
        blocks = self.context.architecture.blocks(self.context.model)
        with ExitStack() as changed:
            for layer in self._kept(choice):
                for part, count in zip(_PARTS, choice.widths, strict=True):
                    changed.enter_context(self.levels.applied(blocks[layer], layer, part, count))
            changed.enter_context(self.folded.taken_out(choice.gone))
            yield

    def keep(self, choice: Shape) -> Keep:
        """The same as what stays in a model that is cut."""
        layers, own, sizes = self._kept(choice), self._own, self.context.architecture.sizes
        keep = Keep(layers)
        if choice.neurons != own.neurons:
            keep.units["neurons"] = [self.levels.level(i, "neurons", choice.neurons).kept for i in layers]
        if choice.kv_groups != own.kv_groups:
            groups = [self.levels.level(i, "kv_groups", choice.kv_groups).kept for i in layers]
            inside = torch.arange(sizes["heads"] // own.kv_groups)
            keep.units["heads"] = [(g[:, None] * len(inside) + inside).flatten() for g in groups]
            if "kv_heads" in sizes:
                keep.units["kv_heads"] = groups
        return keep

    @property
    def _own(self) -> Widths:
        return own_widths(self.context.architecture)

    def _gone(self, widths: Widths) -> int:
        return self.context.architecture.layers - self.left[widths]

    def _kept(self, choice: Shape) -> list[int]:
        return [i for i in range(self.context.architecture.layers) if i not in choice.gone]

    def _near(self, widths: Widths) -> list[Widths]:
        """The widths a step away in one or both parts."""
        steps = [sorted({w[part] for w in self.left}) for part in range(len(_PARTS))]
        at = [step.index(width) for step, width in zip(steps, widths, strict=True)]
        near = {
            w
            for w in self.left
            if all(abs(step.index(width) - i) <= 1 for step, width, i in zip(steps, w, at, strict=True))
        }
        return sorted(near - {widths})


_PARTS: tuple[Narrowed, Narrowed] = ("neurons", "kv_groups")
