"""Every field of a recipe that can change a figure changes the key; names, places and limits change none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.engine.run.stages import stages_of
from core.recipe import trial_keys
from core.recipe.check import check_recipe
from core.recipe.recipe import Distil, Prune, Recipe
from core.recipe.trial_keys import Identity, trial_key, trials_of

CONTENTS = {
    "path:/texts/calibration.txt": "c0",
    "path:/texts/evaluation.txt": "e0",
    "path:/texts/labels.csv": "l0",
    "path:/texts/training.jsonl": "t0",
    "path:/models/teacher": "m0",
    "path:/models/student": "s0",
    "task:piqa": "p0",
}
IDENTITY = Identity("the model", CONTENTS, "float32")
COLUMNS = {"text": "text", "text_pair": "u", "label": "l", "messages": "m", "prompt": "p", "completion": "c"}
SWEEP: dict[str, Any] = {
    "name": "Keys",
    "model": "path:/models/dense",
    "calibration": {
        "data": "path:/texts/calibration.txt",
        "split": None,
        "column": "text",
        "columns": COLUMNS,
        "sequences": 8,
        "length": 64,
        "seed": 0,
        "start_token": "tokenizer",
    },
    "evaluation": {
        "data": "path:/texts/evaluation.txt",
        "split": None,
        "column": "text",
        "columns": COLUMNS,
        "tokens": 512,
        "window": 64,
        "start_token": "tokenizer",
        "batch": 4,
        "tasks": ["piqa"],
        "items": 20,
        "scorer": "retort",
        "own_tasks": [
            {
                "name": "own",
                "data": "path:/texts/questions.csv",
                "split": None,
                "columns": {"question": "q", "options": ["A", "B"], "answer": "right"},
                "kind": "choice",
                "answers": "letter",
                "match": "exact",
                "shots": 1,
                "prompt": "{question}",
                "chat_template": True,
                "stop": ["###"],
                "new_tokens": 16,
            }
        ],
        "labelled": {
            "data": "path:/texts/labels.csv",
            "split": "test",
            "columns": COLUMNS,
            "items": 10,
            "classes": {"a": "b"},
        },
    },
    "latency": {"prompt": 16, "new_tokens": 4, "repeats": 3, "warmup": 1, "batch": 1},
    "dtype": "float32",
    "seed": 0,
    "sweep": {"grid": [{"method": "wanda", "sparsity": [0.5]}]},
}
TRAINING: dict[str, Any] = {
    "step": "distil",
    "name": "",
    "teacher": "path:/models/teacher",
    "student": "path:/models/student",
    "losses": [{"loss": "soft_labels", "weight": 1.0, "parameters": {"temperature": 2.0}}, {"loss": "hidden_mse"}],
    "layer_map": [[0, 1]],
    "data": {
        "data": "path:/texts/training.jsonl",
        "split": "training",
        "column": "text",
        "columns": COLUMNS,
        "form": "text",
        "length": 64,
        "prompt": "prompt",
        "answer": "answer",
        "label": "label",
        "classes": {"a": "b"},
        "count_prompt": False,
        "streaming": False,
    },
    "batch": 4,
    "micro_batch": 2,
    "budget": {"steps": 7},
    "schedule": {"learning_rate": 1e-4, "warmup": 0.1, "final": 0.1, "weight_decay": 0.0, "clip": 1.0},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "modules": ["q_proj"], "ratio": 2.0},
    "on_policy": {"share": 0.5, "prompt": 8, "temperature": 1.0},
    "teacher_texts": {"sequences": 8, "prompt": 8, "temperature": 0.0},
    "gradient_checkpointing": False,
    "keep_zeros": False,
    "checkpoint_every": 5,
    "evaluate_every": 5,
    "held_out": 2,
    "seed": 0,
}
PRUNING: dict[str, Any] = {
    "step": "prune",
    "name": "",
    "method": "wanda",
    "sparsity": 0.5,
    "pattern": "unstructured",
    "mode": "joint",
    "allocation": "uniform",
    "protect": [0],
    "seed": 0,
}
OTHER: dict[str, Any] = {
    "method": "sparsegpt",
    "mode": "sequential",
    "allocation": "owl",
    "dtype": "bfloat16",
    "scorer": "lm-eval",
    "pattern": "2:4",
    "step": "finetune",
    "form": "chat",
    "loss": "attention_relations",
    "tasks": ["copa"],
    "kind": "written",
    "answers": "index",
    "match": "contains",
    "options": ["C"],
    "stop": ["$$$"],
    "layer_map": ((0, 0),),
    "protect": [1],
    "modules": ["k_proj"],
    "split": "another",
    "student": "current",
    "teacher": "baseline",
    "start_token": "none",
    "data": "path:/texts/another.txt",
    "micro_batch": 4,
}
UNSAID = {("name",), ("model",)}
"""The name says nothing, and the model counts by its bytes (`Identity.model`)."""


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every single setting stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path


def other(value: Any, name: str) -> Any:
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    return "another" if isinstance(value, str) or value is None else value * 2 + (1 if isinstance(value, int) else 0.01)


def with_other(document: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy in which one setting has another value; what then no longer fits together is not asked here."""
    copy: Any = dict(document)
    inner = copy
    for name in path[:-1]:
        inner[name] = dict(inner[name]) if isinstance(inner[name], dict) else list(inner[name])
        inner = inner[name]
    inner[path[-1]] = other(inner[path[-1]], str(path[-1]))
    return copy  # type: ignore[no-any-return]


