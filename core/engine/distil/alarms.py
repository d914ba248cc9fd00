"""What must not go unnoticed in a training run, said in one sentence each."""

from __future__ import annotations

import math

from torch import nn

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.distil.batches import IGNORED, Batch
from core.engine.distil.state import TrainState
from core.registry.losses import Loss

NO_GRADIENT = 1e-10
"""A gradient norm below this teaches nothing (a public library ships a loss whose gradient is 2.5e-17)."""
_DECAY, _FACTOR, _MARGIN, _PATIENCE = 0.9, 2.0, 0.05, 5


def terms_without_gradient(norms: dict[str, float], said: set[str], reporter: Reporter) -> None:
    """Warns once for each term whose gradient in the student is zero."""
    for name, norm in norms.items():
        if norm < NO_GRADIENT and name not in said:
            said.add(name)
            reporter.event(
                "warning",
                f"The loss '{name}' has no gradient in the student (norm {norm:.1e}), so it teaches nothing. Leave it "
                "out, or check that student and teacher are not the same model.",
                term=name,
                norm=norm,
            )


def gradient_in_teacher(teacher: nn.Module | None) -> None:
    """Raises RetortError where the teacher would learn."""
    if teacher is not None and any(p.requires_grad or p.grad is not None for p in teacher.parameters()):
        raise RetortError(
            "The teacher would be changed by this run.", "Load the teacher separately from the student and start again."
        )


def nothing_counts(losses: list[Loss], batch: Batch) -> None:
    """Raises RetortError where a whole first batch has no token that counts."""
    empty = {
        "labels": not bool((batch.targets != IGNORED).any()),
        "distribution": not bool(batch.scored.any()),
        "states": not bool(batch.positions.any()),
    }
    empty |= dict.fromkeys(("logits", "universal", "spans"), empty["distribution"])
    empty["relations"] = empty["states"]
    silent = [loss.label for loss in losses if empty[loss.kind]]
    if silent:
        raise RetortError(
            f"No token of the first batch counts for: {', '.join(silent)}.",
            "Check the answer column and the length: the answers may be cut off or all masked.",
        )


def reason_to_stop(state: TrainState, total: float, norm: float) -> str | None:
    """A sentence where the run is past saving, else None. Keeps its averages in `state`, so they are resumed.

    A run diverges when the running average of the loss is above twice its lowest for some steps in a row.
    """
    if not (math.isfinite(total) and math.isfinite(norm)):
        return f"The loss or its gradient is not a number at step {state.step + 1}."
    state.average = total if state.average is None else _DECAY * state.average + (1 - _DECAY) * total
    state.lowest = state.average if state.lowest is None else min(state.lowest, state.average)
    rising = state.average > _FACTOR * state.lowest + _MARGIN
    state.rising = state.rising + 1 if rising else 0
    if state.rising >= _PATIENCE:
        return f"The loss rose from {state.lowest:.3g} to {state.average:.3g} by step {state.step + 1}."
    return None
