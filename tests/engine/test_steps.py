"""Which model each step starts from, learns from and is compared with: read off the weights that were really used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.engine import pipeline
from core.engine.run import candidate
from core.recipe.results import Result
from tests.engine import by_hand
from tests.engine.conftest import Memory, Study
from tests.engine.test_sweep import left_over, value

pytestmark = pytest.mark.slow

PRUNE: dict[str, Any] = {"step": "prune", "method": "magnitude", "sparsity": 0.5}
SHORTEN: dict[str, Any] = {"step": "prune", "method": "block_influence", "target": {"remove_layers": 1}}


@dataclass
class Lesson:
    """What one training was given, before it began."""

    student: dict[str, Tensor]
    teacher: dict[str, Tensor] | None
    layers_kept: list[int] | None
    teacher_print: str


@dataclass
class Watched:
    """The models that trainings and timings of a run really got, copied on the way to the real functions."""

    lessons: list[Lesson] = field(default_factory=list)
    timed: list[dict[str, dict[str, Tensor]]] = field(default_factory=list)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    seen, train, time = Watched(), pipeline.distil, candidate.latency

    def learning(student: Any, teacher: Any, spec: Any, examples: Any, around: Any) -> Any:
        taught = copied(teacher.model) if teacher is not None else None
        seen.lessons.append(Lesson(copied(student.model), taught, around.layers_kept, around.teacher))
        return train(student, teacher, spec, examples, around)

    def timing(models: Any, *args: Any, **more: Any) -> Any:
        seen.timed.append({name: copied(model) for name, model in models.items()})
        return time(models, *args, **more)

    monkeypatch.setattr(pipeline, "distil", learning)
    monkeypatch.setattr(candidate, "latency", timing)
    return seen


def copied(model: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def lesson(study: Study, step: str = "distil", **more: Any) -> dict[str, Any]:
    """Two steps of training on the calibration text."""
    return {
        "step": step,
        "data": {"data": f"path:{study.calibration}", "split": None, "length": 32},
        "batch": 4,
        "budget": {"steps": 2},
        "held_out": 4,
        "schedule": {"learning_rate": 0.001, "warmup": 0.0},
        **more,
    }


def saved(found: Memory, at: int) -> dict[str, Tensor]:
    """The weights of the candidate of the stage `at`."""
    return by_hand.weights_of(found.candidate_folder(found.trials[at].key) / "model")


def results(found: Memory) -> list[Result]:
    return [found.results[t.key] for t in found.trials]


def test_each_step_gets_the_student_and_the_teacher_it_names(study: Study, watched: Watched) -> None:
    aside = {"step": "quantise", "of": "baseline"}  # a stage of its own, and no step that teachers are counted by
    found = study.run(
        "one",
        steps=[
            PRUNE,
            aside,
            lesson(study),
            SHORTEN,
            lesson(study, teacher="step:2"),
            lesson(study, teacher="step:1"),
            {"step": "evaluate"},
        ],
    )
    assert [t.method for t in found.trials] == [
        "dense",
        "magnitude",
        "quantise",
        "distil",
        "block_influence",
        "distil",
        "distil",
    ]
    dense, first, second, shorter, third = (by_hand.weights_of(study.model), *(saved(found, i) for i in (1, 3, 4, 5)))
    assert not by_hand.same(dense, first) and not by_hand.same(first, second)
    expected = [(first, dense), (shorter, second), (third, first)]
    assert len(watched.lessons) == 3
    for got, (student, teacher) in zip(watched.lessons, expected, strict=True):
        assert by_hand.same(got.student, student)
        assert got.teacher is not None and by_hand.same(got.teacher, teacher)
    keys = [t.key for t in found.trials]
    assert len({one.teacher_print for one in watched.lessons}) == 3, "a stored teacher is found by which model it was"
    assert [r.parent for r in results(found)] == [None, None, None, keys[1], keys[3], keys[4], keys[5]]
    assert [r.baseline_key for r in results(found)] == [keys[0]] * 7

    pruned = by_hand.pruned(by_hand.model_of(study.model), by_hand.magnitude(0.5))
    assert by_hand.same(first, dict(pruned.named_parameters()))
    ids = by_hand.windows(study.evaluation, study.model, 1024, 64)
    change = by_hand.loss(by_hand.model_of(found.candidate_folder(keys[-1]) / "model"), ids)
    change -= by_hand.loss(by_hand.model_of(study.model), ids)
    assert value(results(found)[-1], "loss_change") == pytest.approx(change, abs=2e-5)
    assert abs(change) > 0.001


def test_layers_are_told_apart_from_the_teacher_that_is_named(study: Study, watched: Watched) -> None:
    """After a removal the student's layers are counted in the teacher's own numbers, whichever teacher that is."""
    sizes = {"step": "prune", "method": "block_influence", "target": {"remove_layers": 1}, "protect": [1, 2, 3]}
    again = {**sizes, "protect": [0, 2]}
    features = {"losses": [{"loss": "hidden_mse"}]}
    found = study.run(
        "one",
        steps=[sizes, again, lesson(study, **features), lesson(study, teacher="step:1", **features)],
    )
    assert [t.method for t in found.trials[1:3]] == ["block_influence"] * 2
    assert [len(r.facts["layers_kept"]) for r in results(found)[1:3]] == [3, 2]
    kept = [[1, 3], [0, 2]]  # of the dense model, layer 0 and then its layer 2; of the first step's, its layer 1
    assert [one.layers_kept for one in watched.lessons] == kept
    before = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(4)]
    for got, layers in zip(watched.lessons, kept, strict=True):
        assert got.teacher is not None
        if got is watched.lessons[0]:  # the second one's student has learned already
            assert all(torch.equal(got.student[before[i]], got.teacher[before[k]]) for i, k in enumerate(layers))


def test_what_is_quantised_is_the_model_that_is_named(study: Study) -> None:
    found = study.run("one", steps=[PRUNE, {"step": "quantise", "of": "baseline"}, {"step": "quantise"}])
    assert [t.method for t in found.trials] == ["dense", "magnitude", "quantise", "quantise"]
    keys = [t.key for t in found.trials]
    assert [r.parent for r in results(found)] == [None, None, None, keys[1]]
    for at, source in ((2, by_hand.weights_of(study.model)), (3, saved(found, 1))):
        packed = by_hand.matrices(by_hand.model_of(found.candidate_folder(keys[at]) / "model"))
        assert len(packed) == 28
        for name, layer in packed.items():
            weight = source[f"{name}.weight"]
            step = weight.abs().amax(dim=1, keepdim=True) / 127  # of each row's scale
            assert ((layer.weight.dequantize() - weight).abs() <= 0.51 * step).all(), (at, name)


def test_a_model_made_aside_is_not_what_the_run_stands_for(study: Study) -> None:
    found = study.run("one", steps=[PRUNE, {"step": "quantise", "of": "baseline"}])
    assert json.loads((found.run_folder / "result.json").read_text()) == {"candidate": found.trials[1].key}


def test_times_are_taken_beside_the_dense_model_and_nothing_else(study: Study, watched: Watched) -> None:
    brief = {"prompt": 8, "new_tokens": 2, "repeats": 1, "warmup": 0}
    found = study.run("one", latency=brief, steps=[PRUNE, {"step": "measure"}, SHORTEN, {"step": "measure"}])
    dense = by_hand.weights_of(study.model)
    expected = [{"candidate": dense}, *({"baseline": dense, "candidate": saved(found, i)} for i in (1, 2))]
    grid = [{"method": "magnitude", "sparsity": [0.5]}, {"method": "block_influence", "target": [{"remove_layers": 1}]}]
    swept = study.run("other", latency=brief, sweep={"grid": grid, "keep": "all"})
    expected += [{"candidate": dense}, *({"baseline": dense, "candidate": saved(swept, i)} for i in (1, 2))]
    assert [set(models) for models in watched.timed] == [set(models) for models in expected]
    for models, wanted in zip(watched.timed, expected, strict=True):
        assert all(by_hand.same(models[name], wanted[name]) for name in wanted)


def test_exports_are_of_the_stage_they_follow_and_nothing_else_stays(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    export = {"step": "export", "format": "huggingface"}
    found = study.run("one", steps=[export, PRUNE, export, SHORTEN, export, lesson(study)])
    exports = found.run_folder / "exports"
    assert sorted(p.name for p in exports.glob("[!.]*")) == ["0-huggingface", "1-huggingface", "2-huggingface"]
    for at, weights in enumerate((by_hand.weights_of(study.model), saved(found, 1), saved(found, 2))):
        assert by_hand.same(by_hand.weights_of(exports / f"{at}-huggingface"), weights)
    assert [r.saved for r in results(found)] == [False, True, True, True]
    models = {p.parent.name for p in (found.settings.home / "candidates").rglob("model")}
    assert models == {t.key for t in found.trials[1:]}
    assert left_over(found.settings.home) == [] and list(scratch.iterdir()) == []
