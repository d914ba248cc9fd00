"""`tag`, `note`, `diff`, `lineage` and `reproduce`, word for word, on runs that are known by heart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.parser import main
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from core.recipe.trial_keys import Identity, trials_of
from core.registry.measurement import Measurement
from core.store import Store

LOSSES = [2.0, 2.5, 3.0, 3.75, 4.25, 2.75]
RIGHT = {"one": [1.0] * 12 + [0.0] * 8, "other": [1.0] * 4 + [0.0] * 8 + [0.0] * 7 + [1.0]}
"""The first alone has 8 items right, the second alone 1: exact McNemar p = 2 (1 + 9) / 2^9 = 0.0390625."""

LOSS, HIGHER = pytest.approx(18.25 / 6), pytest.approx(18.25 / 6 + 0.5)

Say = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Runs:
    """Two runs of one model, a third built on the first's Wanda model, a fourth on that one."""

    store: Store
    one: str
    other: str
    child: str
    grandchild: str
    kept: str


def recipe(name: str, model: str, sparsity: float, seed: int = 0, teacher: str | None = None) -> Recipe:
    what: dict[str, Any] = {"name": name, "model": model, "seed": seed}
    if teacher is not None:
        what["steps"] = [{"step": "distil", "teacher": teacher}, {"step": "prune", "method": "wanda", "sparsity": 0.5}]
    else:
        what["sweep"] = {
            "grid": [{"method": "magnitude", "sparsity": [0.5]}, {"method": "wanda", "sparsity": [sparsity]}]
        }
    return Recipe.model_validate(what)


def result(trial: Trial, of: Recipe, add: float, right: list[float], size: float, torch: str) -> Result:
    losses = [v + add for v in LOSSES]
    found = [
        Measurement(metric="loss", value=sum(losses) / 6, unit="nats", samples=losses, device="cpu", dtype="float32"),
        Measurement(metric="accuracy", value=sum(right) / 20, unit="", samples=right, device="cpu", dtype="float32"),
        Measurement(metric="disk_bytes", value=size, unit="B", device="cpu", dtype="float32"),
    ]
    return Result(
        key=trial.key,
        label=trial.label,
        model=of.model,
        method=trial.method,
        measurements=found,
        prune=trial.prune.model_dump(mode="json") if trial.prune else None,
        baseline=trial.dense,
        saved=True,
        recipe=of.model_dump(mode="json"),
        versions={"torch": torch, "python": "3.12.1"},
    )


def stored(store: Store, of: Recipe, *figures: tuple[float, list[float], float], torch: str = "2.12.0") -> str:
    """A finished run whose trials have these figures (none: a run without trials)."""
    run_id = store.runs.add(of.kind, of.name, of.model, of.model_dump(mode="json"), LOCAL)
    if figures:
        trials = trials_of(of, Identity(f"fingerprint {of.model}"))
        store.trials.add(run_id, trials)
        for trial, figure in zip(trials, figures, strict=True):
            store.candidates.add(result(trial, of, *figure, torch))
            store.trials.start(run_id, trial.index)
            store.trials.finish(run_id, trial.index)
    store.runs.claim(run_id)
    store.runs.finish(run_id, "done")
    return run_id


@pytest.fixture
def runs(home: Settings) -> Runs:
    store = Store(home)
    first = recipe("first", "path:/m/tiny", 0.5)
    one = stored(store, first, *[(0.0, RIGHT["one"], 2000.0)] * 3)
    second = recipe("second", "path:/m/tiny", 0.6, seed=1)
    other = stored(
        store,
        second,
        (0.0, RIGHT["one"], 2000.0),
        (0.5, RIGHT["other"], 1800.0),
        (1.0, RIGHT["one"], 2000.0),
        torch="2.13.0",
    )
    kept = store.trials.of(one)[2].key
    child = stored(store, recipe("child", f"run:{one}/{kept}", 0.5, teacher="sample:smollm2-135m"))
    grandchild = stored(store, recipe("grandchild", f"run:{child}", 0.5, teacher=f"run:{one}/{kept}"))
    return Runs(store, one, other, child, grandchild, kept)


