"""Another installed package adds to the registries by entry points; what is broken in it is named and left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.base.settings import Settings
from core.registry.method import Method, with_symbols
from core.registry.methods import METHODS
from tests.layout.modules import ROOT

PACKAGE = Path(__file__).with_name("package")

LISTS = """
import json, sys
from core.figures.theme import method_style
from core.registry import additions as a, formats, losses, methods, metrics, tasks
print(json.dumps({
    "methods": [*methods.METHODS][-1],
    "symbols": [method_style(m + methods.HEALED).symbol for m in methods.METHODS],
    "color": method_style("columns").color,
    "losses": [*losses.LOSSES][-1], "exports": [*formats.EXPORTS][-1], "tasks": [*tasks.TASK_SETS][-1],
    "metrics": [m for m in metrics.METRICS if m in ("largest_token", "never")],
    "accuracy": metrics.METRICS["accuracy:colours"].label,
    "package": a.package_of("retort.methods", "columns"), "own": a.package_of("retort.methods", "wanda"),
    "broken": [b.cause for b in a.ADDED.broken], "remedy": a.ADDED.broken[0].remedy,
    "wanda": methods.METHODS["wanda"].entry,
}))
"""

SWEEP = """
import json, sys
from pathlib import Path
from core.base.settings import Settings
from core.engine.pipeline import execute
from core.recipe.recipe import Recipe
from tests.engine.conftest import Memory

