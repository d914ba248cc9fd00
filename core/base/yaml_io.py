"""YAML read as plain data: text, numbers, lists and keys, each with its line.

Only the types of YAML 1.2's core schema: `2:4` stays text (YAML 1.1 reads it as 124), `1e-3` is a
number, dates and `yes` are text. Tags, duplicate keys and aliases that explode are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from core.base.errors import RetortError
from core.base.plain_data import DEPTH, KEY, LARGEST, VALUES, Path, dotted
from core.base.text import is_whole, one_line

_TAG = "tag:yaml.org,2002:"
_POWER = re.compile(r"[-+]?[0-9]+[eE]\+?[0-9]+")
_SCHEMA = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
)


class _Composer(Composer, Resolver):
    """Nodes from the events of libyaml's parser, which is a good ten times as fast as the one in Python."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def __init__(self, text: str) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        source = yaml.CLoader(text) if yaml.__with_libyaml__ else yaml.SafeLoader(text)
        self.check_event, self.peek_event, self.get_event = source.check_event, source.peek_event, source.get_event
        self.depth = self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.nodes += 1
        if parent is not None and (self.depth > DEPTH or self.nodes > VALUES):
            limit = f"nested more than {DEPTH} levels deep" if self.depth > DEPTH else f"more than {VALUES:,} values"
            raise _refused(f"line {parent.start_mark.line + 1}: {limit}")
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
    for _class in (_Composer, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})$"), _first)


class Document:
    """A YAML document as plain data, which remembers the line of every value."""

    def __init__(self, text: str) -> None:
        """Reads `text`.

        Raises:
            RetortError: it is not YAML, or holds what a recipe must not.
        """
        self.lines: dict[Path, int] = {}
        self._left = VALUES
        try:
            node = _Composer(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            lines = text.count("\n") + (not text.endswith("\n"))  # the end of the text is no line of its own
            line = f"line {min(error.problem_mark.line + 1, lines)}: " if error.problem_mark else ""
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
            raise _refused(f"line {line}: more than {VALUES:,} values, once aliases are written out")
        if len(path) > DEPTH:
            raise _refused(f"line {line}: nested more than {DEPTH} levels deep, once aliases are written out")
        if id(node) in above:
            raise _refused(f"line {line}: an alias that contains itself")
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._build(item, (*path, i), above | {id(node)}) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return dict(self._items(node, path, above | {id(node)}))
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_TAG):
            return _scalar(node, line)
        raise _refused(f"line {line}: the tag '{one_line(node.tag, 80)}' is not allowed")

    def _items(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(f"line {line}: a key must be one word")
            name = key.value
            if name in seen:
                raise _refused(f"{dotted((*path, name))} (line {line}): is given twice")
            if len(name) > KEY or not is_whole(name):
                raise _refused(f"line {line}: the key '{one_line(name, 40)}' is too long, or no text")
            seen.add(name)
            self.lines[(*path, name)] = line
            yield name, self._build(value, (*path, name), above)


def dump(data: Any) -> str:
    """Plain data as YAML that `Document` reads back equal."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text


def _scalar(node: yaml.ScalarNode, line: int) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    if kind in ("int", "float"):
        return _number(kind, text, line)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    if kind == "str":
        if not is_whole(text):
            raise _refused(f"line {line}: an escape stands for a lone surrogate, which is half of a character")
        return text
    raise _refused(f"line {line}: the tag '!!{one_line(kind, 40)}' is not allowed")


def _number(kind: str, text: str, line: int) -> int | float:
    """A number of at most 64 bits: more is no size, no seed and no share."""
    try:
        number = int(text) if kind == "int" else float(text)
        if abs(number) < LARGEST:
            return int(number) if _POWER.fullmatch(text) else number  # 1e6 tokens are a whole number
    except ValueError:
        pass
    raise _refused(f"line {line}: '{one_line(text, 40)}' is not a number that can be read")


def _refused(what: str) -> RetortError:
    return RetortError(
        f"The recipe cannot be read as YAML: {one_line(what, 400).rstrip('.')}.", "Correct it, then try again."
    )