def unchecked(model: Any, document: dict[str, Any]) -> Any:
    """The model with these values even where they do not fit together: its key must differ all the same."""
    whole = model.model_validate(BASE[model])
    return _updated(whole, document)


def _updated(whole: Any, document: dict[str, Any]) -> Any:
    return whole.model_copy(update={name: _value(getattr(whole, name), value) for name, value in document.items()})


def _value(now: Any, value: Any) -> Any:
    if isinstance(value, dict) and hasattr(now, "model_copy"):
        return _updated(now, value)
    if isinstance(value, list):
        return tuple(_value(n, v) for n, v in zip(now, value, strict=False))
    return value


BASE: dict[Any, dict[str, Any]] = {Recipe: SWEEP, Distil: TRAINING, Prune: PRUNING}
WANDA = Prune(method="wanda", sparsity=0.5)
SETTINGS = list(leaves({k: v for k, v in SWEEP.items() if k != "sweep"}))


@pytest.mark.parametrize("path", SETTINGS, ids=lambda p: ".".join(map(str, p)))
def test_every_setting_of_a_recipe_counts(path: tuple[Any, ...]) -> None:
    before, after = Recipe.model_validate(SWEEP), unchecked(Recipe, with_other(_settings(), path))
    same = trial_key(before, IDENTITY, WANDA) == trial_key(after, IDENTITY, WANDA)
    assert same == (path in UNSAID), f"{'.'.join(map(str, path))}: {'the same key' if same else 'another key'}"


def _settings() -> dict[str, Any]:
    return {k: v for k, v in SWEEP.items() if k != "sweep"}


def test_no_setting_was_forgotten_here() -> None:
    """A new field of a recipe must be added above, or be named here as one that changes no figure."""
    silent = {"steps", "sweep", "minutes", "executor", "asserts"}
    fields = set(Recipe.model_fields) - silent
    assert fields == set(_settings())
    for name in ("calibration", "evaluation", "latency"):
        assert set(SWEEP[name]) == set(type(getattr(Recipe.model_validate(SWEEP), name)).model_fields), name
    assert set(TRAINING) == set(Distil.model_fields) - {"design", "cache", "labelling"}, "those three are tested below"
    below = {"target", "parts", "multiple", "heal"}
    assert set(PRUNING) == set(Prune.model_fields) - below, "those four are tested below"


@pytest.mark.parametrize("path", list(leaves(PRUNING)), ids=lambda p: ".".join(map(str, p)))
def test_every_field_of_a_prune_step_counts(path: tuple[Any, ...]) -> None:
    if path == ("step",):
        return
    before, after = Prune.model_validate(PRUNING), unchecked(Prune, with_other(PRUNING, path))
    of = Recipe.model_validate(SWEEP)
    assert trial_key(of, IDENTITY, before) != trial_key(of, IDENTITY, after)


