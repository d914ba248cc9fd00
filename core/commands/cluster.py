"""`cluster check`: what the Ray cluster offers to runs with `executor: ray`."""

from __future__ import annotations

import argparse

from core.base.settings import Settings
from core.cluster.check import Probed, check
from core.cluster.nodes import devices
from core.commands.terminal import put, put_json, put_table, say
from core.registry.formatting import show_bytes


def cluster(chosen: argparse.Namespace, settings: Settings) -> int:
    """Says what each node offers; status 1 where no trial could run.

    Raises:
        RetortError: Ray is missing, or no cluster answers.
    """
    found, problems = check(settings)
    room = devices(p.node for p in found)
    if chosen.json:
        put_json({"nodes": [_document(p) for p in found], "trials_at_once": room, "problems": problems})
        return 0 if room else 1
    put_table(
        ("Node", "Address", "Trials at once", "Processors", "Graphics cards", "Memory", "Free disk", "torch"),
        [_row(p) for p in found],
    )
    put(f"{_count(len(found), 'node')}: {_count(room, 'candidate')} at a time.")
    for sentence in problems:
        say(sentence)
    return 0 if room else 1


def register(one: argparse.ArgumentParser) -> None:
    """The options of `cluster`."""
    one.add_argument("action", choices=["check"], help="check: ask every node what it offers")


def _row(probed: Probed) -> tuple[str, ...]:
    node, found = probed.node, probed.found
    return (
        f"{node.short}{' (head)' if node.head else ''}",
        node.address,
        str(node.devices),
        str(node.processors),
        str(node.graphics),
        show_bytes(node.memory_bytes),
        show_bytes(found["free_disk_bytes"]) if found else "no answer",
        found["versions"]["torch"] if found else "",
    )


def _document(probed: Probed) -> dict[str, object]:
    node = probed.node
    return {
        "id": node.id,
        "address": node.address,
        "head": node.head,
        "devices": node.devices,
        "processors": node.processors,
        "graphics_cards": node.graphics,
        "memory_bytes": node.memory_bytes,
        **(probed.found or {}),
    }


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
