"""What a running distillation tells: curves, one sentence a step, and alarms about single terms."""

from __future__ import annotations

import psutil
import torch

from core.base.progress import Reporter
from core.engine.distil.alarms import terms_without_gradient
from core.engine.distil.state import Evaluated, TrainState


class TrainingProgress:
    """Names of the curves: `loss/TERM`, `loss/total`, `held_out/TERM`, `held_out/total`, `teacher/TERM`,
    `teacher/total` (what the teacher itself reaches on the held-out text, once), `gradient_share/TERM`,
    `gradient_norm`, `learning_rate`, `tokens_per_second`, `memory_bytes`, `seconds_left`.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._said: set[str] = set()

    def step(
        self,
        state: TrainState,
        terms: dict[str, float],
        total: float,
        norm: float,
        rate: float,
        speed: float,
        fraction: float,
    ) -> None:
        """One finished step: its losses, the norm of its gradient before clipping, and how far the run is."""
        left = state.seconds * (1 - fraction) / fraction if fraction > 0 else 0.0
        curves = {f"loss/{name}": value for name, value in terms.items()} | {
            "loss/total": total,
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens_per_second": speed,
            "memory_bytes": float(memory_in_use()),
            "seconds_left": max(0.0, left),
        }
        for name, value in curves.items():
            self._reporter.series(name, state.step, value)
        message = f"Step {state.step}: loss {total:.4g}, {speed:,.0f} tokens a second"
        self._reporter.progress(min(fraction, 1.0), 1.0, message)

    def shares(self, step: int, norms: dict[str, float]) -> None:
        """Gradient norms of the weighted terms: each one's share of their sum, and an alarm where one is zero."""
        total = sum(norms.values())
        for name, norm in norms.items():
            self._reporter.series(f"gradient_share/{name}", step, norm / total if total > 0 else 0.0)
        terms_without_gradient(norms, self._said, self._reporter)

    def evaluated(self, found: Evaluated) -> None:
        for name, value in found.terms.items():
            self._reporter.series(f"held_out/{name}", found.step, value)
        self._reporter.series("held_out/total", found.step, found.value)

    def teacher_level(self, step: int, terms: dict[str, float], weights: dict[str, float]) -> None:
        """The teacher's terms on the held-out text, and their mix where none of it looks inside the models."""
        known = weights.keys() <= terms.keys()
        total = {"total": sum(weight * terms[name] for name, weight in weights.items())} if known else {}
        for name, value in (terms | total).items():
            self._reporter.series(f"teacher/{name}", step, value)


def memory_in_use() -> int:
    """Bytes this process holds: on the graphics card where there is one, else in main memory."""
    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated())
    return int(psutil.Process().memory_info().rss)