def test_targets_parts_and_multiples_count() -> None:
    of, keys = Recipe.model_validate(SWEEP), set()
    wide = {"method": "width_norm", "target": {"block_fraction": 0.25}}
    variants: list[dict[str, Any]] = [
        wide,
        {**wide, "target": {"block_fraction": 0.5}},
        {**wide, "target": {"total_fraction": 0.25}},
        {**wide, "target": {"megabytes": 3.0}},
        {**wide, "target": {"sizes": {"intermediate": 32}}},
        {**wide, "target": {"sizes": {"heads": 32}}},
        {**wide, "parts": ["heads"]},
        {**wide, "multiple": 16},
        {**wide, "heal": "closed-form"},
        {"method": "block_influence", "target": {"remove_layers": 1}},
        {"method": "block_influence", "target": {"remove_layers": 2}},
    ]
    for variant in variants:
        keys.add(trial_key(of, IDENTITY, Prune.model_validate(variant)))
    assert len(keys) == len(variants)


def test_what_was_measured_before_there_was_healing_keeps_its_key() -> None:
    """A step that is not healed stands in the key as it did when no step could be."""
    of = Recipe.model_validate(SWEEP)
    prune = Prune.model_validate({"method": "block_influence", "target": {"remove_layers": 1}})
    sizes = {"remove_layers": 1, "block_fraction": None, "total_fraction": None, "megabytes": None, "sizes": None}
    before = {
        **{"step": "prune", "method": "block_influence", "sparsity": None, "pattern": "unstructured"},
        **{"mode": "joint", "target": sizes, "allocation": "uniform", "protect": [], "parts": [], "multiple": 8},
        "seed": 0,
    }
    common = trial_keys._common(of, IDENTITY, [prune])
    assert trial_key(of, IDENTITY, prune) == trial_keys.hashed({**common, "prune": before})
    assert trials_of(check_recipe(SWEEP), IDENTITY)[1].key == trials_of(of, IDENTITY)[1].key, "weights: never healed"


def steps(*changes: Any, **more: Any) -> Recipe:
    document = {k: v for k, v in SWEEP.items() if k != "sweep"}
    plain = [{"step": "evaluate"}, *(c if isinstance(c, dict) else c.model_dump(mode="json") for c in changes)]
    return Recipe.model_validate({**document, **more, "steps": plain})


def keys(of: Recipe, identity: Identity = IDENTITY) -> list[str]:
    return [s.trial.key for s in stages_of(of, identity)]


def lesson(**more: Any) -> dict[str, Any]:
    return {"step": "distil", "data": TRAINING["data"], "budget": {"steps": 7}, **more}


@pytest.mark.parametrize("path", list(leaves(TRAINING)), ids=lambda p: ".".join(map(str, p)))
def test_every_field_of_a_training_step_counts(path: tuple[Any, ...]) -> None:
    if path == ("step",):
        return
    before, after = Distil.model_validate(TRAINING), unchecked(Distil, with_other(TRAINING, path))
    of = steps(lesson())
    one, two = (keys(of.model_copy(update={"steps": (of.steps[0], step)})) for step in (before, after))
    other_tokens = path == ("student",)  # another model may cut text in another way: then all are judged per byte too
    assert (one[0] != two[0]) == other_tokens and one[1] != two[1]


def test_a_distillation_by_cross_entropy_is_not_a_fine_tuning() -> None:
    alike = lesson(losses=[{"loss": "cross_entropy"}])
    assert keys(steps(alike))[-1] != keys(steps({**alike, "step": "finetune"}))[-1]


def test_a_stored_teacher_and_a_design_count() -> None:
    variants = [
        lesson(),
        lesson(cache={}),
        lesson(cache={"k": 8}),
        lesson(cache={"tail": "renormalise"}),
        lesson(cache={"precision": "float32"}),
        lesson(design={"layers": 2}),
        lesson(design={"layers": 1}),
        lesson(design={"layers": 2, "initialise": "random"}),
        lesson(design={"sizes": {"intermediate": 32}}),
        lesson(teacher="step:1"),
    ]
    found = {keys(steps(PRUNING, v))[-1] for v in variants}
    assert len(found) == len(variants)


def test_how_a_teacher_labels_counts() -> None:
    data = {"data": "path:/texts/labels.csv", "form": "labels", "length": 64}
    plain = {"prompt": "{text} is", "classes": {"a": "good", "b": "bad"}}
    changes: list[dict[str, Any]] = [
        {},
        {"prompt": "{text} was"},
        {"classes": {"a": "bad", "b": "good"}},
        {"calibrated": False},
        {"least": 0.5},
    ]
    variants = [lesson(data=data), *(lesson(data=data, labelling={**plain, **change}) for change in changes)]
    assert len({keys(steps(v))[-1] for v in variants}) == len(variants)


