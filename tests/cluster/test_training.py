"""Distillation on two real workers learns what one process learns, through a cancel and the loss of a node."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.engine.cluster.distil_step import ClusterTraining
from core.engine.distil.batches import Answers, Examples
from core.engine.distil.run import TrainContext, distil
from core.engine.models.load import Loaded, load_model
from core.recipe.distil import Design, Distil, Schedule, Term, TrainingBudget, TrainingData
from core.recipe.recipe import Evaluate
from tests.cluster.conftest import TwoNodes
from tests.cluster.test_sweep import Study, recipe
from tests.jobs.tiny_study import text

pytestmark = [pytest.mark.jobs, pytest.mark.slow, pytest.mark.long]
STEPS, LONG = 12, 400
PRUNED = "model.layers.1.mlp.up_proj.weight"


def spec(steps: int = STEPS) -> Distil:
    """Answers of different lengths: a mean of the workers' means would not be the mean over all tokens."""
    return Distil(
        losses=(Term(loss="logit_kl"), Term(loss="cross_entropy", weight=0.5)),
        data=TrainingData(length=48),
        batch=6,
        micro_batch=2,
        budget=TrainingBudget(steps=steps),
        schedule=Schedule(learning_rate=3e-3),
        checkpoint_every=4,
        evaluate_every=4,
        held_out=4,
    )


