"""What the calibration pass records about neurons, heads and hidden channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.engine.models.architectures import Architecture
from core.engine.models.architectures.base import Axis, module_at
from core.engine.prune.observers import Handle


def unit_sites(architecture: Architecture) -> dict[Axis, str]:
    """The module whose input holds the activations of an axis, side by side."""
    sites: dict[Axis, str] = {}
    if architecture.family.head_site is not None:
        sites["heads"] = architecture.family.head_site
    if architecture.family.neuron_site is not None:
        sites["neurons"] = architecture.family.neuron_site
    return sites


class UnitActivations:
    """Minitron's importance of neurons, heads and hidden channels. Muralidharan et al. 2024, section 2.2.

    For an activation a of shape (batch, tokens, units): sqrt(sum over batch of (mean over tokens of |a|)^2).
    Neurons: the input of the down projection. Heads: the L2 norm over head_dim of the input of the output
    projection. Hidden channels: the output of every norm of the block, added up.
    """

    key = "unit_activations"

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._squares: dict[str, Tensor] = {}  # site to (units,)
        self._flat: list[tuple[str, Tensor]] = []

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._squares, self._flat = {}, []
        handles: list[Handle] = []
        head_dim = self._architecture.head_dim
        for axis, site in unit_sites(self._architecture).items():

            def inputs(module: nn.Module, args: tuple[Any, ...], axis: Axis = axis) -> None:
                a = args[0].detach().float()  # (batch, tokens, rows)
                if axis == "heads":
                    a = a.unflatten(-1, (-1, head_dim)).norm(dim=-1)  # (batch, tokens, heads)
                self._add(axis, a)

            found = module_at(block, site)
            if found is not None:
                handles.append(found.register_forward_pre_hook(inputs))
        for name in self._architecture.family.block_norms:

            def output(module: nn.Module, args: Any, out: Tensor, name: str = name) -> None:
                self._add(f"hidden/{name}", out.detach().float())

            norm = module_at(block, name)
            if norm is not None:
                handles.append(norm.register_forward_hook(output))
        return handles

    def _add(self, site: str, a: Tensor) -> None:
        if a.ndim == 2:  # OPT flattens (batch, tokens) before its MLP; `see` knows the batch
            self._flat.append((site, a))
            return
        squares = a.abs().mean(1).square().sum(0)  # (units,)
        self._squares[site] = self._squares[site] + squares if site in self._squares else squares

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        for site, a in self._flat:
            self._add(site, a.view(hidden_in.shape[0], -1, a.shape[-1]))
        self._flat.clear()

    def finish(self) -> dict[str, Tensor]:
        scores = {site: squares.sqrt() for site, squares in self._squares.items()}
        hidden = [s for site, s in scores.items() if site.startswith("hidden/")]
        found = {site: s for site, s in scores.items() if not site.startswith("hidden/")}
        return {**found, "hidden": torch.stack(hidden).sum(0)} if hidden else found


class Fluctuation:
    """Mean and variance over all tokens of each input of the down and output projections. An et al. 2023, FLAP.

    A true running variance: batches are merged by Chan's formula, in float64.
    """

    key = "fluctuation"

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._moments: dict[str, tuple[int, Tensor, Tensor]] = {}  # axis to tokens, mean, sum of squared deviations

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._moments = {}
        handles: list[Handle] = []
        for axis, site in unit_sites(self._architecture).items():

            def inputs(module: nn.Module, args: tuple[Any, ...], axis: Axis = axis) -> None:
                self._merge(axis, args[0].detach().flatten(0, -2))

            found = module_at(block, site)
            if found is not None:
                handles.append(found.register_forward_pre_hook(inputs))
        return handles

    def _merge(self, axis: str, x: Tensor) -> None:
        """Adds (tokens, columns) to the moments."""
        n, mean = len(x), x.double().mean(0)
        squares = (x.double() - mean).square().sum(0)
        if axis in self._moments:
            m, old_mean, old_squares = self._moments[axis]
            delta = mean - old_mean
            squares = old_squares + squares + delta.square() * (m * n / (m + n))
            mean = old_mean + delta * (n / (m + n))
            n += m
        self._moments[axis] = (n, mean, squares)

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        return None

    def finish(self) -> dict[str, Tensor]:
        found = {}
        for axis, (n, mean, squares) in self._moments.items():
            found[f"{axis}/mean"], found[f"{axis}/variance"] = mean.float(), (squares / n).float()
        return found


class SecondMoments:
    """X^T X / tokens of the inputs of the down and output projections, (columns, columns). For OBS."""

    key = "second_moments"

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._sums: dict[str, tuple[int, Tensor]] = {}

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._sums = {}
        handles: list[Handle] = []
        for axis, site in unit_sites(self._architecture).items():

            def inputs(module: nn.Module, args: tuple[Any, ...], axis: Axis = axis) -> None:
                x = args[0].detach().flatten(0, -2).float()  # (tokens, columns)
                count, total = self._sums.get(axis, (0, torch.zeros((), device=x.device)))
                self._sums[axis] = count + len(x), total + x.T @ x

            found = module_at(block, site)
            if found is not None:
                handles.append(found.register_forward_pre_hook(inputs))
        return handles

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        return None

    def finish(self) -> dict[str, Tensor]:
        found = {axis: total / count for axis, (count, total) in self._sums.items()}
        self._sums = {}
        return found
