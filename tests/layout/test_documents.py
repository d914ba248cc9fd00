"""The documents are true: every path, command, target, id and variable they name exists, and their code runs."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from typing import Any

from core.commands.parser import parser
from core.recipe.files import load_recipe
from core.registry.formats import EXPORTS
from core.registry.losses import LOSSES, Loss
from core.registry.methods import METHODS
from core.registry.mixes import MIXES
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS
from tests.layout.modules import ROOT, modules, tree
from tests.layout.test_graph import ALLOWED

README_WORDS = 900
DOCUMENTS = (
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
WRITTEN_BY_THE_READER = {".streamlit/secrets.toml", "roles.toml", "config.toml"}
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
    lines += [line.strip() for text in TEXTS.values() for line in re.findall(r"^    \.venv/.*$", text, re.MULTILINE)]
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
    assert [(d, s) for d, s in named if s not in WRITTEN_BY_THE_READER and not (ROOT / s).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len(TEXTS["README.md"].split()) <= README_WORDS


def test_the_readme_leads_to_every_document() -> None:
    assert [d for d in DOCUMENTS if d != "README.md" and f"]({d})" not in reachable()] == []


def reachable() -> str:
    """The README, and the documents it links to, with their links as from the root."""
    linked = [d for d in DOCUMENTS if f"]({d})" in TEXTS["README.md"]]
    beside = [TEXTS[d].replace("](", "](docs/") for d in linked if d.startswith("docs/")]
    return "\n".join((TEXTS["README.md"], *beside))


def test_every_link_leads_somewhere() -> None:
    links = [(d, link) for d, text in TEXTS.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]
    assert links
    assert [(d, link) for d, link in links if "://" not in link and not ((ROOT / d).parent / link).exists()] == []


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
            assert words[2] in modules() or importlib.util.find_spec(words[2]), line
        elif words[1] == "-c":
            compile(words[2], line, "exec")
        elif words[0].endswith("python"):
            assert (ROOT / words[1]).exists(), line
        else:
            raise AssertionError(f"'{line}' is neither make nor python")
        known += 1
    assert known > 8


def test_the_table_of_folders_says_what_each_may_import() -> None:
    rows = re.findall(r"^\| `((?:core|pages)/[\w/.]+)` \|.*\| ([^|]+) \|$", TEXTS["ARCHITECTURE.md"], re.MULTILINE)
    stated = {as_folder(where): imported(said) for where, said in rows}
    expected = {name: set(others) - {name} for name, others in ALLOWED.items() if name != "core.__main__"}
    assert stated == expected


def as_folder(where: str) -> str:
    """`core/engine/data/` or `engine/data` as a dotted name."""
    parts = where.removesuffix(".py").strip("/").split("/")
    return ".".join(parts if parts[0] in ("core", "pages") else ["core", *parts])


def imported(said: str) -> set[str]:
    """The folders a cell of the table stands for: `up to X` is X and all that X may import."""
    if said == "nothing":
        return set()
    first, *others = said.split(", ")
    found = {as_folder(one) for one in (first.removeprefix("up to "), *others)}
    return found | set(ALLOWED[as_folder(first.removeprefix("up to "))]) if first.startswith("up to ") else found


def test_every_recipe_named_or_shipped_is_valid() -> None:
    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        assert load_recipe(path).name
    for text in TEXTS.values():
        for block in blocks(text, "yaml"):
            load_recipe(block)


def test_every_option_of_a_benchmark_named_is_one() -> None:
    named = re.findall(r"`(benchmarks/\w+\.py)` `(--[^`]+)`", TEXTS["docs/measurements.md"])
    assert len(named) > 5
    for script, options in named:
        source = (ROOT / script).read_text("utf-8")
        assert [o for o in options.split() if o.startswith("--") and f'"{o}"' not in source] == [], script


def section(document: str, title: str) -> str:
    """The text under a heading, up to the next one."""
    return re.split(r"^## ", TEXTS[document], flags=re.MULTILINE)[titles(document).index(title) + 1].partition("\n")[2]


def titles(document: str) -> list[str]:
    return re.findall(r"^## (.+)$", TEXTS[document], flags=re.MULTILINE)


def listed(text: str) -> dict[str, str]:
    """The rows of a table whose first cell is an id: id -> last cell."""
    return dict(re.findall(r"^\| `(\w+)` \|(?:.*\|)? ([^|]+) \|$", text, flags=re.MULTILINE))


# The lists of the documents are a choice: what is added later need not be in them, and what is in them is true.


def test_the_methods_listed_say_which_make_models_smaller() -> None:
    found = listed(section("docs/methods.md", "Pruning"))
    assert len(found) >= 13
    assert found == {m: "yes" if METHODS[m].structured else "no" for m in found}


def stored(loss: Loss) -> str:
    return "needs none" if not loss.needs_teacher else "no" if loss.needs_live_teacher else "yes"


def test_the_losses_listed_say_which_take_a_stored_teacher() -> None:
    text = section("docs/methods.md", "Distillation")
    found = listed(text)
    assert len(found) >= 11
    assert found == {one: stored(LOSSES[one]) for one in found}
    assert set(MIXES) <= set(spans(text))


def test_the_tasks_and_exports_listed_are_some_there_are() -> None:
    tasks = re.findall(r"`(\w+)`", section("docs/methods.md", "Tasks").partition("Classifiers")[0])
    assert len(tasks) >= 10 and set(tasks) <= set(TASK_SETS)
    exports = listed(section("docs/methods.md", "Exports"))
    assert len(exports) >= 3 and set(exports) <= set(EXPORTS)


def test_the_readme_states_as_many_methods_and_losses_as_the_documents_list() -> None:
    methods = len(listed(section("docs/methods.md", "Pruning")))
    losses = len(listed(section("docs/methods.md", "Distillation")))
    assert f"**Prune** by {methods} [methods]" in TEXTS["README.md"]
    assert f"any weighted mix of {losses} losses" in TEXTS["README.md"]


def test_every_example_is_in_the_guide() -> None:
    shown = section("docs/guide.md", "Recipes")
    assert [path.name for path in EXAMPLES if f"`examples/{path.name}`" not in shown] == []


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
