"""What killed writers left under temporary names: a model half saved, a checkpoint half written."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from core.base.durable_files import PARTIAL
from core.base.settings import Settings

log = logging.getLogger("retort")
OLD = 3600.0
"""Seconds without a write after which nobody can still be writing."""
_PLACES = (
    ".",
    "candidates/*",
    "runs/*",
    "runs/*/checkpoints/*",
    "runs/*/exports",
    "cache",
    "cache/*",
    "cache/*/*",
    "samples",
    "sensitivity",
    "latency-tables",
    "merged",
)
_NAMES = (f"*{PARTIAL}", "*.tmp")  # the second as earlier versions named theirs


def sweep_up(settings: Settings) -> int:
    """Removes it, and returns how many files and folders that were. Nothing under a final name is touched."""
    removed = 0
    for path in _left(settings.home):
        if time.time() - _last_write(path) > OLD:
            log.info("removing %s, which a writer that was killed left", path)
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def _left(home: Path) -> Iterator[Path]:
    for place in _PLACES:
        for name in _NAMES:
            yield from (p for p in home.glob(f"{place}/{name}") if not p.is_symlink())


def _last_write(path: Path) -> float:
    """When anything in it was last written; now, where it is just being moved away."""
    with suppress(OSError):
        return max(p.stat().st_mtime for p in (path, *path.rglob("*")))
    return time.time()
