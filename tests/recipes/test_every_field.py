"""Every field of every part of a recipe, with every kind of wrong value: refused with its name and its line.

What a field may hold is read from the JSON schema that pydantic writes, so a field that is added is judged by itself;
one that the documents below leave out fails the test.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.recipe.check import RecipeError
from core.recipe.files import load_recipe
from core.recipe.messages import sentences
from core.recipe.recipe import Recipe

Path = tuple[str | int, ...]
COLUMNS = {"text": "t", "text_pair": "u", "label": "l", "messages": "m", "prompt": "p", "completion": "c"}
TEXT = {"data": "path:/texts/a.csv", "split": "train", "column": "t", "columns": COLUMNS}
CALIBRATION = TEXT | {"sequences": 4, "length": 64, "seed": 3, "start_token": "each"}
EVALUATION = TEXT | {
    "tokens": 4096,
    "window": 64,
    "batch": 2,
    "start_token": "none",
    "tasks": ["piqa"],
    "items": 50,
    "scorer": "retort",
    "own_tasks": [
        {
            "name": "support",
            "data": "path:/texts/questions.csv",
            "split": "test",
            "columns": {"question": "q", "options": ["A", "B"], "answer": "right"},
            "kind": "choice",
            "answers": "letter",
            "match": "contains",
            "shots": 2,
            "prompt": "{question}",
            "chat_template": False,
            "stop": ["###"],
            "new_tokens": 16,
        }
    ],
    "labelled": {
        "data": "path:/texts/labels.csv",
        "split": "test",
        "columns": COLUMNS,
        "items": 20,
        "classes": {"spam": "LABEL_1"},
    },
}
SIZES = {"layers": 4, "intermediate": 64, "heads": 4, "kv_heads": 2, "hidden": 32, "experts": 4}
TARGETS = [
    {"remove_layers": 2},
    {"block_fraction": 0.2},
    {"total_fraction": 0.2},
    {"megabytes": 50.0},
    {"sizes": SIZES},
]
ASSERTS = {
    "of": "every",
    "loss_percent": 5.0,
    "accuracy_points": 1.0,
    "f1_points": 1.0,
    "agreement_percent": 90.0,
    "recall": 0.5,
    "class_recall": {"spam": 0.9},
    "megabytes": 30.0,
    "prefill_ms": 9.0,
    "decode_ms": 5.0,
}
COMMON = {
    "name": "Study",
    "assert": ASSERTS,
    "model": "path:/models/a",
    "calibration": CALIBRATION,
    "evaluation": EVALUATION,
    "latency": {"prompt": 8, "new_tokens": 4, "repeats": 2, "warmup": 1, "batch": 1},
    "dtype": "float32",
    "minutes": 5.0,
    "seed": 1,
    "executor": "local",
}
SWEEP = COMMON | {
    "sweep": {
        "grid": [
            {
                "method": ["magnitude", "width_norm"],
                "sparsity": [0.2, 0.5],
                "pattern": ["unstructured", "2:4"],
                "target": TARGETS,
                "mode": "joint",
                "allocation": "owl",
                "protect": [0, 1],
                "parts": ["neurons"],
                "multiple": 8,
                "heal": "closed-form",
                "seeds": [0, 1],
            },
        ],
        "budget": {"megabytes": 50.0, "decode_ms": 3.0, "prefill_ms": 9.0, "keep": 2, "multiple": 8},
        "keep": "all",
    }
}
DISTIL = {
    "step": "distil",
    "name": "Student",
    "teacher": "step:1",
    "student": "run:abc",
    "losses": [
        {"loss": "soft_labels", "weight": 1.0, "parameters": {"temperature": 2.0}},
        {"loss": "hidden_mse"},
    ],
    "layer_map": [[0, 1], [1, 3]],
    "data": TEXT
    | {
        "data": "path:/texts/a.jsonl",
        "form": "chat",
        "length": 64,
        "prompt": "q",
        "answer": "a",
        "label": "l",
        "classes": {"spam": "LABEL_1"},
        "count_prompt": True,
        "streaming": True,
    },
    "batch": 4,
    "micro_batch": 2,
    "budget": {"steps": 10},
    "schedule": {"learning_rate": 1e-4, "warmup": 0.1, "final": 0.1, "weight_decay": 0.1, "clip": 1.0},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "modules": ["q_proj"], "ratio": 4.0},
    "on_policy": {"share": 0.5, "prompt": 8, "temperature": 1.0},
    "gradient_checkpointing": True,
    "keep_zeros": False,
    "checkpoint_every": 5,
    "evaluate_every": 5,
    "held_out": 4,
    "seed": 2,
}
STEPS = COMMON | {
    "steps": [
        {
            "step": "prune",
            "name": "Sparse",
            "method": "wanda",
            "sparsity": 0.3,
            "pattern": "unstructured",
            "mode": "sequential",
            "allocation": "owl",
            "protect": [0],
            "seed": 1,
        },
        {"step": "trim", "name": "Own words", "texts": [TEXT], "floor": 2},
        {
            "step": "prune",
            "method": "width_norm",
            "target": TARGETS[1],
            "parts": ["neurons"],
            "multiple": 16,
            "heal": "none",
        },
        DISTIL,
        {"step": "finetune", "losses": [{"loss": "cross_entropy"}], "budget": {"tokens": 9_000}},
        {
            "step": "distil",
            "budget": {"minutes": 2.5},
            "cache": {"k": 8, "tail": "bucket", "precision": "float32"},
            "teacher_texts": {"sequences": 4, "prompt": 8, "temperature": 0.5},
            "design": {"layers": 2, "sizes": {"intermediate": 64}, "initialise": "random"},
        },
        {
            "step": "distil",
            "losses": [{"loss": "soft_labels"}],
            "data": {"data": "path:/texts/a.txt", "form": "labels"},
            "labelling": {
                "prompt": "{text} is",
                "classes": {"rain": "wet", "sun": "dry"},
                "calibrated": False,
                "least": 0.6,
            },
        },
        {
            "step": "select",
            "options": [
                {"method": "block_influence", "target": TARGETS[0]},
                {"method": "width_norm", "target": TARGETS[1]},
            ],
            "best": 1,
            "recovery": {"budget": {"steps": 3}},
        },
        {"step": "evaluate"},
        {"step": "measure"},
        {"step": "export", "format": "onnx"},
        {"step": "quantise", "name": "Packed", "format": "int8", "of": "current"},
    ]
}
SPEC = {
    "model": "path:/models/a",
    "method": "wanda",
    "sparsities": [0.3, 0.5],
    "parts": True,
    "removed": "layers",
    "calibration": CALIBRATION,
    "evaluation": EVALUATION,
    "dtype": "float32",
    "seed": 1,
}
RECIPE_SCHEMA, SPEC_SCHEMA = Recipe.model_json_schema(), SensitivitySpec.model_json_schema()
UNSEEN = ("a\u202eb", "a\x1b[2Jb", "a\u200bb", "a\nb")


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def variants(schema: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    """What a value may be: one schema for each alternative."""
    schema = resolved(schema, root)
    inner = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    return [v for one in inner for v in variants(one, root)] if inner else [schema]


def places(value: Any, schema: dict[str, Any], root: dict[str, Any], at: Path = ()) -> Iterator[tuple[Path, Any, str]]:
    """(path, schema, model) of every value of a document that the schema describes."""
    options = variants(schema, root)
    if isinstance(value, dict):
        named = [o for o in options if "properties" in o]
        step = [o for o in named if value.get("step") in _steps_of(o)]
        for model in (step or named)[:1]:
            for name, inner in value.items():
                yield (*at, name), model["properties"][name], model["title"]
                yield from places(inner, model["properties"][name], root, (*at, name))
    elif isinstance(value, list):
        for array in [o for o in options if o.get("type") == "array"]:
            for index, inner in enumerate(value):
                of = array["prefixItems"][index] if "prefixItems" in array else array["items"]
                yield (*at, index), of, ""
                yield from places(inner, of, root, (*at, index))


def _steps_of(model: dict[str, Any]) -> list[str]:
    step = model["properties"].get("step", {})
    return [step["const"]] if "const" in step else list(step.get("enum", []))


def wrong(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[Any]:
    """Values that a place must refuse."""
    options = variants(schema, root)
    types = {o.get("type") for o in options} | {"string" for o in options if "const" in o or "enum" in o}
    numbers = types & {"integer", "number"}
    yield from ([] if "boolean" in types else [True, False])
    yield from ([] if "string" in types else ["3", "0.5", "true", "x", ""])
    yield from ([] if numbers else [3, 0, 1])
    yield from ([] if "number" in types else [2.5, 0.5])
    yield from ([] if "null" in types else [None])
    yield from ([] if "array" in types or "one_or_many" in schema else [[], [1], [[]]])
    yield from ([] if "object" in types else [{}, {"a": 1}])
    if "object" in types:
        yield {"no_such_key": 1}
    for one in options:
        yield from _beyond(one)


def _beyond(one: dict[str, Any]) -> Iterator[Any]:
    """Values of the right type that are too much, too little, or none of those there are."""
    if one.get("type") in ("integer", "number"):
        yield one["exclusiveMinimum"] if "exclusiveMinimum" in one else one["minimum"] - 1
        yield one["exclusiveMaximum"] if "exclusiveMaximum" in one else one["maximum"] + 1
        yield float("nan")
        yield float("inf")
        yield float("-inf")
    if one.get("type") == "string":
        yield from UNSEEN[:-1] if one.get("format") == "lines" else UNSEEN
        yield from ["no_such_word", "file:/etc/passwd", "http://a.b/c"] if "enum" in one or "const" in one else []
        yield from [""] if "minLength" in one else []
        yield from ["x" * (one["maxLength"] + 1)] if "maxLength" in one else []
    if one.get("type") == "array":
        yield from [[]] if one.get("minItems") else []


def put(document: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(document)  # PyYAML would write what stands there twice as an alias
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return changed


def line_of(text: str, path: Path) -> int:
    """The line a key or an entry stands in, by PyYAML's own reader."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line = node.start_mark.line
    for part in path:
        if isinstance(part, str):
            key, node = next((k, v) for k, v in node.value if k.value == part)
            line = key.start_mark.line
        else:
            node = node.value[part]
            line = node.start_mark.line
    return int(line) + 1


