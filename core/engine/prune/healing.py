"""Healing without training: matrices that read removed parts are solved again, so that the model gives what it gave.

Layer by layer, on inputs as the healed model before gives them:

    neurons, heads, groups  the down or output projection gives what the dense layer gives on the same inputs
    layers                  the down projection before them gives the hidden state that the dense model has after them

Targets of the first kind from the dense model's own inputs were worse: the fit then shrinks to make up for noise.

Least squares with a ridge that draws to the matrix as it was cut; after Kurtic et al. 2023 (ZipLM) and, for layers,
Shopkhoev et al. 2025 (ReplaceMe). The ridge is chosen on held-out windows, and a matrix that would not be better there
stays as it was cut.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.architectures import Architecture, adapter_for
from core.engine.prune.healing_check import AsCut
from core.engine.prune.healing_report import Healed, describe
from core.engine.prune.lacking import Lacking, Outputs, adds_to_its_block, apply_change
from core.engine.prune.least_squares import best_change, token_weights
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.stream import BlockStream
from core.engine.prune.surgery import Keep

_BATCH = 4
_HELD_OUT = 5
"""One window of so many is held out."""


class _Task(NamedTuple):
    """A matrix to solve again: the module's name in its block, and whether layers behind it were removed."""

    site: str
    replaces_layers: bool


def heal(
    model: PreTrainedModel,
    smaller: PreTrainedModel,
    keep: Keep,
    windows: Tensor,
    reporter: Reporter,
    report: PruneReport,
) -> None:
    """Solves matrices of `smaller` again, in place.

    Args:
        model: the dense model; it is not changed.
        smaller: what `cut` made of it with `keep`.
        windows: (sequences, length) calibration tokens, at least two sequences; the last ones are held out.
        report: gets what was healed, and what was not.

    Raises:
        RetortError: values are not finite.
    """
    if model.config.is_encoder_decoder:
        report.note("Not healed: what a decoder reads changes with its encoder, so no layer can be solved by itself.")
        return
    started = time.perf_counter()
    architecture = adapter_for(model)
    tasks, left_out = _tasks(architecture, architecture.blocks(model), keep)
    for sentence in left_out:
        report.note(sentence)
    if not tasks:
        return
    batch = max(1, min(_BATCH, len(windows) // _HELD_OUT))
    try:
        dense, small = BlockStream(model, windows, batch), BlockStream(smaller, windows, batch)
    except RetortError as error:
        report.note(f"Not healed: {error.cause}")
        return
    if dense.repeats:
        report.note("Not healed: this model uses each of its layers several times.")
        return
    healing = _Healing(architecture, keep, dense, small, reporter)
    modules = [small.blocks[position].get_submodule(task.site) for position, here in tasks.items() for task in here]
    before = AsCut(model, smaller, modules, windows[healing.first_held_out * batch :])
    with torch.no_grad():
        found = healing.run(tasks)
    divergences = before.put_back_unless_nearer() if any(h.applied for h in found) else None
    describe(report, found, divergences, time.perf_counter() - started)


def _tasks(
    architecture: Architecture, blocks: Sequence[nn.Module], keep: Keep
) -> tuple[dict[int, list[_Task]], list[str]]:
    """By position among the kept layers the matrices to solve, in the order they are passed; and what is left out."""
    family = architecture.family
    tasks: dict[int, list[_Task]] = {}
    for position, layer in enumerate(keep.layers):
        gone = _following(architecture, keep, position) > layer + 1
        inside = {name for name, _ in blocks[layer].named_modules()}
        here = []
        if family.head_site in inside and "heads" in keep.units:
            here.append(_Task(str(family.head_site), False))
        if family.neuron_site in inside and (gone or "neurons" in keep.units):
            here.append(_Task(str(family.neuron_site), gone))
        if here:
            tasks[position] = here
    said = []
    if keep.hidden is not None:
        return {}, ["Not healed: where hidden channels go, every matrix would have to be solved again."]
    if "experts" in keep.units:
        said.append("Experts are not healed: which tokens they see changes with them.")
    if len(keep.layers) < architecture.layers and family.neuron_site is None:
        said.append("Removed layers are not healed: no single projection before them writes what they wrote.")
    elif keep.layers[0] > 0:
        said.append("The layers removed at the start are not healed: no layer is before them.")
    return tasks, said


def _following(architecture: Architecture, keep: Keep, position: int) -> int:
    """The dense model's index of the next layer that stays; the number of layers after the last."""
    return keep.layers[position + 1] if position + 1 < len(keep.layers) else architecture.layers


class _Healing:
    """The smaller model on its way through the layers and, where layers are gone, the dense one at the same place."""

    def __init__(
        self, architecture: Architecture, keep: Keep, dense: BlockStream, small: BlockStream, reporter: Reporter
    ) -> None:
        self._architecture, self._keep = architecture, keep
        self._dense, self._small, self._reporter = dense, small, reporter
        count = len(dense.hidden)
        self.first_held_out = count - max(1, round(count / _HELD_OUT))

    def run(self, tasks: dict[int, list[_Task]]) -> list[Healed]:
        """Solves the tasks; no model is followed further than there are any."""
        found: list[Healed] = []
        needed = max((p for p, here in tasks.items() if any(t.replaces_layers for t in here)), default=-1)
        same = self._keep.layers[0] == 0  # the two models have given the same so far
        at, last = 0, max(tasks)
        for position, layer in enumerate(self._keep.layers[: last + 1]):
            self._reporter.checkpoint()
            self._reporter.progress(position, last + 1, f"Healing layer {layer}.")
            here = tasks.get(position, [])
            outputs = Outputs([task.site for task in here if not task.replaces_layers])
            if outputs.found:
                self._dense.watch(layer, self._small.hidden, [outputs])
            following = _following(self._architecture, self._keep, position)
            for index in range(at, following) if position <= needed else ():
                self._dense.advance(index, reporter=self._reporter)
            at = following
            same = same and not here
            found += [self._solve(position, layer, task, outputs) for task in here]
            if same and position <= needed:
                self._small.hidden = list(self._dense.hidden)
            elif position < last:
                self._small.advance(position, reporter=self._reporter)
        return found

    def _solve(self, position: int, layer: int, task: _Task, outputs: Outputs) -> Healed:
        block = self._small.blocks[position]
        if not task.replaces_layers:
            watch = Lacking(task.site, outputs.found[task.site], outputs.weights, False, self.first_held_out)
        elif adds_to_its_block(self._small, position, task.site):
            states = [hidden.flatten(0, -2) for hidden in self._dense.hidden]  # (tokens, hidden)
            watch = Lacking(task.site, states, [token_weights(s) for s in states], True, self.first_held_out)
        else:
            return Healed(layer, task.site, "what it writes does not reach the next layer as it is")
        self._small.advance(position, [watch], self._reporter, keep=False)
        solution = best_change(watch.fitted, watch.held_out)
        if solution.after < solution.before:
            apply_change(block.get_submodule(task.site), solution.change)
        return Healed(
            layer,
            task.site,
            ridge=solution.ridge,
            before=solution.before / watch.squares if watch.squares else 0.0,
            after=solution.after / watch.squares if watch.squares else 0.0,
            tokens=watch.fitted.tokens,
            held_out=watch.held_out.tokens,
            short=solution.short,
        )
