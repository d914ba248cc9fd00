"""The documents are true: every path, command, target, id and variable they name exists, and their code runs."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from core.commands.parser import parser
from core.recipe.files import load_recipe
from core.registry.methods import METHODS, Method
from core.registry.samples import SAMPLES
from tests.layout.modules import ROOT, modules, tree

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in DOCUMENTS}
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def spans(text: str) -> list[str]:
    """Inline code outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def all_spans() -> list[tuple[str, str]]:
    return [(name, span) for name, text in TEXTS.items() for span in spans(text)]


def commands() -> list[str]:
    """Every line of the shell blocks, and the commands named in running text or as a comment of an example."""
    lines = [line.strip() for text in TEXTS.values() for block in blocks(text, "bash") for line in block.splitlines()]
    lines += [span for _, span in all_spans() if span.startswith(("make ", "python "))]
    lines += [line.lstrip("# ") for path in EXAMPLES for line in path.read_text().splitlines() if "python -m" in line]
    return [line for line in lines if line]


def test_every_path_named_exists() -> None:
    roots = tuple(f"{p.name}/" for p in ROOT.iterdir() if p.is_dir()) + (".ci/",)
    ending = re.compile(r"^[\w./-]+\.(py|md|txt|toml|yaml|png)$")
    named = [
        (d, s) for d, s in all_spans() if re.fullmatch(r"[\w./-]+", s) and (s.startswith(roots) or ending.match(s))
    ]
    assert len(named) > 40
    assert [(d, s) for d, s in named if not (ROOT / s).exists()] == []


def test_every_link_leads_somewhere() -> None:
    links = [(d, link) for d, text in TEXTS.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]
    assert links
    assert [(d, link) for d, link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_dotted_name_exists() -> None:
    for document, span in all_spans():
        name = re.match(r"^(core(?:\.\w+)+)", span)
        if not name:
            continue
        module = next(m for m in sorted(modules(), key=len, reverse=True) if f"{name[1]}.".startswith(f"{m}."))
        rest = name[1][len(module) + 1 :]
        defined = {n for node in tree(modules()[module]).body for n in names_of(node)}
        assert not rest or rest in defined, f"{document}: {name[1]}"


def names_of(node: Any) -> list[str]:
    targets = getattr(node, "targets", []) + [getattr(node, "target", None)]
    return [getattr(node, "name", "")] + [getattr(t, "id", "") for t in targets]


def test_every_command_named_is_one() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    known = 0
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[1:3] == ["-m", "core"]:
            parser().parse_args(words[3:])  # raises for what is no command
        elif words[1] == "-m":
            assert words[2] in modules(), line
        elif words[0].endswith("python"):
            assert (ROOT / words[1]).exists(), line
        else:
            raise AssertionError(f"'{line}' is neither make nor python")
        known += 1
    assert known > 8


def test_every_recipe_named_or_shipped_is_valid() -> None:
    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        assert load_recipe(path).name
    for text in TEXTS.values():
        for block in blocks(text, "yaml"):
            load_recipe(block)


def listed(text: str) -> dict[str, str]:
    """The rows of the README's table of methods: id -> whether it makes models smaller."""
    return dict(re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", text, flags=re.MULTILINE))


def test_the_readme_lists_the_methods_there_are_and_says_which_make_models_smaller() -> None:
    assert listed(TEXTS["README.md"]) == {m.id: "yes" if m.structured else "no" for m in METHODS.values()}


def test_every_sample_and_variable_named_exists() -> None:
    code = "".join(path.read_text("utf-8") for path in modules().values())
    for text in TEXTS.values():
        for sample in re.findall(r"sample:([a-z0-9-]+)", text):
            assert sample in SAMPLES
        for variable in re.findall(r"RETORT_[A-Z_]+", text):
            assert f'"{variable}"' in code, variable


def test_settings_of_the_server_are_those_the_documents_state() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    stated = [re.fullmatch(r"(server|browser|runner)\.(\w+)(?: = (.+))?", span) for _, span in all_spans()]
    found = [s for s in stated if s]
    assert found
    for one in found:
        value = settings[one[1]][one[2]]
        assert one[3] is None or tomllib.loads(f"x = {one[3]}")["x"] == value, one[0]


def test_the_criterion_shown_works_as_it_stands(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function and the line of CONTRIBUTING.md join a real sweep step; its test passes, and its row is right.

    Whoever follows the guide has all of it already: afterwards everything is as it was before.
    """
    import torch

    from core.engine.models.load import load_model
    from core.engine.models.matrices import prunable
    from core.engine.prune import apply, criteria
    from core.engine.prune.statistics import ModuleStatistics
    from core.recipe.recipe import Prune

    shown = blocks(TEXTS["CONTRIBUTING.md"], "python")
    assert len(shown) == 3 and sum(len(b.splitlines()) for b in shown) < 45
    function, line, test = shown
    module = dict(criteria.__dict__)
    exec(compile(function, "CONTRIBUTING.md", "exec"), module)
    (new,) = re.findall(r"^def (\w+)", function, flags=re.MULTILINE)
    monkeypatch.setattr(criteria, new, module[new], raising=False)
    scope: dict[str, Any] = {}
    exec(compile(test, "CONTRIBUTING.md", "exec"), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()

    entry = eval(line, {"Method": Method})  # noqa: S307 (the repository's own text)
    assert entry.symbol not in {m.symbol for m in METHODS.values() if m.id != entry.id}
    (row,) = blocks(TEXTS["CONTRIBUTING.md"], "markdown")
    assert listed(row) == {entry.id: "yes" if entry.structured else "no"}
    monkeypatch.setitem(METHODS, entry.id, entry)
    matrix = prunable(load_model(tiny_llama, "float32").model)[0]
    stats = ModuleStatistics(input_norms=torch.rand(matrix.shape[1]) + 0.1, tokens=5)
    scores = module[new](matrix.read(), stats, torch.Generator())
    apply.prune_matrix(matrix, Prune(method=entry.id, sparsity=0.5), 0.5, stats, apply.PruneReport())
    gone = matrix.read() == 0
    assert (gone.sum(1) == matrix.shape[1] // 2).all()
    for row_at in range(matrix.shape[0]):
        assert scores[row_at][gone[row_at]].max() <= scores[row_at][~gone[row_at]].min()


def test_the_criterion_shown_leaves_nothing_behind() -> None:
    """It runs after the one above: who has followed the guide keeps function and entry, who has not gets none."""
    from core.engine.prune import criteria

    written = "def ria(" in (ROOT / "core/engine/prune/criteria.py").read_text("utf-8")
    assert hasattr(criteria, "ria") == ("ria" in METHODS) == written
