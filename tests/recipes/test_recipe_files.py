"""Recipes read from YAML: every problem named with its place, hostile text refused, writing reads back equal."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import RetortError
from core.recipe.check import RecipeError
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.recipe import Calibration, Evaluation, Grid, Latency, Prune, Recipe, Sweep, Target
from core.registry.methods import METHODS

GOOD = dedent("""\
    name: study
    model: sample:smollm2-135m
    sweep:
      grid:
        - method: [magnitude, wanda]
          sparsity: [0.2, 0.5]
          pattern: [unstructured, 2:4]
        - method: block_influence
          target: [{remove_layers: 2}]
    """)


def problems(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(dedent(text))
    return caught.value.problems


def refusal(text: str) -> str:
    with pytest.raises(RetortError) as caught:
        load_recipe(text)
    assert caught.value.remedy
    return caught.value.cause


def test_a_good_recipe_has_all_its_trials() -> None:
    recipe = load_recipe(GOOD)
    assert recipe.sweep is not None
    assert [p.label() for p in recipe.sweep.trials()] == [
        "Magnitude 20 %",
        "Magnitude 50 %",
        "Magnitude 2:4",
        "Wanda 20 %",
        "Wanda 50 %",
        "Wanda 2:4",
        f"{METHODS['block_influence'].label}, 2 layers removed, healed",
    ]


def test_every_problem_is_named_with_its_path_and_line() -> None:
    found = problems("""\
        name: x
        model: sample:smollm2-135m
        calibraton:
          sequences: 4
        evaluation: {tokens: 12.5, windw: 3}
        dtype: float
        sweep:
          kep: all
          grid:
            - method: [magnitude]
              sparsity:
                - 0.2
                - 1.5
        """)
    assert set(found) == {
        "calibraton (line 3): is not a known key; did you mean 'calibration'?",
        "evaluation.tokens (line 5): must be a whole number; you gave 12.5.",
        "evaluation.windw (line 5): is not a known key; did you mean 'window'?",
        "dtype (line 6): must be 'auto', 'float32' or 'bfloat16'; you gave 'float'; did you mean 'float32'?",
        "sweep.kep (line 8): is not a known key; did you mean 'keep'?",
        "sweep.grid[0].sparsity[1] (line 13): must be below 1; you gave 1.5.",
    }


def test_problems_of_combinations_stand_at_the_grid_entry_they_come_from() -> None:
    found = problems("""\
        name: x
        model: sample:smollm2-135m
        sweep:
          grid:
            - method: [magnitude, wandaa]
              sparsity: [0.2]
            - method: magnitude
              pattern: [unstructured, 4:2]
              sparsity: [0.5]
            - method: block_influence
              sparsity: [0.5]
        """)
    assert found[0].startswith("sweep.grid[0].method[1] (line 5): unknown method 'wandaa'")
    assert found[0].endswith("did you mean 'wanda'?")
    assert found[1].startswith("sweep.grid[1].pattern[1] (line 8): pattern '4:2'")
    assert found[2].startswith("sweep.grid[2] (line 10): no candidates: give 'sparsity'")
    assert len(found) == 3


def test_problems_of_steps() -> None:
    found = problems("""\
        name: 12
        model: smollm2
        steps:
          - {step: prune, method: wanda, sparcity: 1}
          - {step: prune, method: block_influence, target: {remove_layers: 1, megabytes: 3}}
          - step: evalute
          - method: x
          - wanda
        """)
    assert [f.partition(":")[0] for f in found] == [
        "name (line 1)",
        "model (line 2)",
        "steps[0].sparcity (line 4)",
        "steps[1].target (line 5)",
        "steps[2].step (line 6)",
        "steps[3] (line 7)",
        "steps[4] (line 8)",
    ]
    assert "needs exactly one of remove_layers" in found[3]
    assert found[4].endswith("did you mean 'evaluate'?")


def test_steps_and_sweep_exclude_each_other() -> None:
    text = "name: x\nmodel: sample:m\n"
    assert problems(text) == ["recipe (line 1): give either 'steps' or 'sweep'."]
    assert problems(text + "steps: [{step: evaluate}]\nsweep: {grid: [{method: wanda, sparsity: [0.1]}]}\n") == [
        "recipe (line 1): give either 'steps' or 'sweep'."
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("# only a comment", "empty"),
        ("- a\n- b", "keys with values"),
        ("just words", "keys with values"),
        ("name: [1, 2", "line 1"),
        ("name: x\nname: y\n", "name (line 2): is given twice"),
        ("sweep: {keep: all, keep: none}\n", "sweep.keep (line 1): is given twice"),
        ("name: !!python/object/apply:os.system ['true']\n", "not allowed"),
        ("name: !!binary aGk=\n", "not allowed"),
        ("name: !secret x\n", "not allowed"),
        ("? [a, b]\n: c\n", "a key must be one word"),
        ("name: &a [*a]\n", "contains itself"),
        ("a: &a {b: *a}\n", "contains itself"),
        ("name: *nowhere\n", "undefined alias"),
        ("--- {}\n--- {}\n", "expected a single document"),
        ("name: a\x00b\n", "cannot be read as YAML"),
        ("n: " + "[" * 5_000 + "]" * 5_000, "nest"),  # libyaml has a limit of its own
        ("n: " + "{a: " * 500 + "1" + "}" * 500, "levels deep"),
        ("name: " + "9" * 5_000 + "\n", "not a number that can be read"),
        ("# " + "x" * 300_000, "larger than 256 kB"),
    ],
)
def test_hostile_or_broken_text_gets_a_sentence(text: str, says: str) -> None:
    assert says in refusal(text)


def test_aliases_that_explode_are_refused_before_they_are_written_out() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]  # ten thousand million values
    assert "once aliases are written out" in refusal("\n".join(levels))


def test_a_plain_alias_is_fine() -> None:
    text = GOOD + "calibration: &text {data: sample:wiki}\nevaluation: *text\n"
    assert load_recipe(text).evaluation.data == "sample:wiki"


def test_only_the_types_of_yaml_1_2_are_guessed() -> None:
    recipe = load_recipe(GOOD.replace("name: study", "name: yes"))
    assert recipe.name == "yes"
    assert recipe.sweep is not None and recipe.sweep.grid[0].pattern == ("unstructured", "2:4")
    assert load_recipe(GOOD.replace("name: study", "name: 2026-01-02")).name == "2026-01-02"
    small = load_recipe(GOOD.replace("[0.2, 0.5]", "[2e-1, 5E-1]"))
    assert small.sweep is not None and small.sweep.grid[0].sparsity == (0.2, 0.5)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 300_000)
    for path, says in (
        (tmp_path / "none.yaml", "no file"),
        (tmp_path, "cannot be read"),
        (latin, "UTF-8"),
        (huge, "kB"),
    ):
        with pytest.raises(RetortError) as caught:
            load_recipe(path)
        assert says in caught.value.cause and caught.value.remedy
    good = tmp_path / "good.yaml"
    good.write_text("\ufeff" + GOOD, "utf-8")
    assert load_recipe(good) == load_recipe(GOOD)


WEIGHT = [m.id for m in METHODS.values() if not m.structured]
STRUCTURED = [m.id for m in METHODS.values() if m.structured]
fractions = st.floats(0.0, 1.0, exclude_max=True)
texts = st.text(min_size=1, max_size=40)
words = texts.filter(str.isprintable)
paths = texts.filter(lambda t: "\0" not in t).map(lambda t: f"path:/{t}")
seeds = st.integers(0, 2**31)
layers = st.integers(0, 9_999)
prunes = st.one_of(
    st.builds(Prune, method=st.sampled_from(WEIGHT), sparsity=fractions, protect=st.tuples(layers), seed=seeds),
    st.builds(Prune, method=st.sampled_from(WEIGHT), pattern=st.sampled_from(["2:4", "1:60", "4:8"])),
    st.builds(
        Prune,
        method=st.sampled_from(STRUCTURED),
        target=st.one_of(
            st.builds(Target, megabytes=st.floats(1e-6, 1e12)),
            st.builds(Target, total_fraction=fractions),
        ),
    ),
    st.builds(
        Prune,
        method=st.sampled_from([m for m in STRUCTURED if METHODS[m].kind != "shapes"]),
        target=st.builds(Target, remove_layers=st.integers(0, 200)),
    ),
)
grids = st.builds(
    Grid,
    method=st.lists(st.sampled_from(WEIGHT), min_size=1, max_size=3).map(tuple),
    sparsity=st.lists(fractions, min_size=1, max_size=4).map(tuple),
    seeds=st.lists(seeds, min_size=1, max_size=2).map(tuple),
)
recipes = st.builds(
    Recipe,
    name=words,
    model=paths,
    calibration=st.builds(Calibration, data=paths, split=st.none() | words, column=st.none() | words),
    evaluation=st.builds(Evaluation, data=paths, split=st.none() | words),
    latency=st.none() | st.just(Latency()),
    steps=st.lists(prunes, min_size=1, max_size=3).map(tuple),
    seed=seeds,
) | st.builds(
    Recipe,
    name=words,
    model=st.just("sample:smollm2-135m"),
    sweep=st.builds(
        Sweep, grid=st.lists(grids, min_size=1, max_size=3).map(tuple), keep=st.sampled_from(["all", "none"])
    ),
)


@pytest.mark.slow
@given(recipes)
def test_what_is_written_reads_back_equal(recipe: Recipe) -> None:
    written = dump_recipe(recipe)
    assert load_recipe(written) == recipe
    assert isinstance(yaml.safe_load(written), dict)  # other readers of YAML can read it too


@given(st.text(max_size=300))
def test_any_text_is_a_recipe_or_gets_a_sentence(text: str) -> None:
    try:
        load_recipe(text)
    except RetortError as error:
        assert error.cause and error.remedy


_words = st.sampled_from(
    [
        "name",
        "model",
        "sweep",
        "grid",
        "method",
        "sparsity",
        "steps",
        "step",
        "prune",
        "target",
        "pattern",
        "wanda",
        "remove_layers",
        "2:4",
        "magnitude",
        "block_influence",
        "sample:smollm2-135m",
        "sizes",
        "calibration",
        "seed",
    ]
)
_scalars = st.one_of(_words, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
_trees = st.recursive(
    _scalars, lambda t: st.lists(t, max_size=3) | st.dictionaries(_words, t, max_size=4), max_leaves=12
)
_shaped = st.fixed_dictionaries(
    {"name": st.just("x"), "model": st.just("sample:smollm2-135m")},
    optional={
        "steps": st.lists(st.dictionaries(_words, _trees, max_size=4), max_size=3),
        "sweep": st.fixed_dictionaries({"grid": st.lists(st.dictionaries(_words, _trees, max_size=4), max_size=3)}),
        "seed": _scalars,
        "evaluation": _trees,
    },
)


@pytest.mark.slow
@given(_trees | _shaped)
def test_any_structure_is_a_recipe_or_gets_sentences(tree: object) -> None:
    try:
        load_recipe(yaml.safe_dump(tree))
    except RecipeError as error:
        assert error.problems
        assert all("(line " in p and p.endswith((".", "?")) and "\n" not in p for p in error.problems)
    except RetortError as error:
        assert error.cause and error.remedy


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("{method: [block_influence], target: [{remove_layers: 1}], sparsity: [0.5]}", "sparsity"),
        ("{method: [magnitude], pattern: ['2:4'], sparsity: [0.5]}", "sparsity"),
        ("{method: [magnitude], sparsity: [0.5], target: [{remove_layers: 1}]}", "target"),
        ("{method: [magnitude], sparsity: [0.5], parts: [neurons]}", "parts"),
    ],
)
def test_a_list_that_no_trial_reads_is_refused(block: str, key: str) -> None:
    found = problems(f"name: x\nmodel: sample:m\nsweep:\n  grid:\n    - {block}\n")
    assert len(found) == 1 and found[0].startswith(f"sweep.grid[0] (line 5): nothing here takes '{key}'")


def test_a_whole_number_may_be_written_as_a_power_of_ten() -> None:
    assert load_recipe(GOOD + "evaluation: {tokens: 2e3}\n").evaluation.tokens == 2_000
    assert problems(GOOD + "evaluation: {tokens: 2e-3}\n") == [
        "evaluation.tokens (line 10): must be a whole number; you gave 0.002."
    ]
    assert problems(GOOD + "evaluation: {tokens: 64.0}\n")[0].startswith("evaluation.tokens (line 10): must be a whole")


@pytest.mark.parametrize("teacher", ["step:1", "step:0", "step:x", "file:/etc/passwd", "hub:", "path:", "run:a/b/c"])
def test_a_teacher_that_cannot_be_is_refused_in_the_recipe(teacher: str) -> None:
    text = f"name: x\nmodel: sample:m\nsteps:\n  - {{step: distil, teacher: '{teacher}'}}\n"
    found = problems(text)
    assert len(found) == 1 and ("is no step before it" in found[0] or found[0].startswith("steps[0].teacher (line 4)"))
    pruned = text.replace("steps:\n", "steps:\n  - {step: prune, method: magnitude, sparsity: 0.5}\n")
    if teacher == "step:1":
        assert load_recipe(pruned).steps[1].label().startswith("Distilled")
    else:
        assert problems(pruned)
