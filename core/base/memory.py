"""How much memory a job may take here: what the system and every control group above this process allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.base.errors import RetortError

CGROUPS, MEMBERSHIP, VMSTAT = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), Path("/proc/vmstat")
SHARE = 0.9
"""Of the memory there is in all, what a job may take where nobody set a limit."""
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True)
class _Names:
    """What the files of a control group are called."""

    limit: str
    used: str
    cache: tuple[str, ...]  # lines of memory.stat: pages the kernel gives back when somebody needs them
    kills: str


_VERSION_1 = _Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"), "memory.oom_control"
)
_VERSION_2 = _Names("memory.max", "memory.current", ("active_file", "inactive_file"), "memory.events")


def available() -> int:
    """Bytes that new allocations of this process may take."""
    return max(0, min([int(psutil.virtual_memory().available), *(limit - used for limit, used in group_limits())]))


def total() -> int:
    """Bytes there are in all: the machine's, or the container's where that has less."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in group_limits())])


def limit_of(text: str) -> int:
    """Bytes that `text` allows a job: '12 GB', '8GiB', '75 %' of what there is in all; '' is 90 %.

    Raises:
        RetortError: it is none of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[kmgt]i?b|)\s*", text.lower())
    if not text.strip():
        return int(total() * SHARE)
    if found is None or float(found[1]) <= 0:
        raise RetortError(
            f"The memory limit '{text[:40]}' cannot be read.",
            "Set RETORT_MEMORY_LIMIT to a size such as '12 GB', or to a share of the machine such as '75 %'.",
        )
    if found[2] == "%":
        return int(total() * min(float(found[1]), 100.0) / 100)
    return int(float(found[1]) * _UNITS[found[2]])


def kills() -> dict[str, int]:
    """How often the kernel has ended a program for want of memory, by the file that says so; empty where none does.

    Each count only goes up, so that two readings tell whether it happened between them. The groups above this
    process count for themselves, and the machine for all, since a job may have been started from another group.
    """
    counts = {}
    for path in [*(folder / names.kills for folder, names in _groups(CGROUPS, MEMBERSHIP)), VMSTAT]:
        with suppress(OSError, KeyError, ValueError):
            counts[str(path)] = _fields(path)["oom_kill"]
    return counts


def group_limits(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Iterator[tuple[int, int]]:
    """(limit, bytes in use that cannot be given back) of every control group above this process that has a limit."""
    for folder, names in _groups(root, membership):
        with suppress(OSError, ValueError):  # a group without a limit says "max" (or more than any machine has)
            limit = int((folder / names.limit).read_text())
            used = int((folder / names.used).read_text())
            cache: dict[str, int] = {}
            with suppress(OSError, ValueError):
                cache = _fields(folder / "memory.stat")
            yield limit, max(0, used - sum(cache.get(name, 0) for name in names.cache))


def _groups(root: Path, membership: Path) -> Iterator[tuple[Path, _Names]]:
    """The memory groups of this process, its own first, then those above it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = _VERSION_1 if controllers else _VERSION_2
        for base in [root / "memory"] if controllers else [root, root / "unified"]:
            own = base / path.lstrip("/")  # inside a container it may name a place outside; then only `base` is there
            for folder in [own, *own.parents]:
                if folder.is_relative_to(base) and (folder / names.used).exists():
                    yield folder, names


def _fields(path: Path) -> dict[str, int]:
    """A file of `name number` lines."""
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
