"""Which neurons, heads, key-value groups, hidden channels or experts to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.base.errors import Impossible
from core.engine.models.architectures import Architecture, Sizes
from core.engine.models.architectures.base import Axis, module_at
from core.engine.prune.depth import DepthContext
from core.engine.prune.gradients import taylor_sums
from core.engine.prune.obs import Removal, removal_scores
from core.engine.prune.statistics import Statistics
from core.engine.prune.surgery import Keep, unit_sums
from core.engine.prune.unit_observers import unit_sites


@dataclass(frozen=True)
class UnitStatistics:
    """What is known about the units of one axis in one layer (hidden channels: about all layers together).

    Attributes:
        axis: which units.
        norms: (units,) Euclidean norm of all weights a unit owns.
        activations: (units,) Minitron importance.
        fluctuation: (units,) variance of the unit's inputs times the squared norm of their columns, summed.
        taylor: (units,) sum of |w * dL/dw| over the weights the unit owns.
        saliency: (units,) REAP, for experts.
        removal: what goes, and from which projection, for methods that remove one after another.
    """

    axis: Axis
    norms: Tensor
    activations: Tensor | None = None
    fluctuation: Tensor | None = None
    taylor: Tensor | None = None
    saliency: Tensor | None = None
    removal: Removal | None = None


Scorer = Callable[[UnitStatistics], Tensor]


def minitron(statistics: UnitStatistics) -> Tensor:
    """(units,) importance by activations. Muralidharan et al. 2024, section 2.2."""
    assert statistics.activations is not None
    return statistics.activations


def flap(statistics: UnitStatistics) -> Tensor:
    """(units,) fluctuation: Var(X_j) * ||W_:j||^2, summed over a head's columns. An et al. 2023, FLAP, eq. 5."""
    assert statistics.fluctuation is not None
    return statistics.fluctuation


def taylor(statistics: UnitStatistics) -> Tensor:
    """(units,) sum of |w * dL/dw| over the unit's weights. Molchanov et al. 2019."""
    assert statistics.taylor is not None
    return statistics.taylor


def weight_norm(statistics: UnitStatistics) -> Tensor:
    """(units,) Euclidean norm of all weights the unit owns. Needs no data. Li et al. 2017."""
    return statistics.norms


def obs(statistics: UnitStatistics) -> Tensor:
    """(units,) the turn at which a unit goes, when the cheapest goes after all others were solved again (OBS)."""
    if statistics.removal is None:
        raise Impossible("OBS ranks neurons and heads.", "Choose another method for other parts.")
    return removal_scores(statistics.removal)


def choose_units(
    context: DepthContext, scorer: Scorer, sizes: Sizes, layers: list[int], compensate: bool = True
) -> Keep:
    """The units with the highest scores, as many as `sizes` says, in each of the kept layers.

    Args:
        compensate: FLAP's bias for the mean that is lost; False where healing follows, which does more.

    Raises:
        RetortError: the method does not rank what shall be removed.
    """
    architecture = context.architecture
    source = _Source(context, scorer, sizes)
    keep = Keep(layers)
    if sizes.get("heads") != architecture.sizes.get("heads"):
        heads, groups = [], []
        for layer in layers:
            kept, kept_groups = _heads(source.scores("heads", layer), architecture, sizes)
            heads.append(kept)
            groups.append(kept_groups)
        keep.units["heads"] = heads
        if "kv_heads" in sizes:
            keep.units["kv_heads"] = groups
    per_layer: tuple[Axis, ...] = ("neurons", "experts")
    for axis in per_layer:
        if axis in sizes and sizes[axis] != architecture.sizes[axis]:
            keep.units[axis] = [top(source.scores(axis, layer), sizes[axis]) for layer in layers]
    if sizes["hidden"] != architecture.sizes["hidden"]:
        keep.hidden = top(source.hidden_scores(), sizes["hidden"])
    if scorer is flap and compensate:
        _compensate(source, keep)
    return keep


