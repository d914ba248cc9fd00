"""What a cluster offers, as its own books say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.cluster.connection import DEVICE


@dataclass(frozen=True)
class Node:
    """A living node. `devices`: trials it may measure at once; 0: Retort leaves it alone."""

    id: str
    address: str
    head: bool
    devices: int
    processors: int
    graphics: int
    memory_bytes: int
    store_bytes: int

    @property
    def short(self) -> str:
        return self.id[:8]


def nodes(ray: Any) -> list[Node]:
    """The living nodes, the head first."""
    found = [_node(n) for n in ray.nodes() if n["Alive"]]
    return sorted(found, key=lambda n: (not n.head, n.id))


def _node(facts: dict[str, Any]) -> Node:
    has = facts["Resources"]
    return Node(
        id=facts["NodeID"],
        address=facts["NodeManagerAddress"],
        head="node:__internal_head__" in has,
        devices=int(has.get(DEVICE, 0)),
        processors=int(has.get("CPU", 0)),
        graphics=int(has.get("GPU", 0)),
        memory_bytes=int(has.get("memory", 0)),
        store_bytes=int(has.get("object_store_memory", 0)),
    )


def devices(found: Iterable[Node]) -> int:
    """How many trials the nodes may measure at once."""
    return sum(n.devices for n in found)


def graphics_each(found: Iterable[Node]) -> int:
    """Graphics cards a trial leases: one where every node that measures has one for each of its devices."""
    measuring = [n for n in found if n.devices]
    return int(bool(measuring) and all(n.graphics >= n.devices for n in measuring))
