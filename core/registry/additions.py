"""What other installed packages add to the registries, by entry points: methods, losses, metrics, exports, tasks.

An entry point names an object of the registry's own kind, in a module that imports no torch: every process reads it,
the server too. What does the work is named by the object (`entry="module:function"`) and loaded in the worker only.
What is broken is left out and named: in the log, and by `python -m core home check`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from core.base.text import one_line
from core.registry.formats import EXPORTS, Format
from core.registry.losses import LOSSES, Loss
from core.registry.method import Method, with_symbols
from core.registry.methods import METHODS
from core.registry.metrics import METRICS, Metric, of_tasks
from core.registry.tasks import TASK_SETS, TaskSet

log = logging.getLogger("retort")
_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_HEAVY = ("torch", "transformers")


@dataclass(frozen=True)
class Broken:
    """An addition that is left out. `package` is its name and version."""

    package: str
    cause: str

    @property
    def remedy(self) -> str:
        return f"Update {self.package.partition(' ')[0]}, or remove it; everything else works."


@dataclass(frozen=True)
class Additions:
    """What was found. `packages`: name and version of the package by (group, id)."""

    packages: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True)
class _Registry:
    known: MutableMapping[str, Any]
    kind: type[Any]
    functions: tuple[str, ...] = ("entry",)
    """Its fields that name functions."""


REGISTRIES: dict[str, _Registry] = {
    "retort.methods": _Registry(METHODS, Method),
    "retort.losses": _Registry(LOSSES, Loss),
    "retort.metrics": _Registry(METRICS, Metric),
    "retort.exports": _Registry(EXPORTS, Format, ("entry", "possible", "remark")),
    "retort.tasks": _Registry(TASK_SETS, TaskSet),
}
"""By the group of entry points that adds to it."""

ADDED = Additions()


def add_all() -> None:
    """Puts every addition into its registry, once, when `core.registry` is imported."""
    for group in REGISTRIES:
        for point in entry_points(group=group):
            _add(point)
    METHODS.update(with_symbols(METHODS.values()))
    METRICS.update({m: described for m, described in of_tasks().items() if m not in METRICS})


def package_of(group: str, name: str) -> str:
    """'package version' of what another package added; '' for what is Retort's own."""
    return ADDED.packages.get((group, name), "")


def _add(point: EntryPoint) -> None:
    registry, package = REGISTRIES[point.group], _package(point)
    wrong, added = _loaded(point, registry)
    if wrong:
        cause = f"What {package} adds as '{point.name}' ({point.group}) is left out: {one_line(wrong, 300)}."
        ADDED.broken.append(Broken(package, cause))
        log.warning("%s", cause)
        return
    registry.known[added.id] = added
    ADDED.packages[point.group, added.id] = package


def _loaded(point: EntryPoint, registry: _Registry) -> tuple[str, Any]:
    """Why it cannot be added, or '' and the object."""
    before = set(_HEAVY) & sys.modules.keys()
    try:
        added = point.load()
    except Exception as error:  # somebody else's module may raise anything
        return f"{point.value} cannot be loaded ({type(error).__name__}: {error})", None
    heavy = sorted((set(_HEAVY) & sys.modules.keys()) - before)
    if heavy:
        return f"its module imports {heavy[0]}, which only the functions it names may do", None
    return _refused(added, registry), added


def _refused(added: Any, registry: _Registry) -> str:
    if not isinstance(added, registry.kind):
        return f"it is a {type(added).__name__} and no {registry.kind.__name__}"
    if not _ID.fullmatch(added.id):
        return "its id is not made of small letters, digits and underscores"
    if added.id in registry.known:
        return f"the id '{added.id}' is taken"
    wrong = [f for f in registry.functions if not _FUNCTION.fullmatch(getattr(added, f))]
    return f"its '{wrong[0]}' is not 'module:function'" if wrong else ""


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "a package without a name"
