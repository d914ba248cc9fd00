"""Which experts of a mixture-of-experts layer matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.base.errors import RetortError
from core.engine.models.architectures import Architecture
from core.engine.prune.observers import Handle
from core.engine.prune.width import UnitStatistics


class ExpertSaliency:
    """REAP: the mean over the tokens routed to expert j of gate_j(t) * ||f_j(t)||_2. Lasby et al. 2025, eq. 9.

    An expert no token is routed to has saliency 0.
    """

    key = "expert_saliency"

    def __init__(self, architecture: Architecture) -> None:
        if architecture.family.expert_site is None:
            raise RetortError("This model has no experts to remove.", "Choose a depth or a width method.")
        self._site = architecture.family.expert_site
        self._count = architecture.sizes["experts"]
        self._sums = torch.zeros(0)
        self._tokens = torch.zeros(0)
        self._watched = False

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._sums = torch.zeros(self._count, dtype=torch.float64)
        self._tokens = torch.zeros(self._count, dtype=torch.int64)
        try:
            experts = block.get_submodule(self._site)
        except AttributeError:  # a dense layer among layers with experts
            self._watched = False
            return []
        self._watched = True
        return [experts.register_forward_pre_hook(self._see_experts)]

    def _see_experts(self, experts: Any, args: tuple[Any, ...]) -> None:
        hidden, chosen, gates = args  # (tokens, hidden), (tokens, k), (tokens, k)
        for j in range(self._count):
            token, place = torch.where(chosen == j)
            if len(token):
                alone = torch.full((len(token), 1), j, device=chosen.device)
                out = experts.forward(hidden[token], alone, gates.new_ones(len(token), 1))  # (routed, hidden)
                weighted = gates[token, place].double() * out.double().norm(dim=-1)
                self._sums[j] += weighted.sum().cpu()
                self._tokens[j] += len(token)

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        return None

    def finish(self) -> dict[str, Tensor]:
        if not self._watched:
            return {}
        return {"saliency": (self._sums / self._tokens.clamp(min=1)).float(), "tokens": self._tokens}


def reap(statistics: UnitStatistics) -> Tensor:
    """(experts,) REAP saliency; low ones go first."""
    assert statistics.saliency is not None
    return statistics.saliency
