"""YAML read as plain data: text, numbers, lists and keys, each with its line. Light: no torch.

Only the types of YAML 1.2's core schema: `2:4` stays text (YAML 1.1 reads it as 124), `1e-3` is a
number, dates and `yes` are text. Tags, duplicate keys and aliases that explode are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from core.errors import RetortError

Path = tuple[str | int, ...]
_DEPTH = 32
_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_SCHEMA = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if parent is not None and self.depth > _DEPTH:
            raise _refused(f"line {parent.start_mark.line + 1}: nested more than {_DEPTH} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either schema would not read back as text."""

    yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds line separators such as U+0085 away unless they are escaped, which double quotes do.
    node: yaml.ScalarNode = dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"')
    return node


_Dumper.add_representer(str, _text)
for _name, _pattern, _first in _SCHEMA:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})$"), _first)


class Document:
    """A YAML document as plain data, which remembers the line of every value."""

    def __init__(self, text: str) -> None:
        """Reads `text`.

        Raises:
            RetortError: it is not YAML, or holds what a recipe must not.
        """
        self.lines: dict[Path, int] = {}
        self._left = _VALUES
        try:
            node = _Loader(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            what = ", ".join(part for part in (error.context, error.problem) if part)
            raise _refused(line + what) from None
        except (yaml.YAMLError, ValueError) as error:
            raise _refused(str(error).splitlines()[0] if str(error) else "it cannot be read") from None
        self.data: Any = None if node is None else self._build(node, (), frozenset())

    def line(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest one around it."""
        return next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), 1)

    def _build(self, node: yaml.Node, path: Path, above: frozenset[int]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0:
            raise _refused(f"line {line}: more than {_VALUES:,} values, once aliases are written out")
        if id(node) in above:
            raise _refused(f"line {line}: an alias that contains itself")
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._build(item, (*path, i), above | {id(node)}) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return dict(self._items(node, path, above | {id(node)}))
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_TAG):
            return _scalar(node, line)
        raise _refused(f"line {line}: the tag '{node.tag}' is not allowed")

    def _items(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(f"line {line}: a key must be one word")
            name = key.value
            if name in seen:
                raise _refused(f"{dotted((*path, name))} (line {line}): is given twice")
            seen.add(name)
            self.lines[(*path, name)] = line
            yield name, self._build(value, (*path, name), above)


def dump(data: Any) -> str:
    """Plain data as YAML that `Document` reads back equal."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text


def dotted(path: Path) -> str:
    """('sweep', 'grid', 0, 'method') as 'sweep.grid[0].method'."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _scalar(node: yaml.ScalarNode, line: int) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        raise _refused(f"line {line}: '{text[:40]}' is not a number that can be read") from None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    if kind == "str":
        return text
    raise _refused(f"line {line}: the tag '!!{kind}' is not allowed")


def _refused(what: str) -> RetortError:
    return RetortError(f"The recipe cannot be read as YAML: {what.rstrip('.')}.", "Correct it, then try again.")
