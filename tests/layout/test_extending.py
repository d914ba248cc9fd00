"""docs/extending.md, followed literally in a copy of the repository: what it adds works, and nothing else turns red."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import faults
from tests.layout.modules import ROOT

GUIDE = (ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCK = re.compile(r"^<!-- (new|end of|in (\w+) of) (\S+) -->\n```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
ALWAYS = (
    "tests/layout/test_documents.py",
    "tests/layout/test_graph.py",
    "tests/test_metrics.py",
    "tests/recipes/test_recipe_files.py",
)
HOLDS: dict[str, tuple[str, ...]] = {
    "A pruning criterion": ("tests/figures/test_tradeoff.py", "tests/figures/test_recovery.py"),
    "A loss": (
        "tests/engine/distil/test_spec.py",
        "tests/conformance/test_distil.py::test_every_loss_on_logits_is_covered",
    ),
    "A metric": ("tests/figures/test_tradeoff.py",),
    "An export": ("tests/engine/export/test_possible.py",),
    "A page": ("tests/layout/test_imports.py::test_every_page_starts_with_the_guard",),
    "An architecture": ("tests/analysis/test_doctor.py::test_the_adapters_are_those_the_engine_has",),
    "A task": ("tests/engine/evaluate/test_tasks.py",),
}
"""By section: the tests that hold its registry together."""


@dataclass(frozen=True)
class Block:
    """Code, and where the guide puts it: a new file, the end of one, or the registry `name` in one."""

    how: str
    name: str
    path: str
    code: str

    def put(self, tree: Path) -> None:
        target = tree / self.path
        assert target.exists() != (self.how == "new"), self.path
        if self.how == "new":
            target.write_text(self.code, "utf-8")
        elif self.how == "end of":
            target.write_text(f"{target.read_text('utf-8').rstrip()}\n\n\n{self.code}", "utf-8")
        else:
            target.write_text(entered(target.read_text("utf-8"), self.name, self.code), "utf-8")


def entered(source: str, name: str, code: str) -> str:
    """The source with an entry at the end of the registry `name`."""
    assigned = {
        target.id: node.end_lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    lines, end = source.splitlines(), assigned[name]
    assert end is not None
    nested = lines[end - 2] == "    )"  # a tuple inside the brackets
    at, indent = (end - 2, " " * 8) if nested else (end - 1, " " * 4)
    entry = [f"{indent}{line}" for line in code.splitlines()]
    return "\n".join([*lines[:at], *entry, *lines[at:]]) + "\n"


def blocks(title: str) -> list[Block]:
    text = GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [
        Block(how.partition(" ")[0] if name else how, name, path, code) for how, name, path, code in BLOCK.findall(text)
    ]


def test_every_example_is_short_and_has_a_test_of_its_own() -> None:
    titles = re.findall(r"^## (.+)$", GUIDE, flags=re.MULTILINE)
    assert titles == [*HOLDS, "From a package of your own"]
    for title in HOLDS:
        found = blocks(title)
        assert [b.path.startswith("tests/") for b in found].count(True) == 1, title
        assert sum(len(b.code.splitlines()) for b in found if not b.path.startswith("tests/")) < 40, title
    assert sum(len(blocks(t)) for t in HOLDS) == GUIDE.count("```python\n"), "every block is tried"


@pytest.mark.slow
@pytest.mark.parametrize("title", HOLDS)
def test_what_the_guide_adds_works_and_nothing_else_turns_red(title: str, tmp_path: Path) -> None:
    tree = faults.copied(tmp_path)
    found = blocks(title)
    for block in found:
        block.put(tree)
    changed = [b.path for b in found]
    for words in (("check",), ("format", "--check")):
        lint = [sys.executable, "-m", "ruff", *words, "-q", *changed]
        done = subprocess.run(lint, cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    own = tuple(path for path in changed if path.startswith("tests/"))
    status, said = faults.tested(tree, (*own, *ALWAYS, *HOLDS[title]))
    assert status == 0, said
