"""Timing that knows whether it was alone: a device-aware clock and the CPU use of everybody else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import torch

CONTENDED_CORES = 0.2
"""Other processes' mean CPU use, in cores, from which a timing is called contended."""


def elapsed_ms(work: Callable[[], Any], device: torch.device) -> float:
    """Milliseconds `work` takes, waiting for the device before and after."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return (time.perf_counter() - start) * 1e3


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class OtherLoad:
    """Watches, as a context manager, how many cores other processes kept busy meanwhile.

    `cores` is the mean over the watched time: all busy CPU time of the machine less this process's own.
    """

    cores: float = 0.0

    def __enter__(self) -> OtherLoad:
        self._start = self._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, busy, own = (after - before for after, before in zip(self._now(), self._start, strict=True))
        self.cores = max(0.0, busy - own) / wall if wall > 0 else 0.0

    @property
    def contended(self) -> bool:
        return self.cores > CONTENDED_CORES

    def settings(self) -> dict[str, Any]:
        """What a timing should say about its surroundings."""
        return {"contended": self.contended, "other_cpu_cores": round(self.cores, 2)}

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Wall, machine-busy and own CPU seconds."""
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        # Linux counts a guest's time twice: in `guest` and in `user`.
        busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        own = os.times()
        return time.perf_counter(), busy, own.user + own.system


def spread(times: list[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile and minimum of `times`, in their unit."""
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    return {"median": float(median), "p10": float(p10), "p90": float(p90), "min": min(times)}
