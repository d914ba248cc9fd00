"""The recipe's JSON Schema, and the reference of all its keys, both made from the models."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from core.recipe.recipe import Recipe

_HEAD = """# Recipe reference

Every key of a recipe: what it takes, what it is when left out, and what it means. This file is made from the code by
`python -m core schema --reference`. The [guide](guide.md) says what recipes are for, and `python -m core schema` prints
the JSON Schema, by which editors complete and check recipes.
"""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a recipe, with what each key means."""
    found = Recipe.model_json_schema(by_alias=True)
    models = {model.__name__: model for model in _models(Recipe)}
    for part in (found, *found.get("$defs", {}).values()):
        said = documented(models[part["title"]]) if part.get("title") in models else {}
        for name, text in said.items():
            if name in part["properties"]:
                part["properties"][name].setdefault("description", text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def reference() -> str:
    """The reference as a Markdown document: a table of keys for each part of a recipe."""
    whole = schema()
    models = {model.__name__: model for model in _models(Recipe)}
    parts = [whole, *(whole["$defs"][name] for name in models if name != "Recipe" and name in whole["$defs"])]
    return "\n".join([_HEAD, *(_part(part, models[part["title"]]) for part in parts)])


def documented(model: type[BaseModel]) -> dict[str, str]:
    """What stands under each field of a model as its docstring, by the name a recipe has for it."""
    found: dict[str, str] = {}
    for base in reversed([c for c in model.__mro__ if issubclass(c, BaseModel) and c.__module__.startswith("core.")]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            said = text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else None
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, str):
                info = model.model_fields[field.target.id]
                found[info.serialization_alias or field.target.id] = " ".join(said.split())
    return found


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all that stand in it, each once, from the outside in."""
    found: dict[type[BaseModel], None] = {model: None}
    waiting = [model]
    while waiting:
        for field in waiting.pop(0).model_fields.values():
            for inner in _inside(field.annotation):
                if inner not in found:
                    found[inner] = None
                    waiting.append(inner)
    return list(found)


def _inside(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _inside(inner)


def _part(part: Mapping[str, Any], model: type[BaseModel]) -> str:
    about = " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())
    required = set(part.get("required", ()))
    rows = [f"## {part['title']}", "", about, "", "| key | takes | left out | meaning |", "|---|---|---|---|"]
    for name, field in part["properties"].items():
        default = "must be given" if name in required else _said(field.get("default"))
        rows.append(f"| `{name}` | {_takes(field)} | {default} | {_cell(field.get('description', ''))} |")
    return "\n".join([*rows, ""])


def _takes(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in field:
            return " or ".join(dict.fromkeys(_takes(one) for one in field[several] if one.get("type") != "null"))
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_takes(field.get('items', {}))}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"keys with {_takes(field['additionalProperties'])}"
    bounds = [f"{words} {field[key]:,.15g}" for key, words in _BOUNDS.items() if abs(field.get(key, _ANY)) < _ANY]
    return " ".join([_KINDS.get(kind, kind), *bounds])


_KINDS = {"integer": "whole number", "string": "text", "boolean": "true or false"}
_ANY = 2.0**62
"""Numbers from here on stand for no bound."""
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def _said(default: object) -> str:
    if default is None or default == "":
        return "nothing"
    if isinstance(default, dict) and default:
        return "all its keys left out"
    return f"`{json.dumps(default)}`" if isinstance(default, list | dict | bool) else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
