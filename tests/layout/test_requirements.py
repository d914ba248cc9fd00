"""What is installed is what is pinned, and what is imported is what is required."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

from tests.layout.modules import ROOT, imports, imports_of, inside, modules, tree


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Package -> version of a file in which every line is a pin (or a comment)."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([A-Za-z0-9.!-]+)", text)
            assert match, f"{path.name}: '{text}' is not a pin"
            found[normal(match[1])] = match[2]
    return found


REQUIRED = pins(ROOT / "requirements.txt")
CONSTRAINTS = pins(ROOT / "constraints.txt")


def test_every_requirement_is_pinned_alike_in_the_constraints() -> None:
    for path in ROOT.glob("requirements*.txt"):
        wanted = pins(path)
        assert {name: CONSTRAINTS.get(name) for name in wanted} == wanted, path.name


def test_what_the_product_imports_is_required() -> None:
    owners = packages_distributions()
    product = [m for m in modules() if inside(m, "core", "pages", "app")]
    names = (
        {i.split(".")[0] for m in product for i in imports(m)} - set(sys.stdlib_module_names) - {"core", "pages", ""}
    )
    missing = {n for n in names if not {normal(o) for o in owners.get(n, [])} & set(REQUIRED)}
    assert missing == set()


def test_what_tests_and_benchmarks_import_is_required() -> None:
    owners, known = packages_distributions(), set(REQUIRED) | set(pins(ROOT / "requirements-test.txt"))
    files = [p for folder in ("tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")]
    names = {i.split(".")[0] for p in files for i in imports_of(tree(p))} - set(sys.stdlib_module_names)
    ours, peers = {"core", "pages", "tests", "scripts", "benchmarks"}, {"trl"}  # a peer is compared with where it is
    missing = {n for n in names - ours - peers if not {normal(o) for o in owners.get(n, [])} & known}
    assert missing == set()


def test_what_is_required_is_imported_or_needed_by_name() -> None:
    # Loaded by others: accelerate and gguf by transformers to read GGUF files, onnx and onnxscript by torch.onnx.
    # authlib and httpx by Streamlit, where a login is set up.
    # orjson by plotly, which draws charts ten times as fast with it.
    indirect = {"accelerate", "authlib", "gguf", "httpx", "onnx", "onnxscript", "orjson"}
    owners = packages_distributions()
    product = [m for m in modules() if inside(m, "core", "pages", "app")]
    used = {normal(o) for m in product for i in imports(m) for o in owners.get(i.split(".")[0], [])}
    assert set(REQUIRED) - used - indirect == set()


def test_the_installed_versions_are_the_pinned_ones() -> None:
    installed = {name: version(name).partition("+")[0] for name in REQUIRED}
    assert installed == REQUIRED


def test_the_environment_is_the_frozen_one() -> None:
    from importlib.metadata import distributions

    installed = {normal(d.metadata["Name"]): d.version.partition("+")[0] for d in distributions()}
    other = {n: v for n, v in installed.items() if n in CONSTRAINTS and CONSTRAINTS[n] != v}
    assert other == {}
