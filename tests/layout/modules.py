"""The project's modules and what each imports, read from the source: nothing is imported to find out."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "datasets", "accelerate"}
DOORS = {"core.api", "core.jobs.worker", "core.jobs.kinds", "core.jobs.preview.server", "core.jobs.preview.models"}
"""The only modules outside the engine that lead to it: the worker's, the preview server's, and the Python API's."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for core, pages, scripts and the entry point."""
    files = [ROOT / "app.py", *(p for d in ("core", "pages", "scripts") for p in sorted((ROOT / d).rglob("*.py")))]
    return {dotted(path): path for path in files}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def imports(name: str) -> frozenset[str]:
    """Every module that `name` imports anywhere, inside functions too; `if TYPE_CHECKING` is left out."""
    return imports_of(tree(modules()[name]))


def imports_of(parsed: ast.Module) -> frozenset[str]:
    """The same for a parsed file."""
    found: set[str] = set()
    pending: list[ast.AST] = [parsed]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            found.add(node.module or "")
            found |= {
                f"{node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in modules()
            }
        pending += ast.iter_child_nodes(node)
    return frozenset(found)


def parents(name: str) -> set[str]:
    """The packages Python imports on the way to `name`."""
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def reached(start: str) -> dict[str, str]:
    """Every module that importing `start` may import, directly or not -> the module that imports it."""
    via = {start: start}
    pending = [start]
    while pending:
        here = pending.pop()
        if here not in modules():
            continue
        for one in sorted(imports(here) | parents(here)):
            if one not in via:
                via[one] = here
                pending.append(one)
    return via


def inside(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(p + ".") for p in packages)


def light() -> list[str]:
    """The modules of core that pages may import: all but the engine and its doors."""
    return [m for m in modules() if inside(m, "core") and not inside(m, "core.engine", *DOORS)]
