"""How far a run is, and the learning rate there. Pure functions of the state, so a resumed run sees the same."""

from __future__ import annotations

import math

from core.recipe.distil import Schedule, TrainingBudget


def learning_rate(fraction: float, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to `final` of the peak, at `fraction` (0 to 1) of the run."""
    peak, low = schedule.learning_rate, schedule.learning_rate * schedule.final
    if fraction < schedule.warmup:
        return peak * fraction / schedule.warmup
    after = min(1.0, (fraction - schedule.warmup) / (1 - schedule.warmup))
    return low + (peak - low) * (1 + math.cos(math.pi * after)) / 2


def fraction_done(budget: TrainingBudget, steps: float, tokens: float, seconds: float) -> float:
    """Share of the budget that is used, 0 to 1 (more where the last step went past it)."""
    if budget.steps is not None:
        return steps / budget.steps
    if budget.tokens is not None:
        return tokens / budget.tokens
    assert budget.minutes is not None
    return seconds / (60 * budget.minutes)
