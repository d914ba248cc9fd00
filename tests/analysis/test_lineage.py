"""What a run was built on, against a recursive walk written from the definition."""

from __future__ import annotations

import random

from core.analysis.lineage import Link, Node, ancestry, links


def test_links_are_the_model_and_the_teachers_once() -> None:
    recipe = {
        "model": "run:a/k",
        "steps": [
            {"step": "distil", "teacher": "sample:big", "student": "current"},
            {"step": "distil", "teacher": "baseline"},
            {"step": "select", "recovery": {"teacher": "sample:big"}},
        ],
    }
    assert links(recipe) == [Link("model", "run:a/k"), Link("teacher", "sample:big")]


def _walk(recipes: dict[str, dict[str, str]]) -> list[Node]:
    """From r0: the definition, by recursion."""
    found: list[Node] = []

    def visit(depth: int, role: str, reference: str) -> None:
        run = reference[4:] if reference[4:] in recipes else None
        again = run is not None and any(n.run == run for n in found)
        found.append(Node(depth, role, reference, run, again))
        if run is not None and not again:
            for field, wanted in recipes[run].items():
                visit(depth + 1, field, wanted)

    visit(0, "run", "run:r0")
    return found


def test_ancestry_is_the_depth_first_walk_even_round_a_circle() -> None:
    draw = random.Random(0)
    names = [f"r{i}" for i in range(6)]
    for _ in range(200):
        flat = {
            n: {
                "model": draw.choice([f"run:{draw.choice(names)}", "sample:x", "run:gone"]),
                "teacher": f"run:{draw.choice(names)}",
            }
            for n in names
        }
        recipes = {n: {"model": r["model"], "steps": [{"teacher": r["teacher"]}]} for n, r in flat.items()}
        owners = {f"run:{n}": n for n in names}
        assert ancestry("r0", recipes.__getitem__, owners.get) == _walk(flat)
