"""What a run was built on, against a recursive walk written from the definition."""

from __future__ import annotations

import random

from core.analysis.lineage import Lineage, LineageMember, Link, Node, Tie, ancestry, family, links


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


def _ways(ties: set[tuple[str, str]], start: str, end: str) -> list[int]:
    """The length of every way from one to the other, by recursion."""
    return [0] if start == end else [1 + n for a, b in ties if a == start for n in _ways(ties, b, end)]


def test_family_is_everything_above_and_below_by_the_longest_way() -> None:
    draw = random.Random(1)
    names = [f"r{i}" for i in range(7)]
    for _ in range(200):
        ties = {(a, b) for a in names for b in names if a < b and draw.random() < 0.3}  # acyclic: r0 is the oldest
        recipes = {b: {"steps": [{"teacher": f"run:{a}"} for a, c in ties if c == b]} for b in names}
        found = family("r3", recipes, {f"run:{n}": n for n in names}.get)

        above = {n: -max(w) for n in names if (w := _ways(ties, n, "r3"))}
        below = {n: max(w) for n in names if (w := _ways(ties, "r3", n))}
        assert {m.name: m.level for m in found.members} == below | above
        assert {(t.parent, t.child) for t in found.ties} == {t for t in ties if set(t) <= set(below | above)}


def test_family_round_a_circle_ends_and_models_from_elsewhere_belong() -> None:
    recipes = {"a": {"model": "run:b", "teacher": "sample:x"}, "b": {"model": "run:a"}, "c": {"student": "run:b/k"}}
    owners = {"run:a": "a", "run:b": "b", "run:b/k": "b"}
    found = family("b", recipes, owners.get)
    assert {m.name: m.run for m in found.members} == {"b": "b", "a": "a", "sample:x": None, "c": "c"}
    assert Tie("sample:x", "a", "teacher") in found.ties and Tie("b", "c", "student") in found.ties
    assert family("alone", {}, owners.get) == Lineage((LineageMember("alone", "alone", 0),), ())
