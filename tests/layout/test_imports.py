"""The layout rules of ARCHITECTURE.md: who may import whom, read from the source and tried in a real process."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from tests.layout.modules import DOORS, HEAVY, ROOT, imports, inside, light, modules, reached, tree

_REPORT = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    for heavy in json.loads(sys.argv[2]):
        if heavy in sys.modules:
            found.setdefault(heavy, name)
print(json.dumps(found))
"""


def brought_in(names: list[str], unwanted: set[str]) -> dict[str, str]:
    """Imports `names` one after the other in a fresh process: unwanted module -> the first that brought it in."""
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, json.dumps(names), json.dumps(sorted(unwanted))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return result


def chain(start: str, end: str) -> str:
    via, path = reached(start), [end]
    while path[-1] != start:
        path.append(via[path[-1]])
    return " -> ".join(reversed(path))


@pytest.mark.parametrize("start", [m for m in modules() if inside(m, "app", "pages")] + light())
def test_nothing_a_page_may_import_leads_to_torch(start: str) -> None:
    bad = [m for m in reached(start) if inside(m, "core.engine", *DOORS, *HEAVY)]
    assert not bad, chain(start, bad[0])


def test_the_light_core_brings_no_torch_and_no_streamlit_into_a_process() -> None:
    assert brought_in(light(), HEAVY | {"streamlit"}) == {}


def test_what_pages_import_brings_no_torch_into_a_process() -> None:
    of_pages = {i for m in modules() if inside(m, "app", "pages") for i in imports(m)}
    names = sorted(i for i in of_pages if i not in modules() or inside(i, "core") or i.startswith("pages."))
    assert "streamlit" in names
    assert brought_in(names, HEAVY) == {}


def test_core_never_imports_streamlit() -> None:
    assert [
        m for m in modules() if inside(m, "core") and any(inside(i, "streamlit", "pages") for i in imports(m))
    ] == []


def test_the_engine_imports_nothing_above_it() -> None:
    above = ("core.jobs", "core.store", "core.report", "core.figures", "core.commands.parser", "pages", "app")
    engine = [m for m in modules() if inside(m, "core.engine")]
    assert engine
    assert [(m, i) for m in engine for i in imports(m) if inside(i, *above)] == []


def test_only_the_doors_import_the_engine() -> None:
    found = {m for m in modules() if not inside(m, "core.engine") and any(inside(i, "core.engine") for i in imports(m))}
    assert found <= DOORS
    assert set(modules()) >= DOORS


def test_only_the_store_speaks_sql() -> None:
    verbs = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE TABLE", "DROP ", "ALTER ", "PRAGMA ", "BEGIN")
    found = []
    for name, path in modules().items():
        if inside(name, "core.store"):
            continue
        texts = [n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        found += [(name, text) for text in texts if text.lstrip().startswith(verbs)]
        found += [(name, i) for i in imports(name) if inside(i, "sqlite3", "sqlalchemy")]
    assert found == []


def test_only_one_module_renames_files() -> None:
    """`path.replace(other)` and `path.rename(other)` take one argument; `text.replace(a, b)` takes two."""
    alone = {"core.base.durable_files", "scripts.bootstrap"}  # the second runs before anything of ours can be imported
    shards = "core.engine.models.shard_writer"  # names the parts inside a folder that is put in place whole
    found = {
        name
        for name, path in modules().items()
        for n in ast.walk(tree(path))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("replace", "rename")
        if (len(n.args) == 1 and not n.keywords) or ast.unparse(n.func.value) in ("os", "shutil")
    }
    assert found - alone == {shards}


@pytest.mark.parametrize(
    "page", [m for m, p in modules().items() if m.count(".") == 1 and inside(m, "pages") and p.name != "__init__.py"]
)
def test_every_page_starts_with_the_guard(page: str) -> None:
    body = [n for n in tree(modules()[page]).body if not isinstance(n, ast.Import | ast.ImportFrom)]
    first = body[1] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body[0]
    assert ast.unparse(first) in ("guard()", "shell.guard()"), "the first statement of a page calls guard()"


def test_the_entry_point_enters_the_frame() -> None:
    assert "enter()" in (ROOT / "app.py").read_text()


def test_modules_hold_one_idea() -> None:
    long = {m: n for m, p in modules().items() if (n := len(p.read_text("utf-8").splitlines())) > 300}
    assert long == {}


def test_the_formatter_is_switched_off_nowhere() -> None:
    switch = "# fmt" + ":"
    folders = ("core", "pages", "tests", "scripts", "benchmarks")
    off = [p for f in folders for p in (ROOT / f).rglob("*.py") if switch in p.read_text("utf-8")]
    assert off == []


def test_no_remote_code_no_pickles_no_stubs() -> None:
    found = []
    for name, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                    found.append((name, node.value.lineno, "trust_remote_code"))
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "torch.load",
                "yaml.load",
                "yaml.unsafe_load",
            ):
                found.append((name, node.lineno, ast.unparse(node)))
            elif isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
                found.append((name, node.lineno, "NotImplementedError"))
        found += [(name, 0, i) for i in imports(name) if inside(i, "pickle", "dill", "joblib", "cloudpickle")]
    assert found == []


def test_code_on_pages_is_not_coloured() -> None:
    """Streamlit's colours for code fall short of the contrast text needs, in both themes."""
    pages = [p for p in (ROOT / "pages").rglob("*.py") if re.search(r"language=[\"']", p.read_text("utf-8"))]
    assert pages == []