def examples() -> Examples:
    dice = torch.Generator().manual_seed(3)
    lengths = torch.randint(12, 48, (40,), generator=dice).tolist()
    ids = [torch.randint(1, 384, (n,), generator=dice) for n in lengths]
    return Answers([(row, torch.arange(len(row)) >= len(row) // 3) for row in ids], padding=0)


def student_of(teacher: Loaded, folder: Path) -> Loaded:
    """The teacher with noise: something to learn. Part of one matrix is pruned, and stays so."""
    student = load_model(folder, "float32")
    dice = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in student.model.parameters():
            p += 0.05 * torch.randn(p.shape, generator=dice)
        pruned = student.model.get_parameter(PRUNED)
        pruned[torch.rand(pruned.shape, generator=dice) < 0.3] = 0.0
    return student


class Watcher(InMemoryReporter):
    """Raises `Cancelled` once a step was told that is `cancel_at` or later; tells `at_step` of each step."""

    def __init__(self, cancel_at: int | None = None) -> None:
        super().__init__()
        self.cancel_at = cancel_at
        self.step = 0

    def series(self, name: str, step: int, value: float) -> None:
        super().series(name, step, value)
        self.step = max(self.step, step)

    def checkpoint(self) -> None:
        if self.cancel_at is not None and self.step >= self.cancel_at:
            raise Cancelled

    def curve(self, name: str) -> dict[int, float]:
        return {step: value for n, step, value in self.points if n == name}


def train_context(folder: Path, reporter: InMemoryReporter) -> TrainContext:
    return TrainContext(folder / "checkpoints", folder / "cache", reporter, "student", "teacher")


class Course:
    """The same lesson for everybody, and how one process on this machine learned it."""

    def __init__(self, folder: Path, tiny_llama: Path) -> None:
        self.folder = tiny_llama
        self.reporter = Watcher()
        student = student_of(load_model(tiny_llama, "float32"), tiny_llama)
        self.untrained = {name: p.detach() for name, p in student.model.named_parameters()}
        self.weights = self.learn(folder, self.reporter, None, spec())

    def learn(
        self, folder: Path, reporter: InMemoryReporter, training: ClusterTraining | None, spec: Distil
    ) -> dict[str, Tensor]:
        """The student's weights afterwards."""
        teacher = load_model(self.folder, "float32")
        student = student_of(teacher, self.folder)
        (training or distil)(student, teacher, spec, examples(), train_context(folder, reporter))
        return {name: p.detach().clone() for name, p in student.model.named_parameters()}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Course:
    return Course(tmp_path_factory.mktemp("course"), tiny_llama)


def alike(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return all(torch.allclose(found[n], expected[n], rtol=1e-3, atol=2e-5) for n in expected)


@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
def test_two_workers_learn_what_one_process_learns(
    tmp_path: Path, course: Course, cluster: TwoNodes, shard: bool
) -> None:
    training = ClusterTraining(Settings(home=tmp_path, cluster=cluster.address), shard=shard)
    stopped, reporter = Watcher(cancel_at=1), Watcher()
    with pytest.raises(Cancelled):
        course.learn(tmp_path, stopped, training, spec(steps=STEPS))
    assert any((tmp_path / "checkpoints").glob("step-*")), "its checkpoint came home"
    weights = course.learn(tmp_path, reporter, training, spec(steps=STEPS))

    messages = [message for _, message, _ in reporter.events]
    assert "Training on 2 workers." in messages and any(m.startswith("Resumed after step") for m in messages)
    for name in ("loss/total", "loss/cross_entropy", "gradient_norm", "held_out/total"):
        expected = course.reporter.curve(name)
        found = stopped.curve(name) | reporter.curve(name)
        assert found == pytest.approx(expected, rel=2e-4), name
    assert alike(weights, course.weights) and not alike(weights, course.untrained)
    assert torch.equal(weights[PRUNED] == 0, course.untrained[PRUNED] == 0), "what was pruned stays zero"


def test_what_a_worker_refuses_reaches_the_user_as_it_is(tmp_path: Path, course: Course, cluster: TwoNodes) -> None:
    training = ClusterTraining(Settings(home=tmp_path, cluster=cluster.address))
    silent = spec().model_copy(update={"losses": (Term(loss="cross_entropy"),)})
    rows = [torch.randint(1, 384, (20,)) for _ in range(12)]
    nothing = Answers([(row, torch.zeros(20, dtype=torch.bool)) for row in rows], padding=0)
    teacher = load_model(course.folder, "float32")
    with pytest.raises(RetortError, match="No token of the first batch counts"):
        training(
            student_of(teacher, course.folder), teacher, silent, nothing, train_context(tmp_path, InMemoryReporter())
        )


def test_a_recipe_with_a_distil_step_trains_on_the_cluster(tmp_path: Path, tiny_llama: Path, cluster: TwoNodes) -> None:
    models = tmp_path.resolve() / "shelf"
    shutil.copytree(tiny_llama, models / "tiny")
    study = Study(tmp_path, models, cluster)
    lesson = Distil(
        design=Design(layers=2),
        data=TrainingData(data=text(models / "c.txt", 3), split=None, length=32),
        batch=4,
        budget=TrainingBudget(steps=4),
        held_out=4,
    )
    sweep = recipe(models, "ray")
    found = study.run(sweep.model_copy(update={"sweep": None, "steps": (lesson, Evaluate())}))
    messages = [e.message for e in study.events()]
    assert any("Training on 2 workers." in m for m in messages) and any("the student writes" in m for m in messages)
    student = next(r for r in found.values() if r.distil is not None)
    assert student.saved and student.facts["steps"] == 4 and student.facts["layers"] == 2
    assert student.round_trip is not None and student.round_trip.max_logit_difference < 1e-5


def test_a_node_lost_in_the_middle_changes_nothing(tmp_path: Path, course: Course, cluster: TwoNodes) -> None:
    alone, reporter = Watcher(), Watcher()
    long = spec(steps=LONG).model_copy(update={"checkpoint_every": 50, "evaluate_every": 50})
    course.learn(tmp_path / "alone", alone, None, long)
    killer = threading.Thread(target=kill_after, args=(reporter, cluster, 60), daemon=True)
    killer.start()
    training = ClusterTraining(Settings(home=tmp_path, cluster=cluster.address))
    course.learn(tmp_path / "cluster", reporter, training, long)
    killer.join(timeout=5)
    messages = [message for _, message, _ in reporter.events]
    assert "A worker was lost, so training goes on from the last checkpoint." in messages
    assert "Training on 1 worker." in messages and any(m.startswith("Resumed after step") for m in messages)
    for name in ("loss/total", "held_out/total"):
        assert reporter.curve(name) == pytest.approx(alone.curve(name), rel=5e-3), name


def kill_after(reporter: Watcher, cluster: TwoNodes, step: int) -> None:
    while reporter.step < step:
        time.sleep(0.01)
    cluster.kill_second()
