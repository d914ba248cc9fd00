"""What is wrong with a recipe, said so that its author finds it: path, in a file the line, sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from core.base.plain_data import Path, dotted
from core.base.text import one_line
from core.recipe.recipe import Grid, Recipe
from core.registry.methods import METHODS

Error = dict[str, Any]  # pydantic's ErrorDetails, as a plain dictionary

_SENTENCES = {
    "missing": "is missing",
    "less_than": "must be below {lt:g}; you gave {given}",
    "less_than_equal": "must be at most {le:g}; you gave {given}",
    "greater_than": "must be above {gt:g}; you gave {given}",
    "greater_than_equal": "must be at least {ge:g}; you gave {given}",
    "literal_error": "must be {expected}; you gave {given}",
    "int_type": "must be a whole number; you gave {given}",
    "int_parsing": "must be a whole number; you gave {given}",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number; you gave {given}",
    "float_type": "must be a number; you gave {given}",
    "finite_number": "must be a finite number; you gave {given}",
    "float_parsing": "must be a number; you gave {given}",
    "string_type": "must be text (put it in quotes); you gave {given}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false; you gave {given}",
    "tuple_type": "must be a list; you gave {given}",
    "dict_type": "must hold keys with values; you gave {given}",
    "too_short": "must have at least {min_length} {entries}",
    "too_long": "must have at most {max_length:,} entries",
    "model_type": "must hold keys with values; you gave {given}",
    "model_attributes_type": "must hold keys with values; you gave {given}",
    "union_tag_not_found": "needs a 'step': {steps}",
    "union_tag_invalid": "must be one of {expected_tags}; you gave {given}",
}


MOST = 50
"""Problems that are told one by one."""


def problems(
    failed: ValidationError, data: dict[str, object], line: Callable[[Path], int] | None
) -> tuple[list[str], int]:
    """One sentence a problem: 'sweep.grid[0].sparsity[2] (line 14): must be below 1; you gave 1.5.'

    The first `MOST` of them, and how many there are.
    """
    combined = list(_combinations(data))
    reported: list[Error] = [dict(e) for e in failed.errors(include_url=False)]
    places = [e["loc"] for e in reported]
    found = [e for e in reported if _of_a_field(e, data) and not _follows(e, places)] + combined
    found = found or reported  # the recipe's own rules
    told = list(dict.fromkeys(_sentence(error, data, line) for error in found[:MOST]))
    return told, max(len(told), len(found) if len(found) > MOST else 0)


def sentences(failed: ValidationError) -> list[str]:
    """The same of data that stands in no file: 'sparsities[0]: must be below 1; you gave 1.5.'"""
    found: list[str] = []
    for error in failed.errors(include_url=False)[:MOST]:
        path = tuple(error["loc"])
        what = one_line(_what(dict(error), path, None), 800)
        found.append(f"{one_line(dotted(path), 300)}: {what}".removeprefix(": ").rstrip(".") + ".")
    return found


def _of_a_field(error: Error, data: dict[str, object]) -> bool:
    """False for what the recipe's validator found in a combination: pydantic reports it under the trial's own field."""
    loc = error["loc"]
    if error["type"] == "missing" or len(loc) > 1:
        return True
    return bool(loc) and loc[0] in data and _lists(error["input"]) == _lists(data[loc[0]])


def _lists(value: object) -> object:
    """Lists in place of the tuples that `core.recipe.parts.Strict` makes of them."""
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _follows(error: Error, places: list[Path]) -> bool:
    """True for a list that is only too short because pydantic left out its faulty entries."""
    size = len(error["loc"])
    return error["type"] == "too_short" and any(len(p) > size and p[:size] == error["loc"] for p in places)


def _combinations(data: dict[str, object]) -> Iterator[Error]:
    """What is wrong with the trials of each grid entry whose own fields are right."""
    sweep = data.get("sweep")
    grids = sweep.get("grid") if isinstance(sweep, dict) else None
    for index, raw in enumerate(grids if isinstance(grids, list) else []):
        place: Path = ("sweep", "grid", index)
        try:
            grid = Grid.model_validate(raw)
        except ValidationError:
            continue
        unknown = [(i, name) for i, name in enumerate(grid.method) if name not in METHODS]
        for i, name in unknown:
            where = (*place, "method", i) if isinstance(raw["method"], list) else (*place, "method")
            message = f"unknown method '{name}'; known: {', '.join(METHODS)}"
            yield {"loc": where, "type": "value_error", "msg": message, "input": name}
        if unknown:
            continue
        try:
            grid.prunes()
        except ValidationError as failed:
            yield from ({**e, "loc": (*place, *_entry(raw, e))} for e in failed.errors(include_url=False))
        except ValueError as error:
            yield {"loc": place, "type": "value_error", "msg": str(error), "input": None}


def _entry(raw: dict[str, Any], error: Any) -> Path:
    """Where in a grid entry the value stands that a combination's field was given."""
    if not error["loc"]:
        return ()
    name = error["loc"][0]
    listed = raw.get(name)
    if isinstance(listed, list) and error["input"] in listed:
        return (name, listed.index(error["input"]))
    return (name,) if name in raw else ()


