"""Whether a healed model is nearer to the dense one than it was as cut, on windows that no matrix was solved on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.engine.models.divergence import divergence

_WINDOWS = 8


class AsCut:
    """What a model was before some of its modules are changed.

    Args:
        dense: the model it was cut from.
        held_out: (sequences, length); the first few are read.
    """

    def __init__(
        self, dense: PreTrainedModel, model: PreTrainedModel, modules: list[nn.Module], held_out: Tensor
    ) -> None:
        self._dense, self._model, self._windows = dense, model, held_out[:_WINDOWS].to(model.device)
        self._kept = [(p, p.detach().clone()) for m in modules for p in m.parameters()]
        self._before = mean_divergence(dense, model, self._windows)

    def put_back_unless_nearer(self) -> tuple[float, float] | None:
        """KL from the dense model, as cut and now (nats); where it is not lower, all is put back.

        Each matrix is nearer to what it should give, and yet all of them together may not be: errors can add up.
        None for a model without predictions to compare, whose changes stay.
        """
        now = mean_divergence(self._dense, self._model, self._windows)
        if self._before is None or now is None:
            return None
        if now >= self._before:
            with torch.no_grad():
                for parameter, kept in self._kept:
                    parameter.copy_(kept)
        return self._before, now


def mean_divergence(dense: PreTrainedModel, model: PreTrainedModel, windows: Tensor) -> float | None:
    """Mean KL divergence from the dense model's predictions, in nats; None where a model gives no logits.

    Args:
        windows: (sequences, length) token ids, read one sequence at a time.
    """
    total = count = 0.0
    for window in windows.split(1):
        with torch.inference_mode():
            asked, given = (m(input_ids=window) for m in (dense, model))
            if "logits" not in asked:
                return None
            kl, _ = divergence(*(o.logits.float().flatten(0, -2) for o in (asked, given)))  # (tokens,)
        total += float(kl.sum(dtype=torch.float64))
        count += len(kl)
    return total / count
