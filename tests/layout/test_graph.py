"""The house as a graph: what each folder may import, no circle of modules, no arrow that runs back up."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.layout.modules import imports, inside, modules

DATA = ("core.base", "core.registry", "core.recipe")
FILES = (*DATA, "core.catalogue")
READ = (*FILES, "core.data")
STORED = (*FILES, "core.store")
RESULTS = (*STORED, "core.analysis", "core.figures", "core.report")
TORCH = tuple(f"core.engine.{part}" for part in ("data", "models", "prune", "trim", "measure", "evaluate"))
RUN = (*READ, "core.analysis", *TORCH, "core.engine.distil", "core.engine.export")
JOBS = (*STORED, "core.analysis", "core.preflight", "core.jobs")
PAGES = (*RESULTS, "core.data", "core.preflight", "core.jobs", "core.jobs.preview", "core.integrations", "pages.frame")

ALLOWED: dict[str, tuple[str, ...]] = {
    "core.base": (),
    "core.registry": ("core.base",),
    "core.recipe": ("core.base", "core.registry"),
    "core.catalogue": DATA,
    "core.data": FILES,
    "core.store": FILES,
    "core.cluster": ("core.base",),
    "core.analysis": STORED,
    "core.figures": (*STORED, "core.analysis"),
    "core.report": (*STORED, "core.analysis", "core.figures"),
    "core.preflight": (*READ, "core.analysis"),
    "core.integrations": (*STORED, "core.analysis"),
    "core.engine.data": READ,
    "core.engine.models": (*READ, "core.engine.data"),
    "core.engine.prune": (*READ, "core.engine.data", "core.engine.models"),
    "core.engine.trim": (*FILES, "core.engine.models", "core.engine.prune"),
    "core.engine.measure": (*FILES, "core.analysis", "core.engine.models", "core.engine.prune"),
    "core.engine.evaluate": (*READ, "core.analysis", "core.engine.data", "core.engine.models"),
    "core.engine.distil": (*READ, "core.engine.data", "core.engine.models", "core.engine.prune"),
    "core.engine.export": (*FILES, "core.engine.models", "core.engine.measure"),
    "core.engine.run": RUN,
    "core.engine.live": (*RUN, "core.engine.run"),
    "core.engine.cluster": (*RUN, "core.engine.run", "core.cluster"),
    "core.engine.pipeline": (*RUN, "core.engine.run", "core.engine.cluster", "core.preflight"),
    "core.jobs": (*JOBS, "core.engine.pipeline", "core.engine.run"),
    "core.jobs.preview": (*JOBS, "core.engine.models"),
    "core.commands": (*RESULTS, "core.data", *JOBS, "core.jobs.preview", "core.cluster", "core.integrations"),
    "core.api": (*STORED, "core.analysis", "core.preflight", "core.jobs", "core.jobs.preview"),
    "core.__main__": ("core.commands",),
    "pages.frame": PAGES,
    "pages.forms": PAGES,
    "pages.run": PAGES,
    "pages.study": (*PAGES, "pages.forms", "pages.run"),
    "pages.comparison": (*PAGES, "pages.forms", "pages.run", "pages.study"),
}
"""Folder -> the folders it may import. A page may import all that pages share and all of core that they may."""
ROOTS = {"core", "core.engine", "pages"}
"""Packages that hold nothing but a sentence (and Retort's version)."""


def folder(name: str) -> str:
    """The folder a module stands in; a module of its own right stands for itself."""
    parts = name.split(".")
    known = [".".join(parts[:i]) for i in range(len(parts), 0, -1)]
    return next((k for k in known if k in ALLOWED or k in ROOTS), name)


def ours(name: str) -> set[str]:
    """The modules of core and pages that `name` imports; a package counts where something of its own is taken."""
    found = {i for i in imports(name) if i in modules() and inside(i, "core", "pages")}
    return {i for i in found if modules()[i].name != "__init__.py" or not any(inside(o, i) for o in found - {i})}


SHARED = [m for m in modules() if inside(m, "core", "pages") and folder(m) in ALLOWED]


def test_every_module_stands_in_a_folder_that_is_known() -> None:
    pages = [m for m in modules() if inside(m, "pages") and m.count(".") == 1]
    strange = [m for m in modules() if inside(m, "core", "pages") and folder(m) not in ALLOWED and m not in pages]
    assert set(strange) == ROOTS, "a new folder gets a line in ALLOWED: what may it import?"


@pytest.mark.parametrize("name", SHARED)
def test_a_module_imports_only_what_its_folder_may(name: str) -> None:
    own = folder(name)
    found = {i for i in ours(name) if folder(i) not in {own, *ALLOWED[own]} and i not in ROOTS}
    assert not found


def test_the_allowed_arrows_run_one_way() -> None:
    """An order of the folders exists in which each imports only earlier ones."""
    left = {name: set(others) & set(ALLOWED) - {name} for name, others in ALLOWED.items()}
    while ready := [name for name, others in left.items() if not others & set(left)]:
        for name in ready:
            del left[name]
    assert not left


def test_no_circle_of_modules() -> None:
    graph = {m: ours(m) for m in modules() if inside(m, "core", "pages")}
    waiting, users = {m: len(g) for m, g in graph.items()}, defaultdict(set)
    for name, found in graph.items():
        for other in found:
            users[other].add(name)
    ready = [m for m, n in waiting.items() if n == 0]
    while ready:
        for user in users[ready.pop()]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    assert not [m for m, n in waiting.items() if n > 0]


def test_the_top_of_core_holds_folders_only() -> None:
    assert {m for m in modules() if inside(m, "core") and m.count(".") == 1 and modules()[m].name != "__init__.py"} == {
        "core.__main__"
    }
