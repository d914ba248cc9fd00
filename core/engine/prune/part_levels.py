"""Every layer's parts at several sizes, each healed by itself: made once for a model and a text, and read again.

The units of a layer go in one order (structured OBS, `core.engine.prune.obs`), so that each size keeps a part of the
next larger. At each size the projection that reads them is solved again by least squares, so that it gives what the
dense one gives on the same inputs. Kurtic et al. 2023, ZipLM; Li et al. 2025, Tyr-the-Pruner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.base import durable_files
from core.base.integrity import seal, whole
from core.engine.models.architectures import Architecture
from core.engine.prune.depth import DepthContext
from core.engine.prune.lacking import weight_of
from core.engine.prune.least_squares import Moments, best_change, token_weights
from core.engine.prune.obs import Removal, removal_scores
from core.engine.prune.observers import Handle
from core.engine.prune.stream import BlockStream
from core.engine.prune.width import top

Narrowed = Literal["neurons", "kv_groups"]
_HELD_OUT = 5
"""One window of so many is held out."""


@dataclass(frozen=True)
class Level:
    """One part of one layer at one size.

    Attributes:
        kept: (units,) indices that stay, ascending.
        weight: (out, kept columns) of the healed projection; None where the layer has no such part.
        bias: (out,), where it has one.
        lacking: squared error a held-out token, as a share of the squares of the hidden state behind the layer.
    """

    kept: Tensor
    weight: Tensor | None
    bias: Tensor | None
    lacking: float


class PartLevels:
    """The levels of a model, in one file a layer.

    Args:
        folder: of this model and these calibration tokens alone.
        counts: sizes of each part, below the model's own.
    """

    def __init__(self, folder: Path, architecture: Architecture, counts: Mapping[Narrowed, Sequence[int]]) -> None:
        self._folder, self._architecture, self._counts = folder, architecture, counts

    def make(self, context: DepthContext, fitted: Tensor) -> None:
        """Writes the files that are missing or damaged.

        Args:
            fitted: (sequences, length) tokens; the last fifth is held out, to choose ridges.

        Raises:
            RetortError: the model cannot be run layer by layer, or gives values that are not finite.
        """
        architecture, model = self._architecture, context.model
        missing = [i for i in range(architecture.layers) if not whole(self._path(i), "healed levels")]
        if not missing or not any(self._counts.values()):
            return
        stream = BlockStream(model, fitted, max(1, min(4, len(fitted) // _HELD_OUT)))
        first_held_out = len(stream.hidden) - max(1, round(len(stream.hidden) / _HELD_OUT))
        for index in range(missing[-1] + 1):
            context.reporter.checkpoint()
            context.reporter.progress(index, missing[-1] + 1, f"Healing layer {index} at every width.")
            inside = {name for name, _ in stream.blocks[index].named_modules()}
            sites = [s for s in (self._site(part) for part in self._counts) if s in inside]
            inputs = _Inputs(sites, first_held_out)
            stream.advance(index, [inputs] if index in missing else [], context.reporter)
            if index in missing:
                self._write(index, stream.blocks[index], inputs)
        self._read.cache_clear()

    def level(self, layer: int, part: Narrowed, count: int) -> Level:
        """One of the levels that were made."""
        return self._read(layer)[f"{part}/{count}"]

    def lacking(self, layer: int, part: Narrowed, count: int) -> float:
        """What a layer lacks at this size; 0 at its own."""
        return self.level(layer, part, count).lacking if count in self._counts.get(part, ()) else 0.0

    @contextmanager
    def applied(self, block: nn.Module, layer: int, part: Narrowed, count: int) -> Iterator[None]:
        """The layer has this size inside; at its own nothing changes."""
        level = self.level(layer, part, count) if count in self._counts.get(part, ()) else None
        if level is None or level.weight is None:
            yield
            return
        module = block.get_submodule(self._site(part))
        weight, bias = level.weight, level.bias
        columns = self._columns(level.kept, part, len(weight_of(module))).to(weight.device)

        def narrow(x: Tensor) -> Tensor:
            return nn.functional.linear(x.index_select(-1, columns), weight, bias)

        module.forward = narrow
        try:
            yield
        finally:
            del module.forward

    def _path(self, layer: int) -> Path:
        return self._folder / f"layer-{layer}.safetensors"

    def _site(self, part: Narrowed) -> str:
        family = self._architecture.family
        return str(family.neuron_site if part == "neurons" else family.head_site)

    def _units(self, part: Narrowed) -> int:
        sizes = self._architecture.sizes
        return sizes["neurons"] if part == "neurons" else sizes.get("kv_heads", sizes["heads"])

    def _columns(self, kept: Tensor, part: Narrowed, columns: int) -> Tensor:
        """Columns of the projection that belong to units."""
        width = columns // self._units(part)
        return (kept[:, None] * width + torch.arange(width)).flatten()

    def _write(self, layer: int, block: nn.Module, inputs: _Inputs) -> None:
        found: dict[str, Tensor] = {}
        for part, counts in self._counts.items():
            site = self._site(part)
            scores = (
                self._order(part, block.get_submodule(site), inputs, min(counts)) if site in inputs.fitted else None
            )
            for count in counts:
                if scores is None:  # a layer of another kind: it has no such part, and nothing of it is cut
                    found[f"{part}/{count}/kept"] = torch.arange(count)
                    continue
                kept = top(scores, count)
                level = self._solved(part, kept, block.get_submodule(site), inputs)
                for name, value in (("kept", kept), ("weight", level.weight), ("bias", level.bias)):
                    if value is not None:
                        found[f"{part}/{count}/{name}"] = value.contiguous()
                found[f"{part}/{count}/lacking"] = torch.tensor(level.lacking, dtype=torch.float64)
        path = self._path(layer)
        with durable_files.replacing(path) as temporary:
            save_file(found, temporary)
        seal(path)

    def _order(self, part: Narrowed, module: nn.Module, inputs: _Inputs, least: int) -> Tensor:
        """(units,) scores: those that stay longest have the highest."""
        weight = weight_of(module).T.float().cpu()  # (out, columns)
        moments = inputs.fitted[self._site(part)].inputs[: weight.shape[1], : weight.shape[1]]
        units = self._units(part)
        if part == "neurons":
            return removal_scores(Removal(weight, moments, 1, 1, 1, least))
        inside = self._architecture.sizes["heads"] // units
        by_head = removal_scores(Removal(weight, moments, self._architecture.head_dim, units, least, inside))
        return by_head.view(units, inside).sum(1)

    def _solved(self, part: Narrowed, kept: Tensor, module: nn.Module, inputs: _Inputs) -> Level:
        dense = weight_of(module)  # (columns, out)
        columns = self._columns(kept, part, len(dense))
        site, weight = self._site(part), dense.double().cpu()
        fitted, held_out = (_without(m, weight, columns) for m in (inputs.fitted[site], inputs.held_out[site]))
        solution = best_change(fitted, held_out)
        stays = weight[columns]
        bias = module.bias.detach().double().cpu() if isinstance(module.bias, Tensor) else None
        if solution.after < solution.before:
            stays = stays + solution.change[: len(columns)]
            bias = None if bias is None else bias + solution.change[-1]
        lacking = min(solution.before, solution.after) / max(1, held_out.tokens)
        return Level(kept, stays.T.to(dense.dtype), None if bias is None else bias.to(dense.dtype), lacking)

    @cache  # noqa: B019  # lives as long as one search
    def _read(self, layer: int) -> dict[str, Level]:
        with safe_open(self._path(layer), framework="pt") as file:
            stored: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = {}
        for part, counts in self._counts.items():
            for count in counts:
                at = f"{part}/{count}"
                lacking = float(stored.get(f"{at}/lacking", torch.zeros(())))
                found[at] = Level(stored[f"{at}/kept"], stored.get(f"{at}/weight"), stored.get(f"{at}/bias"), lacking)
        return found


class _Inputs:
    """X^T X of what modules of a block read, by module, apart for the batches that are held out."""

    key = "inputs"

    def __init__(self, sites: list[str], first_held_out: int) -> None:
        self._sites, self._first_held_out = sites, first_held_out
        self._seen: dict[str, Tensor] = {}
        self._batch = 0
        self.fitted: dict[str, Moments] = {}
        self.held_out: dict[str, Moments] = {}

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        handles: list[Handle] = []
        for site in self._sites:
            module = block.get_submodule(site)
            for moments in (self.fitted, self.held_out):
                moments[site] = Moments(len(weight_of(module)), 0, torch.device("cpu"), module.bias is not None)

            def watch(module: nn.Module, args: tuple[Any, ...], site: str = site) -> None:
                self._seen[site] = args[0].detach().flatten(0, -2)

            handles.append(module.register_forward_pre_hook(watch))
        return handles

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        weights = token_weights(hidden_out).cpu()
        for site, x in self._seen.items():
            moments = (self.held_out if self._batch >= self._first_held_out else self.fitted)[site]
            moments.add(x.cpu(), x.new_zeros(len(x), 0).cpu(), weights)
        self._batch += 1

    def finish(self) -> dict[str, Tensor]:
        return {}


def _without(whole: Moments, weight: Tensor, kept: Tensor) -> Moments:
    """The sums of the kept columns, which lack what all others gave: R = X_gone W_gone.

    Args:
        weight: (columns, out) float64 of the dense projection.
    """
    gone = torch.ones(len(weight), dtype=torch.bool)
    gone[kept] = False
    rows = torch.cat([kept, torch.arange(len(weight), len(whole.inputs))])  # and the one of the bias
    found = Moments(len(kept), weight.shape[1], weight.device, whole.intercept)
    found.inputs = whole.inputs[rows][:, rows]
    found.cross = whole.inputs[rows][:, : len(weight)][:, gone] @ weight[gone]
    found.squares = float(
        (weight[gone] * (whole.inputs[: len(weight), : len(weight)][gone][:, gone] @ weight[gone])).sum()
    )
    found.tokens = whole.tokens
    return found
