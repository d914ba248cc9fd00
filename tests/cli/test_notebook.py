"""A run as a notebook: valid, hostile names stay text, and its cells really do the run again."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.base.settings import Settings
from core.integrations.notebook import notebook
from core.recipe.files import dump_recipe
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from tests.cli.conftest import ROOT, SWEEP, Cli
from tests.pages.study import recipe, results

HOSTILE = 'a""" + __import__("os").getcwd() + """ \\" \\\' {x} <img src=x> b\\'


def is_valid(document: Any) -> None:
    """What the schema of nbformat 4.5 asks of a notebook."""
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert set(document) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert {"name", "display_name"} <= set(document["metadata"]["kernelspec"])
    ids = [cell["id"] for cell in document["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", i) for i in ids)
    for cell in document["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            wanted |= {"execution_count", "outputs"}
            assert cell["execution_count"] is None and cell["outputs"] == []
        assert set(cell) == wanted and cell["cell_type"] in ("code", "markdown")
        assert cell["metadata"] == {} and isinstance(cell["source"], str)


def sources(document: Any, kind: str = "code") -> list[str]:
    return [cell["source"] for cell in document["cells"] if cell["cell_type"] == kind]


def test_names_of_others_are_literals_and_the_recipe_reads_back() -> None:
    of = Recipe.model_validate({**recipe().model_dump(), "name": HOSTILE})
    found = [r.model_copy(update={"label": HOSTILE}) for _, r in results(of)]
    document = json.loads(notebook("r1", of, found))
    is_valid(document)
    assert not any("<img" in text for text in sources(document, "markdown"))
    literals: list[Any] = []
    for code in sources(document):
        for node in ast.walk(ast.parse(code)):
            assert not (isinstance(node, ast.Name) and node.id == "__import__")
            if isinstance(node, ast.Assign):
                try:
                    literals.append(ast.literal_eval(node.value))
                except ValueError:
                    continue  # not a literal
    assert dump_recipe(of) in literals
    earlier = next(v for v in literals if isinstance(v, dict) and found[0].key in v)
    assert [label for label, _ in earlier.values()] == [HOSTILE] * len(found)


def test_an_infinite_figure_is_left_open() -> None:
    of = recipe()
    _, one = results(of)[0]
    ruined = [m.model_copy(update={"value": float("inf")}) for m in one.measurements]
    document = json.loads(notebook("r1", of, [Result(**{**one.model_dump(), "measurements": ruined})]))
    is_valid(document)
    assert "inf" not in sources(document)[3].partition("MEASURED_WITH")[0]


@pytest.mark.jobs
def test_its_cells_do_the_run_again(study: Cli, tmp_path: Path) -> None:
    status, first = study.json("run", study.recipe(SWEEP.replace("[0.25, 0.5]", "[0.5]")))
    assert status == 0
    file = tmp_path / "again.ipynb"
    assert study("reproduce", first["id"], "--notebook", str(file)).returncode == 0
    document = json.loads(file.read_text("utf-8"))
    is_valid(document)

    code = "\n\n".join(sources(document))
    empty = Settings(home=tmp_path.resolve() / "new home")
    empty.home.mkdir()
    code = code.replace('RETORT = ""', f"RETORT = {str(ROOT)!r}").replace('HOME = ""', f"HOME = {str(empty.home)!r}")
    environment = {**os.environ, "RETORT_ROOTS": str(study.settings.home / "models")}
    environment.pop("PYTHONPATH", None)  # plain: the kernel knows nothing of Retort
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " perplexity  " in line]
    assert len(rows) == 4 and all(row[-1] == row[-2] != "-" for row in rows), done.stdout
    assert "4 of 4 candidates measured" in done.stdout
    assert "1 layer removed, healed: LlamaForCausalLM" in done.stdout
    keys = {p.parent.name for p in empty.home.glob("candidates/*/result.json")}
    assert keys == {c["key"] for c in first["candidates"]}, "the same keys: nothing that counts was changed"
    assert (tmp_path / f"run-{first['id']}.html").stat().st_size > 100_000