@pytest.fixture
def say(home: Settings, capsys: pytest.CaptureFixture[str]) -> Say:
    """One command: exit status, standard output, standard error."""

    def command(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--home", str(home.home)])
        return status, *capsys.readouterr()

    return command


def test_tags_are_those_of_the_run_that_is_named(runs: Runs, say: Say) -> None:
    assert say("tag", runs.one, "paper", "Run 2", "paper") == (0, "", f"Tags of {runs.one}: paper, Run 2.\n")
    status, out, _ = say("tag", runs.other, "other", "--json")
    assert (status, json.loads(out)) == (0, {"id": runs.other, "tags": ["other"]})
    assert [runs.store.runs.get(r).tags for r in (runs.one, runs.other)] == [("paper", "Run 2"), ("other",)]
    assert say("tag", runs.one, "final") == (0, "", f"Tags of {runs.one}: final.\n")
    assert say("tag", runs.one) == (0, "", f"{runs.one} has no tags.\n")
    assert [runs.store.runs.get(r).tags for r in (runs.one, runs.other)] == [(), ("other",)]
    status, out, err = say("tag", "nothing", "a")
    assert (status, out) == (2, "") and "There is no run 'nothing'." in err


def test_a_note_is_that_of_the_run_that_is_named(runs: Runs, say: Say) -> None:
    assert say("note", runs.other, "Against the first. 50 % is too much.")[::2] == (
        0,
        f"The note of {runs.other} is saved.\n",
    )
    status, out, _ = say("note", runs.one, "mine", "--json")
    assert (status, json.loads(out)) == (0, {"id": runs.one, "notes": "mine"})
    assert [runs.store.runs.get(r).notes for r in (runs.one, runs.other)] == [
        "mine",
        "Against the first. 50 % is too much.",
    ]
    assert say("note", runs.one, "")[0] == 0
    assert [bool(runs.store.runs.get(r).notes) for r in (runs.one, runs.other)] == [False, True]
    status, _, err = say("note", "nothing", "x")
    assert status == 2 and "There is no run 'nothing'." in err


def test_diff_says_what_differs_and_which_way_round(runs: Runs, say: Say) -> None:
    """Only Magnitude 50 % and the baseline were made by the same steps in both; the baseline is the same in both."""
    p = "McNemar p = 0.039"
    status, out, _ = say("diff", runs.one, runs.other)
    assert status == 0 and out.splitlines() == [
        'name: "first" -> "second"',
        "sweep.grid[1].sparsity[0]: 0.5 -> 0.6",
        "seed: 0 -> 1",
        'torch: "2.12.0" -> "2.13.0"',
        "Magnitude 50 %, Loss per token: 3.042 nats -> 3.542 nats (higher in the second by 0.5 nats)",
        f"Magnitude 50 %, Accuracy: 0.6 -> 0.25 (differs ({p}))",
        "Magnitude 50 %, Weights on disk: 2.0 kB -> 1.8 kB",
    ]
    turned = say("diff", runs.other, runs.one)[1].splitlines()
    assert turned[1] == "sweep.grid[1].sparsity[0]: 0.6 -> 0.5"
    assert turned[4] == "Magnitude 50 %, Loss per token: 3.542 nats -> 3.042 nats (lower in the second by 0.5 nats)"
    assert say("diff", runs.one, runs.one) == (0, "", "The two runs do not differ.\n")


def test_diff_as_a_document_has_the_same(runs: Runs, say: Say) -> None:
    document = json.loads(say("diff", runs.one, runs.other, "--json")[1])
    assert {"path": "seed", "left": "0", "right": "1"} in document["recipe"] and len(document["recipe"]) == 3
    assert document["versions"] == [{"path": "torch", "left": '"2.12.0"', "right": '"2.13.0"'}]
    assert [(f["label"], f["metric"], f["left"], f["right"]) for f in document["figures"]] == [
        ("Dense baseline", "loss", LOSS, LOSS),
        ("Dense baseline", "accuracy", 0.6, 0.6),
        ("Dense baseline", "disk_bytes", 2000, 2000),
        ("Magnitude 50 %", "loss", LOSS, HIGHER),
        ("Magnitude 50 %", "accuracy", 0.6, 0.25),
        ("Magnitude 50 %", "disk_bytes", 2000, 1800),
    ]


def test_lineage_goes_up_to_every_origin_and_down_to_every_use(runs: Runs, say: Say) -> None:
    kept = f"run:{runs.one}/{runs.kept}"
    assert say("lineage", runs.grandchild)[:2] == (
        0,
        "\n".join(
            [
                f"run: run:{runs.grandchild}",
                f"  model: run:{runs.child}",
                f"    model: {kept}",
                "      model: path:/m/tiny",
                "    teacher: sample:smollm2-135m",
                f"  teacher: {kept} (listed above)",
                "",
            ]
        ),
    )
    status, out, _ = say("lineage", runs.one)
    assert status == 0 and out.splitlines() == [
        f"run: run:{runs.one}",
        "  model: path:/m/tiny",
        f"used by: run:{runs.child}",
        f"used by (2 steps on): run:{runs.grandchild}",
    ]
    assert say("lineage", runs.other)[1].splitlines() == [f"run: run:{runs.other}", "  model: path:/m/tiny"]
    document = json.loads(say("lineage", runs.child, "--json")[1])
    assert [(n["depth"], n["role"], n["run"]) for n in document["nodes"]] == [
        (0, "run", runs.child),
        (1, "model", runs.one),
        (2, "model", None),
        (1, "teacher", None),
    ]
    assert [(m["name"], m["level"]) for m in document["used_by"]] == [(runs.grandchild, 1)]


def test_reproduce_gives_the_recipe_of_the_run_that_is_named(runs: Runs, say: Say) -> None:
    expected = {
        runs.one: recipe("first", "path:/m/tiny", 0.5),
        runs.other: recipe("second", "path:/m/tiny", 0.6, seed=1),
        runs.child: recipe("child", f"run:{runs.one}/{runs.kept}", 0.5, teacher="sample:smollm2-135m"),
    }
    for run_id, wanted in expected.items():
        status, out, _ = say("reproduce", run_id)
        assert status == 0 and load_recipe(out) == wanted
        assert json.loads(say("reproduce", run_id, "--json")[1]) == {
            "id": run_id,
            "format": "yaml",
            "text": out,
        }
        assert say("reproduce", run_id, "--format", "command")[1] == f"python -m core run run-{run_id}.yaml\n"
