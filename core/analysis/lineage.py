"""What a run was built on: the runs its model and its teachers come from, and theirs. Light: no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_FIELDS = ("model", "teacher", "student")


@dataclass(frozen=True)
class Link:
    """A model that a recipe starts from. `role` is the field that names it: model, teacher or student."""

    role: str
    reference: str


@dataclass(frozen=True)
class Node:
    """A place in the tree, `depth` steps from the run asked about (0). `run` is None where it is no known run."""

    depth: int
    role: str
    reference: str
    run: str | None
    repeated: bool = False
    """Shown before: what it was built on is not listed again."""


def links(recipe: Mapping[str, Any]) -> list[Link]:
    """Every model reference of a recipe, once, in its order: its model, then teachers and students of its steps."""
    return list(dict.fromkeys(_links(recipe)))


def _links(value: Any) -> list[Link]:
    if isinstance(value, Mapping):
        own = [Link(f, value[f]) for f in _FIELDS if isinstance(value.get(f), str) and ":" in value[f]]
        return own + [link for v in value.values() for link in _links(v)]
    if isinstance(value, list | tuple):
        return [link for v in value for link in _links(v)]
    return []


def ancestry(run: str, recipe_of: Callable[[str], Mapping[str, Any]], owner: Callable[[str], str | None]) -> list[Node]:
    """The run, then what it was built on, depth first; every run's own models are listed once.

    `owner` gives the run that a reference `run:...` points into, None where there is none (any more).
    """
    seen: set[str] = set()
    found: list[Node] = []
    waiting = [Node(0, "run", f"run:{run}", run)]
    while waiting:
        node = waiting.pop()
        if node.run is None:
            found.append(node)
            continue
        found.append(Node(node.depth, node.role, node.reference, node.run, node.run in seen))
        if node.run in seen:
            continue
        seen.add(node.run)
        for link in reversed(links(recipe_of(node.run))):
            source = owner(link.reference) if link.reference.startswith("run:") else None
            waiting.append(Node(node.depth + 1, link.role, link.reference, source))
    return found