def test_every_step_before_counts() -> None:
    first = {"step": "prune", "method": "magnitude", "sparsity": 0.3}
    second = {"step": "prune", "method": "magnitude", "sparsity": 0.5}
    last = lesson()
    forward, backward = keys(steps(first, second, last)), keys(steps(second, first, last))
    alone = keys(steps(last))
    assert len({forward[-1], backward[-1], alone[-1], *forward[:-1], *backward[1:-1]}) == 8


def test_what_is_measured_of_a_stage_counts() -> None:
    prune = {"step": "prune", "method": "magnitude", "sparsity": 0.3}
    plain, judged = keys(steps(prune)), keys(steps(prune, {"step": "evaluate"}))
    timed = keys(steps(prune, {"step": "measure"}))
    assert len({plain[1], judged[1], timed[1]}) == 3
    assert plain[0] != timed[0], "the baseline is timed only where something is"


def test_the_options_of_a_select_and_their_recovery_count() -> None:
    options = [{"method": "block_influence", "target": {"remove_layers": n}} for n in (1, 2, 3)]

    def last(**more: Any) -> str:
        select = {"step": "select", "options": options, "best": 2, "recovery": lesson(), **more}
        return keys(steps(select))[-1]

    base = last()
    assert last() == base
    assert last(options=options[:2]) != base and last(options=[options[1], options[0], options[2]]) != base
    assert last(best=3) != base and last(recovery=lesson(seed=1)) != base
    ranked = keys(steps({"step": "select", "options": options, "best": 2, "recovery": lesson()}))
    assert len(set(ranked)) == 6, "the baseline, three options, and two recoveries of which nobody knows the winner yet"


@pytest.mark.parametrize("reference", CONTENTS)
def test_every_input_counts_by_its_bytes(reference: str) -> None:
    of = steps(PRUNING, lesson(teacher="path:/models/teacher", student="path:/models/student"))
    others = Identity("the model", {**CONTENTS, reference: "other bytes"}, "float32")
    before, after = keys(of), keys(of, others)
    assert before[-1] != after[-1]
    judged = reference in ("path:/texts/evaluation.txt", "path:/texts/labels.csv", "task:piqa")
    assert (before[0] != after[0]) == judged, "what the baseline does not read leaves it as it is"


def test_the_model_the_dtype_and_the_seed_count_and_so_does_each_trial() -> None:
    of = Recipe.model_validate(SWEEP)
    variants = [
        (of, IDENTITY),
        (of, Identity("other bytes", CONTENTS, "float32")),
        (of, Identity("the model", CONTENTS, "bf")),
        (of.model_copy(update={"seed": 1}), IDENTITY),
    ]
    for prune in (None, WANDA):
        assert len({trial_key(r, i, prune) for r, i in variants}) == len(variants)
    assert len({t.key for t in trials_of(of, IDENTITY)}) == 2


def test_places_names_and_limits_do_not_count() -> None:
    of = Recipe.model_validate(SWEEP)
    moved = Recipe.model_validate(
        {
            **SWEEP,
            "name": "Another name",
            "model": "path:/elsewhere",
            "minutes": 3,
            "executor": "ray",
            "evaluation": {**SWEEP["evaluation"], "data": "path:/moved.txt"},
            "sweep": {"grid": [{"method": "wanda", "sparsity": [0.5, 0.7]}], "keep": "all"},
        }
    )
    here = Identity("the model", {**CONTENTS, "path:/moved.txt": CONTENTS["path:/texts/evaluation.txt"]}, "float32")
    assert [t.key for t in trials_of(of, IDENTITY)] == [t.key for t in trials_of(moved, here)][:2]


@pytest.mark.parametrize(
    ("library", "wanted"),
    [("torch", True), ("transformers", True), ("tokenizers", True), ("peft", True), ("torchao", False)],
)
def test_another_version_that_changes_figures_is_another_key(
    library: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = steps(PRUNING, lesson(lora={"rank": 4}, keep_zeros=False))
    before, real = keys(of)[-1], trial_keys.version
    monkeypatch.setattr(trial_keys, "version", lambda name: "0.0.1" if name == library else real(name))
    assert (keys(of)[-1] != before) == wanted


def test_int8_counts_the_version_of_what_packs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    of = steps({"step": "quantise"})
    before, real = keys(of), trial_keys.version
    monkeypatch.setattr(trial_keys, "version", lambda name: "0.0.1" if name == "torchao" else real(name))
    assert keys(of)[0] == before[0] and keys(of)[1] != before[1]
