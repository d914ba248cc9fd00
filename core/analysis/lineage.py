"""What a run was built on, and what was built on it: models and teachers, and theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


def links(recipe: Mapping[str, object]) -> list[Link]:
    """Every model reference of a recipe, once, in its order: its model, then teachers and students of its steps."""
    return list(dict.fromkeys(_links(recipe)))


def _links(value: object) -> list[Link]:
    if isinstance(value, Mapping):
        own = [Link(f, value[f]) for f in _FIELDS if isinstance(value.get(f), str) and ":" in value[f]]
        return own + [link for v in value.values() for link in _links(v)]
    if isinstance(value, list | tuple):
        return [link for v in value for link in _links(v)]
    return []


def ancestry(
    run: str, recipe_of: Callable[[str], Mapping[str, object]], owner: Callable[[str], str | None]
) -> list[Node]:
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
            source = _source(link, owner)
            waiting.append(Node(node.depth + 1, link.role, link.reference, source))
    return found


def _source(link: Link, owner: Callable[[str], str | None]) -> str | None:
    """The run that a link's model comes from."""
    return owner(link.reference) if link.reference.startswith("run:") else None


@dataclass(frozen=True)
class LineageMember:
    """A run of the family, or a model that no known run made. `name` is the run's id, or the reference."""

    name: str
    run: str | None
    level: int
    """Steps from the run asked about, by the longest way: below 0 what it was built on, above what uses it."""


@dataclass(frozen=True)
class Tie:
    """`child` starts from a model of `parent` (names of members). `role` as in `Link`."""

    parent: str
    child: str
    role: str


@dataclass(frozen=True)
class Lineage:
    """A run among its ancestors and descendants; members by level, each once."""

    members: tuple[LineageMember, ...]
    ties: tuple[Tie, ...]


def family(run: str, recipes: Mapping[str, Mapping[str, object]], owner: Callable[[str], str | None]) -> Lineage:
    """All that `run` was built on and all that was built on it.

    Args:
        recipes: by run, of `run` itself and of every run that starts from a run's model.
        owner: as for `ancestry`. A run missing in `recipes` was built on nothing that is known.
    """
    ties: dict[Tie, None] = {}
    known: dict[str, str | None] = {run: run}
    for child, recipe in recipes.items():
        for link in links(recipe):
            source = _source(link, owner)
            known |= {source or link.reference: source, child: child}
            ties[Tie(source or link.reference, child, link.role)] = None
    parents: dict[str, list[str]] = {}
    children: dict[str, list[str]] = {}
    for tie in ties:
        parents.setdefault(tie.child, []).append(tie.parent)
        children.setdefault(tie.parent, []).append(tie.child)
    levels = {name: -depth for name, depth in _depths(run, parents).items()}
    levels = _depths(run, children) | levels  # a circle counts as what the run was built on
    members = sorted((LineageMember(n, known[n], level) for n, level in levels.items()), key=lambda m: m.level)
    return Lineage(tuple(members), tuple(t for t in ties if t.parent in levels and t.child in levels))


def _depths(start: str, following: Mapping[str, list[str]]) -> dict[str, int]:
    """Everything that can be reached, with the length of the longest way to it; ways round a circle do not count."""
    finished: list[str] = []
    seen, stack = {start}, [(start, iter(following.get(start, ())))]
    while stack:
        name, rest = stack[-1]
        found = next((n for n in rest if n not in seen), None)
        if found is None:
            finished.append(name)
            stack.pop()
        else:
            seen.add(found)
            stack.append((found, iter(following.get(found, ()))))
    place = {name: i for i, name in enumerate(reversed(finished))}
    depths = dict.fromkeys(place, 0)
    for name in place:
        for after in following.get(name, ()):
            if place[after] > place[name]:
                depths[after] = max(depths[after], depths[name] + 1)
    return depths