home, recipe = Path(sys.argv[1]), json.loads(sys.argv[2])
hooks = Memory(Settings(home=home, roots=(home / "models",)))
execute(Recipe.model_validate(recipe), hooks)
print(json.dumps({"keys": [*hooks.results], "results": [r.model_dump(mode="json") for r in hooks.results.values()],
                  "events": [d for _, d in hooks.events]}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages that holds the one of this test."""
    return Path(shutil.copytree(PACKAGE, tmp_path_factory.mktemp("site") / "site"))


def python(site: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(p) for p in (site, ROOT) if p is not None]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def answer(site: Path | None, *words: str) -> Any:
    done = python(site, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_what_is_good_is_there_and_what_is_broken_is_named(site: Path) -> None:
    found = answer(site, "-c", LISTS)
    assert found["methods"] == "columns"
    assert len(set(found["symbols"])) == len(found["symbols"]) and 1 <= found["color"] <= 7
    assert (found["losses"], found["exports"], found["tasks"]) == ("huber", "names", "colours")
    assert found["metrics"] == ["largest_token", "never"] and found["accuracy"] == "Colours accuracy"
    assert (found["package"], found["own"]) == ("retort-more 2", "")
    assert found["wanda"] == "core.engine.prune.criteria:wanda", "an id that is taken stays with its owner"
    said = {cause.partition("' (")[0].rpartition("'")[2]: cause for cause in found["broken"]}
    assert set(said) == {"broken", "heavy", "taken", "text", "folder"}
    assert said["broken"] == (
        "What retort-more 2 adds as 'broken' (retort.methods) is left out: retort_more.gone:METHOD cannot be loaded "
        "(ModuleNotFoundError: No module named 'retort_more.gone')."
    )
    assert "imports torch, which only the functions it names may do" in said["heavy"]
    assert "the id 'wanda' is taken" in said["taken"]
    assert "it is a str and no Method" in said["text"]
    assert "its 'entry' is not 'module:function'" in said["folder"]
    assert found["remedy"] == "Update retort-more, or remove it; everything else works."


def test_the_check_of_the_home_and_the_log_name_it(site: Path, home: Settings) -> None:
    words = ("-m", "core", "home", "check", "--home", str(home.home))
    done = python(site, *words, "--json")
    problems = json.loads(done.stdout)["problems"]
    assert done.returncode == 1 and len(problems) == 5
    assert problems[0]["where"] == "package retort-more 2" and "is left out" in problems[0]["cause"]
    assert "What retort-more 2 adds as 'broken' (retort.methods) is left out" in done.stderr
    assert python(None, *words).returncode == 0


@pytest.mark.slow
def test_a_real_recipe_prunes_learns_measures_and_exports_by_it(
    site: Path, home: Settings, tiny_llama: Path, tiny_text: str
) -> None:
    models = home.roots[0]
    shutil.copytree(tiny_llama, models / "llama")
    (models / "text.txt").write_text(tiny_text)
    (models / "judged.txt").write_text("\n\n".join(f"Line {i} is of boats and {i * 3} nets." for i in range(300)))
    learn = {"data": f"path:{models}/text.txt", "split": None, "length": 32}
    recipe = {
        "name": "added",
        "model": f"path:{models}/llama",
        "dtype": "float32",
        "latency": None,
        "evaluation": {
            "data": f"path:{models}/judged.txt",
            "split": None,
            "tokens": 512,
            "window": 64,
            "tasks": ["colours"],
        },
        "steps": [
            {"step": "prune", "method": "columns", "sparsity": 0.5},
            {"step": "evaluate"},
            {"step": "distil", "losses": [{"loss": "huber"}], "data": learn, "budget": {"steps": 2}, "held_out": 2},
            {"step": "evaluate"},
            {"step": "export", "format": "names"},
        ],
    }
    found = answer(site, "-c", SWEEP, str(home.home), json.dumps(recipe))
    dense, pruned, taught = found["results"]
    for one in (dense, pruned, taught):
        figures = {m["metric"]: m["value"] for m in one["measurements"]}
        assert 256 <= figures["largest_token"] < 384, "ids beyond the bytes are there: the text has merged tokens"
        assert figures["accuracy:colours"] in (0.0, 0.5, 1.0)
        assert "Never was not measured: The function 'retort_more.does:gone' cannot be loaded" in " ".join(one["notes"])
    assert dense["facts"].get("sparsity_pruned") is None
    assert pruned["method"] == "columns" and pruned["facts"]["sparsity_pruned"] == 0.5
    assert taught["method"] == "distil" and taught["label"] == "Columns 50 % + Distilled by huber, 2 steps"
    (names,) = home.home.glob("runs/r1/**/names.txt")
    assert "model.embed_tokens.weight" in names.read_text().splitlines()

    refused = python(None, "-c", SWEEP, str(home.home), json.dumps(recipe))
    assert "unknown task 'colours'" in refused.stderr, "without the package there is no such task"


def test_the_package_and_its_version_are_part_of_the_key(site: Path, tmp_path: Path) -> None:
    keys = (
        "import json; from core.recipe.recipe import Recipe; from core.recipe.trial_keys import *\n"
        "step = {'step': 'prune', 'sparsity': 0.5}\n"
        "def key(m): r = Recipe.model_validate({'name': 'n', 'model': 'sample:x', 'steps': [step | {'method': m}]}); "
        "return added_packages(r, r.steps)\n"
        "print(json.dumps([key('wanda'), key('columns')]))"
    )
    metrics = {"retort.metrics:largest_token": "retort-more 2", "retort.metrics:never": "retort-more 2"}
    assert answer(site, "-c", keys) == [metrics, {"retort.methods:columns": "retort-more 2", **metrics}]
    newer = Path(shutil.copytree(site, tmp_path / "newer"))
    (newer / "retort_more-2.dist-info" / "METADATA").write_text("Name: retort-more\nVersion: 3\n")
    assert answer(newer, "-c", keys)[1]["retort.methods:columns"] == "retort-more 3"


def test_methods_without_a_shape_get_one_each() -> None:
    plain = METHODS["magnitude"].model_copy(update={"symbol": "", "color": 0})
    more: list[Method] = [plain.model_copy(update={"id": f"m{i}"}) for i in range(3)]
    shapes = [m.symbol for m in with_symbols([*METHODS.values(), *more]).values()]
    assert len(set(shapes)) == len(METHODS) + 3 and shapes[: len(METHODS)] == [m.symbol for m in METHODS.values()]
