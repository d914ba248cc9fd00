"""Which layers to remove when healing follows: by the loss of the healed model, not by distances.

A run of layers s..e-1 is made up for by a linear map of what the MLP before it writes, M:
T = I + (M^T M + ridge)^-1 M^T (h_e - h_s), h the dense model's hidden states (Shopkhoev et al. 2025, ReplaceMe, least
squares). Layers go one after another, as in SLEB (Song et al. 2024): those whose run is fitted best on held-out tokens
are tried, and the one with the lowest loss goes. The best rows of layers are tried too, and taken if they are better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.base.errors import RetortError
from core.engine.prune.depth import DepthContext, mean_loss
from core.engine.prune.gradients import refuse_unless_causal
from core.engine.prune.lacking import Outputs, adds_to_its_block
from core.engine.prune.least_squares import Moments, best_change, token_weights
from core.engine.prune.prefix import Prefix
from core.engine.prune.removal import without_layer
from core.engine.prune.stream import BlockStream
from core.registry.methods import METHODS

_TRIED = 8
"""Layers whose loss is measured before one goes."""
_ROWS = 4
"""Rows of layers whose loss is measured."""
_BATCH = 2
_MOST_BYTES = 2_000_000_000
"""Of hidden states that are held; fewer windows are fitted where there would be more."""

Run = tuple[int, int]
"""The first layer of a run that is gone, and the first after it."""


def healed_loss(context: DepthContext) -> list[int]:
    """The layers whose absence costs least once the model is healed, then the others.

    Raises:
        RetortError: no calibration text, or a model that does not predict the next token.
    """
    if context.windows is None or len(context.windows) < 2:
        raise RetortError("Choosing layers by the healed loss needs two calibration sequences.", "Choose a text.")
    refuse_unless_causal(context.model, "Removing layers by the healed loss")
    search = _Search(context, *_parts(context.windows.to(context.model.device)))
    with torch.no_grad():
        gone = search.run()
    return gone + [i for i in context.removable if i not in gone]


def _parts(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Windows to fit on, and the last ones, on which the loss is measured."""
    judged = min(METHODS["healed_loss"].search_windows, max(1, len(windows) // 4))
    return windows[:-judged], windows[-judged:]


def runs_of(gone: Sequence[int]) -> list[Run]:
    """The runs of layers that follow each other: 2, 3 and 7 are (2, 4) and (7, 8)."""
    found: list[Run] = []
    for layer in sorted(gone):
        if found and found[-1][1] == layer:
            found[-1] = (found[-1][0], layer + 1)
        else:
            found.append((layer, layer + 1))
    return found


@dataclass
class _Fit:
    """What makes up for a run: the change of what is written before it, None where nothing can; and what is lacking."""

    change: Tensor | None
    lacking: float


@dataclass
class _Search:
    context: DepthContext
    fitted: Tensor
    judged: Tensor
    hidden: list[list[Tensor]] = field(default_factory=list)
    """Before each layer and after the last, (tokens, hidden) a batch."""
    written: list[list[Tensor] | None] = field(default_factory=list)
    """By each layer's MLP, (tokens, hidden) a batch; None where it does not reach the next layer as it is."""
    fits: dict[Run, _Fit] = field(default_factory=dict)

    def run(self) -> list[int]:
        self._read()
        count, tried = self.context.count, 0
        prefix = Prefix(self.context.model)
        with prefix.recording():
            self._mean_loss()
        gone: list[int] = []
        best = float("inf")
        for _ in range(count):
            left = [i for i in self.context.removable if i not in gone]
            near = sorted(left, key=lambda i: (self._lacking([*gone, i]), i))[:_TRIED]
            losses = {}
            for layer in near:
                tried += 1
                self._say(tried)
                losses[layer] = self._loss([*gone, layer], prefix)
            gone.append(min(near, key=lambda i: losses[i]))
            best = losses[gone[-1]]
        for row in self._rows():
            tried += 1
            self._say(tried)
            if (loss := self._loss(row, prefix)) < best:
                gone, best = row, loss
        self.context.notes.append(
            f"The healed loss of {tried} choices of layers was measured on {len(self.judged)} calibration windows."
        )
        return gone

    def _say(self, tried: int) -> None:
        total = self.context.count * min(_TRIED, len(self.context.removable)) + _ROWS
        self.context.reporter.checkpoint()
        self.context.reporter.progress(min(tried, total), total, "Measuring the healed loss without each layer.")

    def _rows(self) -> list[list[int]]:
        """The rows of layers that are fitted best."""
        count, free = self.context.count, set(self.context.removable)
        starts = range(self.context.architecture.layers - count + 1)
        rows = [row for s in starts if set(row := list(range(s, s + count))) <= free]
        return sorted(rows, key=self._lacking)[:_ROWS] if count > 1 else []

    def _read(self) -> None:
        architecture, site = self.context.architecture, self.context.architecture.family.neuron_site or ""
        windows = self.fitted
        each = 2 * architecture.layers * self.context.model.config.hidden_size * self.context.model.dtype.itemsize
        most = max(2, _MOST_BYTES // (each * windows.shape[1]))
        stream = BlockStream(self.context.model, windows[:most], max(1, min(4, len(windows) // 5)))
        if stream.repeats:
            site = ""
        for index in range(architecture.layers):
            self.context.reporter.progress(index, architecture.layers, f"Reading layer {index}.")
            self.hidden.append([h.flatten(0, 1) for h in stream.hidden])
            inside = {name for name, _ in stream.blocks[index].named_modules()}
            outputs = Outputs([site] if site and site in inside and adds_to_its_block(stream, index, site) else [])
            stream.advance(index, [outputs], self.context.reporter)
            self.written.append(outputs.found.get(site))
        self.hidden.append([h.flatten(0, 1) for h in stream.hidden])

    def _lacking(self, gone: Sequence[int]) -> float:
        return sum(self._fit(run).lacking for run in runs_of(gone))

    def _fit(self, run: Run) -> _Fit:
        if run not in self.fits:
            self.fits[run] = self._fitted(*run)
        return self.fits[run]

    def _fitted(self, start: int, end: int) -> _Fit:
        before, after = self.hidden[start], self.hidden[end]
        written = self.written[start - 1] if start else None
        if written is None:
            found = [
                ((b.float() - a.float()) * token_weights(b)[:, None]).square()
                for a, b in zip(before, after, strict=True)
            ]
            return _Fit(None, float(torch.cat(found).sum(1).mean()))
        width, last = written[0].shape[1], len(written) - max(1, len(written) // 5)
        fitted, held_out = (Moments(width, width, written[0].device) for _ in range(2))
        for at, (m, a, b) in enumerate(zip(written, before, after, strict=True)):
            (held_out if at >= last else fitted).add(m, b.float() - a.float(), token_weights(b))
        solution = best_change(fitted, held_out)
        healed = solution.after < solution.before
        lacking = min(solution.after, solution.before) / max(1, held_out.tokens)
        return _Fit(solution.change.to(self.context.model.dtype) if healed else None, lacking)

    def _loss(self, gone: Sequence[int], prefix: Prefix) -> float:
        blocks = self.context.architecture.blocks(self.context.model)
        runs = runs_of(gone)
        with ExitStack() as changed:
            for layer in gone:
                changed.enter_context(without_layer(blocks, layer))
            for start, end in runs:
                change = self._fit((start, end)).change
                if change is not None:
                    site = self.context.architecture.family.neuron_site
                    assert site is not None
                    changed.enter_context(_mapped(blocks[start - 1].get_submodule(site), change))
            changed.enter_context(prefix.skipping(max(0, min(runs)[0] - 1)))
            return self._mean_loss()

    def _mean_loss(self) -> float:
        parts = self.judged.split(_BATCH)
        return sum(mean_loss(self.context.model, p) * len(p) for p in parts) / len(self.judged)


@contextmanager
def _mapped(module: nn.Module, change: Tensor) -> Iterator[None]:
    """What the module gives goes through T = I + change."""
    handle = module.register_forward_hook(lambda m, args, out: out + out @ change)
    try:
        yield
    finally:
        handle.remove()
