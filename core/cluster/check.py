"""Asks every node of a cluster what it could do for a run."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.base.settings import Settings
from core.cluster.connection import DEVICE, START_NODE, connected
from core.cluster.nodes import Node, devices, nodes

LIBRARIES = ("torch", "transformers", "datasets")
"""What decides figures: a node with other versions is refused by a run."""
_PATIENCE = 120.0


@dataclass(frozen=True)
class Probed:
    """A node and what it answered; `found` is None where it did not answer in time."""

    node: Node
    found: dict[str, Any] | None

    def other_versions(self, here: Mapping[str, str]) -> list[str]:
        """Such as 'torch 2.12.0 instead of 2.13.0'."""
        there = (self.found or {}).get("versions", {})
        return [f"{k} {there.get(k) or 'missing'} instead of {v}" for k, v in here.items() if there.get(k) != v]


def check(settings: Settings) -> tuple[list[Probed], list[str]]:
    """Every living node, and a sentence for each thing that a run would stumble over.

    Raises:
        RetortError: Ray is missing, or no cluster answers.
    """
    with connected(settings) as ray:
        answers = ask(ray, _PATIENCE)
    return answers, problems(answers, installed(), os.environ)


def ask(ray: Any, patience: float) -> list[Probed]:
    """Every node that Ray's books call alive, and what it answers within `patience` seconds.

    A node that has just died stands in the books for some time; here it does not answer.
    """
    found = nodes(ray)
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    task = ray.remote(num_cpus=0, max_retries=0)(probe)
    asked = {n.id: task.options(scheduling_strategy=affinity(node_id=n.id, soft=False)).remote() for n in found}
    ready, late = ray.wait(list(asked.values()), num_returns=len(asked), timeout=patience)
    for reference in late:
        ray.cancel(reference, force=True)
    return [Probed(n, _answer(ray, asked[n.id]) if asked[n.id] in ready else None) for n in found]


def _answer(ray: Any, reference: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = ray.get(reference)
    except ray.exceptions.RayError:
        return None
    return found


def probe() -> dict[str, Any]:
    """What a node says about itself; runs there."""
    return {
        "versions": installed(),
        "python": platform.python_version(),
        "free_disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
    }


def installed() -> dict[str, str]:
    """Versions of the libraries that decide figures; empty where one is missing."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return ""


def problems(answers: Sequence[Probed], here: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """One sentence each, the gravest first."""
    found = []
    if not devices(a.node for a in answers):
        found.append(f"No node offers a '{DEVICE}', so nothing can be measured. Start nodes with: {START_NODE}")
    for one in answers:
        if one.found is None:
            found.append(f"Node {one.node.short} did not answer. Look at 'ray status' on its machine.")
        elif one.node.devices and (other := one.other_versions(here)):
            found.append(f"Node {one.node.short} has {', '.join(other)}: install the same requirements there.")
    if environment.get("RAY_AUTH_MODE") != "token":
        found.append(
            "This cluster asks for no token: whoever reaches its ports can run code on every node. "
            "docs/cluster.md says how to keep it private."
        )
    return found