def place(path: Path, line: Callable[[Path], int] | None) -> str:
    """'sweep.grid[0] (line 9)' for data of a file, 'sweep.grid[0]' for other data."""
    where = one_line(dotted(path), 300) or "recipe"
    return where if line is None else f"{where} (line {line(path)})"


def _sentence(error: Error, data: dict[str, object], line: Callable[[Path], int] | None) -> str:
    path = _in_file(error["loc"], data)
    if error["type"] == "union_tag_invalid":
        path = (*path, "step")
    what = one_line(_what(error, path, data), 800)
    end = "" if what.endswith(("?", ".")) else "."
    return f"{place(path, line)}: {what}{end}"


def _what(error: Error, path: Path, data: dict[str, object] | None) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = sorted(_keys_at(path[:-1], data)) if data is not None else []
        return "is not a known key" + _suggest(str(path[-1]), known)
    if kind == "value_error":
        text: str = error["msg"].removeprefix("Value error, ")
        if path and path[-1] == "method" or "unknown method" in text:
            text += _did_you_mean(str(given), list(METHODS))
        return text
    context = dict(error.get("ctx", {}))
    if kind == "union_tag_invalid":
        given = context.get("tag")
    template = _SENTENCES.get(kind)
    if template is None:
        return str(error["msg"])[:1].lower() + str(error["msg"])[1:]
    entries = "entry" if context.get("min_length") == 1 else "entries"
    text = template.format(**context, given=_show(given), steps=", ".join(STEPS), entries=entries)
    if kind in ("literal_error", "union_tag_invalid"):
        names = str(context.get("expected") or context.get("expected_tags"))
        text += _did_you_mean(str(given), [n.strip(" '") for n in names.replace(" or ", ",").split(",")])
    return text


def _in_file(loc: Path, data: object) -> Path:
    """Pydantic's location without the names of the union members it went through."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(data, dict) and part not in data and data.get("step") == part:
            continue
        path.append(part)
        data = _child(data, part)
    return tuple(path)


def _child(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _keys_at(path: Path, data: object) -> set[str]:
    """The keys a recipe may have at `path`."""
    models: list[type[BaseModel]] = [Recipe]
    for part in path:
        data = _child(data, part)
        if isinstance(part, str):
            fields = [f for m in models for name, f in m.model_fields.items() if part in (name, f.serialization_alias)]
            models = [m for f in fields for m in _models((f.annotation, *f.metadata))]
        step = data.get("step") if isinstance(data, dict) else None
        models = [m for m in models if step is None or not _steps(m) or step in _steps(m)]
    return {f.serialization_alias or name for m in models for name, f in m.model_fields.items()}


def _steps(model: type[BaseModel]) -> tuple[str, ...]:
    """What a model's own 'step' may say."""
    field = model.model_fields.get("step")
    return get_args(field.annotation) if field else ()


def _models(annotations: tuple[object, ...]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for one in annotations:
        if isinstance(one, type) and issubclass(one, BaseModel):
            found.append(one)
        else:
            found += _models(get_args(one))
    return found


def _suggest(name: str, known: list[str]) -> str:
    return _did_you_mean(name, known) or (f"; known here: {', '.join(known)}" if known else "")


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, 0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def _show(value: object) -> str:
    if isinstance(value, str):
        return f"'{one_line(value, 60)}'"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "keys with values"
    if value is None:
        return "nothing"
    return str(value)[:60].lower() if isinstance(value, bool) else str(value)[:60]


STEPS = [name for model in _models((Recipe.model_fields["steps"].annotation,)) for name in _steps(model)]