def dots(path: Path) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


DOCUMENTS = {"sweep": SWEEP, "steps": STEPS}
PLACES = [
    pytest.param(kind, path, schema, id=f"{kind}-{dots(path)}")
    for kind, document in DOCUMENTS.items()
    for path, schema, _ in places(document, RECIPE_SCHEMA, RECIPE_SCHEMA)
    if kind == "sweep" or path[0] == "steps"
]


def test_the_documents_are_right_and_leave_no_field_out() -> None:
    for document in DOCUMENTS.values():
        load_recipe(yaml.safe_dump(document, sort_keys=False))
    SensitivitySpec.model_validate(SPEC)
    for root, documents in ((RECIPE_SCHEMA, [SWEEP, STEPS]), (SPEC_SCHEMA, [SPEC])):
        models = {d["title"]: set(d["properties"]) for d in [root, *root["$defs"].values()]}
        given: dict[str, set[str]] = {}
        for document in documents:
            for path, _, model in places(document, root, root):
                given.setdefault(model, set()).add(str(path[-1]))
        assert {m: fields - given.get(m, set()) for m, fields in models.items() if fields - given.get(m, set())} == {}


def test_every_number_has_two_bounds_and_every_list_an_end() -> None:
    for root in (RECIPE_SCHEMA, SPEC_SCHEMA):
        for model in [root, *root["$defs"].values()]:
            for name, schema in model["properties"].items():
                for one in variants(schema, root):
                    inner = variants(one["items"], root) if "items" in one else []
                    for number in (o for o in [one, *inner] if o.get("type") in ("integer", "number")):
                        assert {"minimum", "exclusiveMinimum"} & set(number), (model["title"], name)
                        assert {"maximum", "exclusiveMaximum"} & set(number), (model["title"], name)
                    assert one.get("type") != "array" or "maxItems" in one, (model["title"], name)


