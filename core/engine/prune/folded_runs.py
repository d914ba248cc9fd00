"""The model without some of its layers, each run of them made up for by a linear map, tried in place.

A run of layers s..e-1 is made up for by a linear map of what the MLP before it writes, M:
T = I + (M^T M + ridge)^-1 M^T (h_e - h_s), h the dense model's hidden states (Shopkhoev et al. 2025, ReplaceMe, least
squares). Maps are solved when they are first asked for and kept, so that many choices of layers share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.base.errors import RetortError
from core.engine.prune.depth import DepthContext
from core.engine.prune.gradients import refuse_unless_causal
from core.engine.prune.lacking import Outputs, adds_to_its_block
from core.engine.prune.least_squares import Moments, best_change, token_weights
from core.engine.prune.prefix import Prefix
from core.engine.prune.removal import without_layer
from core.engine.prune.stream import BlockStream
from core.registry.methods import METHODS

_MOST_BYTES = 2_000_000_000
"""Of hidden states that are held; fewer windows are fitted where there would be more."""

Run = tuple[int, int]
"""The first layer of a run that is gone, and the first after it."""


def search_windows(context: DepthContext, method: str, what: str) -> tuple[Tensor, Tensor]:
    """Calibration windows to fit on, and some of the last ones, on which choices are judged.

    Args:
        method: the id of the one that searches, which says on how many windows it judges.
        what: what is done, as a sentence begins.

    Raises:
        RetortError: fewer than two windows, or a model that does not predict the next token.
    """
    if context.windows is None or len(context.windows) < 2:
        raise RetortError(f"{what} needs two calibration sequences.", "Choose a text.")
    refuse_unless_causal(context.model, what)
    windows = context.windows.to(context.model.device)
    last = min(METHODS[method].search_windows, max(1, len(windows) // 4))
    return windows[:-last], windows[-last:]


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
class FoldedRuns:
    """Any layers of a model taken out for a moment.

    Args:
        context: the model, and the reporter.
        fitted: (sequences, length) tokens to solve maps on.
    """

    context: DepthContext
    fitted: Tensor
    _hidden: list[list[Tensor]] = field(default_factory=list)
    """Before each layer and after the last, (tokens, hidden) a batch."""
    _written: list[list[Tensor] | None] = field(default_factory=list)
    """By each layer's MLP, (tokens, hidden) a batch; None where it does not reach the next layer as it is."""
    _fits: dict[Run, _Fit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        architecture, site = self.context.architecture, self.context.architecture.family.neuron_site or ""
        windows, reporter = self.fitted, self.context.reporter
        each = 2 * architecture.layers * self.context.model.config.hidden_size * self.context.model.dtype.itemsize
        most = max(2, _MOST_BYTES // (each * windows.shape[1]))
        stream = BlockStream(self.context.model, windows[:most], max(1, min(4, len(windows) // 5)))
        if stream.repeats:
            site = ""
        for index in range(architecture.layers):
            reporter.progress(index, architecture.layers, f"Reading layer {index}.")
            self._hidden.append([h.flatten(0, 1) for h in stream.hidden])
            inside = {name for name, _ in stream.blocks[index].named_modules()}
            outputs = Outputs([site] if site and site in inside and adds_to_its_block(stream, index, site) else [])
            stream.advance(index, [outputs], reporter)
            self._written.append(outputs.found.get(site))
        self._hidden.append([h.flatten(0, 1) for h in stream.hidden])

    def lacking(self, gone: Sequence[int]) -> float:
        """What the maps leave of the hidden states after each run, on held-out tokens: cheap, no forward needed."""
        return sum(self._fit(run).lacking for run in runs_of(gone))

    def greedy(self, count: int, gone: Sequence[int] = ()) -> tuple[int, ...]:
        """So many layers that go, ascending: `gone`, and after them one by one those that are made up for best."""
        found = list(gone)
        while len(found) < count:
            left = [i for i in self.context.removable if i not in found]
            found.append(min(left, key=lambda i: (self.lacking([*found, i]), i)))
        return tuple(sorted(found))

    def rows(self) -> list[list[int]]:
        """The rows of as many layers as go, those first that are made up for best."""
        count, free = self.context.count, set(self.context.removable)
        starts = range(self.context.architecture.layers - count + 1)
        return sorted((row for s in starts if set(row := list(range(s, s + count))) <= free), key=self.lacking)

    @contextmanager
    def without(self, gone: Sequence[int], prefix: Prefix) -> Iterator[None]:
        """The model has not these layers inside.

        Args:
            prefix: what the layers before the first change give was recorded by it.
        """
        with self.taken_out(gone), prefix.skipping(max(0, min(gone) - 1)):
            yield

    @contextmanager
    def taken_out(self, gone: Sequence[int]) -> Iterator[None]:
        """The same, whatever else of the model changes; all layers that stay are computed."""
        blocks = self.context.architecture.blocks(self.context.model)
        with ExitStack() as changed:
            for layer in gone:
                changed.enter_context(without_layer(blocks, layer))
            for start, end in runs_of(gone):
                change = self._fit((start, end)).change
                if change is not None:
                    site = self.context.architecture.family.neuron_site
                    assert site is not None
                    changed.enter_context(_mapped(blocks[start - 1].get_submodule(site), change))
            yield

    def _fit(self, run: Run) -> _Fit:
        if run not in self._fits:
            self._fits[run] = self._solved(*run)
        return self._fits[run]

    def _solved(self, start: int, end: int) -> _Fit:
        before, after = self._hidden[start], self._hidden[end]
        written = self._written[start - 1] if start else None
        if written is None:
            differ = [(b.float() - a.float()) * token_weights(b)[:, None] for a, b in zip(before, after, strict=True)]
            return _Fit(None, float(torch.cat(differ).square().sum(1).mean()))
        width, last = written[0].shape[1], len(written) - max(1, len(written) // 5)
        fitted, held_out = (Moments(width, width, written[0].device) for _ in range(2))
        for at, (m, a, b) in enumerate(zip(written, before, after, strict=True)):
            (held_out if at >= last else fitted).add(m, b.float() - a.float(), token_weights(b))
        solution = best_change(fitted, held_out)
        healed = solution.after < solution.before
        lacking = min(solution.after, solution.before) / max(1, held_out.tokens)
        return _Fit(solution.change.to(self.context.model.dtype) if healed else None, lacking)


@contextmanager
def _mapped(module: nn.Module, change: Tensor) -> Iterator[None]:
    """What the module gives goes through T = I + change."""
    handle = module.register_forward_hook(lambda m, args, out: out + out @ change)
    try:
        yield
    finally:
        handle.remove()