def top(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` highest scores, ascending; of equal ones the earlier stay."""
    order = torch.sort(scores, descending=True, stable=True).indices
    return order[:count].sort().values


def _heads(scores: Tensor, architecture: Architecture, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Kept query heads and key-value groups: first whole groups by the sum of their heads, then heads in each."""
    groups_before = architecture.sizes.get("kv_heads", architecture.sizes["heads"])
    groups_after = sizes.get("kv_heads", sizes["heads"])
    by_group = scores.view(groups_before, -1)  # (groups, heads in each)
    groups = top(by_group.sum(1), groups_after)
    inside = sizes["heads"] // groups_after
    heads = [int(g) * by_group.shape[1] + top(by_group[g], inside) for g in groups]
    return torch.cat(heads), groups


class _Source:
    """Reads the statistics a scorer may look at, layer by layer."""

    def __init__(self, context: DepthContext, scorer: Scorer, sizes: Sizes) -> None:
        self.context, self.scorer, self.sizes = context, scorer, sizes
        self.model: PreTrainedModel = context.model
        self.architecture = context.architecture
        self.known: Statistics | None = context.statistics
        self._taylor: dict[str, Tensor] | None = None

    def scores(self, axis: Axis, layer: int) -> Tensor:
        """(units,) float32 on the CPU. A layer without such units (a dense one in a mixture) scores them all 0."""
        if not self._has(axis, layer):
            return torch.zeros(self.architecture.sizes[axis])
        return self.scorer(self._statistics(axis, layer)).float().cpu()

    def _has(self, axis: Axis, layer: int) -> bool:
        """Whether any weight of a layer belongs to units of this axis."""
        shapes = (
            self.architecture.shape(self.model, name)
            for name, _ in self.model.named_parameters()
            if self.architecture.place(self.model, name)[0] == layer
        )
        return any(s.axis == axis for shape in shapes for dim in shape for s in self.architecture.segments(dim))

    def hidden_scores(self) -> Tensor:
        """(channels,): the scores of each layer, added up."""
        if self.scorer in (flap, obs):
            raise Impossible(
                f"{'FLAP' if self.scorer is flap else 'OBS'} ranks neurons and heads, not hidden channels.",
                "Choose activations, gradients or weight norms for hidden channels.",
            )
        return torch.stack([self.scores("hidden", i) for i in range(self.architecture.layers)]).sum(0)

    def fluctuation(self, layer: int) -> dict[str, Tensor]:
        assert self.known is not None
        return self.known.block(layer, "fluctuation")

    def site_weight(self, axis: Axis, layer: int) -> Tensor:
        """(hidden, columns): the projection that reads the units."""
        module = module_at(self.architecture.blocks(self.model)[layer], unit_sites(self.architecture)[axis])
        assert module is not None
        stored = module.weight
        assert isinstance(stored, Tensor)
        weight = stored.detach().float().cpu()
        return weight.T if isinstance(module, Conv1D) else weight

    def _statistics(self, axis: Axis, layer: int) -> UnitStatistics:
        squares = {
            name: p.detach().float().square()
            for name, p in self.model.named_parameters()
            if self.architecture.place(self.model, name)[0] == layer
        }
        norms = unit_sums(self.model, self.architecture, squares, axis, layer).sqrt()
        activations = saliency = fluctuation = gradients = None
        if self.scorer is taylor:
            gradients = self._taylor_sums()[f"{axis}/{layer}"]
        elif self.known is not None and self.known.has("unit_activations") and axis != "experts":
            activations = self.known.block(layer, "unit_activations").get(axis)
        if self.known is not None and axis == "experts" and self.known.has("expert_saliency"):
            saliency = self.known.block(layer, "expert_saliency").get("saliency")
        if self.known is not None and axis in unit_sites(self.architecture) and self.known.has("fluctuation"):
            found = self.fluctuation(layer)
            if f"{axis}/variance" in found:
                columns = found[f"{axis}/variance"] * self.site_weight(axis, layer).square().sum(0)
                fluctuation = columns.view(self.architecture.sizes[axis], -1).sum(1)
        removal = self._removal(axis, layer) if self.scorer is obs else None
        return UnitStatistics(axis, norms, activations, fluctuation, gradients, saliency, removal)

    def _removal(self, axis: Axis, layer: int) -> Removal | None:
        if axis not in unit_sites(self.architecture) or self.known is None:
            return None
        before, after = self.architecture.sizes, self.sizes
        weight, moments = self.site_weight(axis, layer), self.known.block(layer, "second_moments")[axis]
        if axis != "heads":
            return Removal(weight, moments, 1, 1, 1, after[axis])
        groups, kept = (s.get("kv_heads", s["heads"]) for s in (before, after))
        return Removal(weight, moments, self.architecture.head_dim, groups, kept, after["heads"] // kept)

    def _taylor_sums(self) -> dict[str, Tensor]:
        if self._taylor is None:
            c = self.context
            self._taylor = taylor_sums(c.model, c.architecture, c.windows, c.statistics, c.reporter)
        return self._taylor


def _compensate(source: _Source, keep: Keep) -> None:
    """FLAP, eq. 6: the mean of what the removed columns added goes into the bias, where the model can have one."""
    architecture = source.architecture
    notes = source.context.notes
    axes: tuple[Axis, ...] = ("neurons", "heads")
    for axis in axes:
        if axis not in keep.units:
            continue
        site = unit_sites(architecture)[axis]
        projection = module_at(architecture.blocks(source.model)[0], site)
        has_bias = projection is not None and projection.bias is not None
        if not has_bias and axis not in architecture.family.optional_bias:
            notes.append(f"The mean of the removed {axis} is lost: this architecture has no bias there.")
            continue
        width = architecture.head_dim if axis == "heads" else 1
        vectors = []
        for layer, kept in zip(keep.layers, keep.units[axis], strict=True):
            mean = source.fluctuation(layer)[f"{axis}/mean"].clone().view(-1, width)  # (units, columns of each)
            mean[kept] = 0
            vectors.append(source.site_weight(axis, layer) @ mean.flatten())  # (hidden,)
        keep.bias[axis] = vectors
        notes.append(f"The mean of what the removed {axis} contributed was added to a bias.")