@pytest.mark.parametrize(("kind", "path", "schema"), PLACES)
def test_a_wrong_value_is_refused_with_its_field_and_its_line(kind: str, path: Path, schema: dict[str, Any]) -> None:
    for value in wrong(schema, RECIPE_SCHEMA):
        text = yaml.safe_dump(put(DOCUMENTS[kind], path, value), sort_keys=False, allow_unicode=False)
        try:
            load_recipe(text)
        except RecipeError as error:
            inner = (*path, "no_such_key")
            named = value == {"no_such_key": 1} and told(error.problems, text, inner)
            assert named or told(error.problems, text, path), (value, error.problems)
        except RetortError as error:  # a number of more than 64 bits is none that YAML may hold here
            assert value == 2**63 and f"line {line_of(text, path)}: " in error.cause
        else:
            pytest.fail(f"{dots(path)} took {value!r}")


def told(problems: list[str], text: str, path: Path) -> bool:
    """Whether a sentence names the value's place and line, or the part it stands in, its line, and the key."""
    line = line_of(text, path)
    if any(p.startswith(dots(path)) and f"(line {line}): " in p for p in problems):
        return True
    names = [str(p) for p in path if isinstance(p, str)]
    above = [path[:end] for end in range(len(path)) if end]
    return any(
        p.startswith(f"{dots(part)} (line {line_of(text, part)}): ") and f"'{names[-1]}'" in p
        for part in above
        for p in problems
    )


SPEC_PLACES = [pytest.param(path, schema, id=dots(path)) for path, schema, _ in places(SPEC, SPEC_SCHEMA, SPEC_SCHEMA)]


@pytest.mark.parametrize(("path", "schema"), SPEC_PLACES)
def test_a_wrong_value_of_a_sensitivity_is_refused_with_its_field(path: Path, schema: dict[str, Any]) -> None:
    for value in wrong(schema, SPEC_SCHEMA):
        with pytest.raises(ValueError) as refused:
            SensitivitySpec.model_validate(put(SPEC, path, value))
        said = sentences(refused.value)  # type: ignore[arg-type]
        key = next(str(p) for p in reversed(path) if isinstance(p, str))
        assert any(s.startswith(dots(path)) or f"'{key}'" in s for s in said), (value, said)
