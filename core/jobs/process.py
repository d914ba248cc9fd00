"""What a process that computes does first: threads, and who ends when memory runs out."""

from __future__ import annotations

import faulthandler
import os
from contextlib import suppress
from pathlib import Path

import psutil


def prepare_process(out_of_memory_score: int) -> None:
    """Call it before torch is imported. A higher score ends earlier where memory runs out (0 to 1000, Linux)."""
    faulthandler.enable()
    # One thread a physical core: more only get in each other's way. Read by torch when it is imported. Where the
    # user chose a number, MKL keeps to it as well: torch takes MKL's for all it does.
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))
    os.environ.setdefault("MKL_NUM_THREADS", threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(out_of_memory_score))


def physical_cores() -> int:
    """Physical cores this process may use, at least one."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, allowed))
