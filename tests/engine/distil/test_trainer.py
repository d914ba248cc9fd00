"""The training loop: interruptions that leave no trace, the best kept, and what must not go unnoticed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import Answers, Windows
from core.engine.distil.run import TrainContext, distil
from core.engine.distil.schedule import fraction_done, learning_rate
from core.engine.models.load import Loaded
from core.recipe.distil import Distil, Lora, OnPolicy, Schedule, Term, TrainingBudget, TrainingData


class Stopping(InMemoryReporter):
    """Asks to stop at the `at`-th question, as a user would."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cancelled


def spec(**given: Any) -> Distil:
    usual: dict[str, Any] = {
        "losses": (Term(loss="soft_labels", weight=0.7), Term(loss="cross_entropy", weight=0.3)),
        "data": TrainingData(length=24),
        "batch": 4,
        "micro_batch": 3,
        "budget": TrainingBudget(steps=9),
        "schedule": Schedule(learning_rate=3e-3),
        "checkpoint_every": 3,
        "evaluate_every": 4,
        "held_out": 6,
    }
    return Distil(**usual | given)


def train(
    student: Loaded,
    teacher: Loaded | None,
    wanted: Distil,
    data: Any,
    folder: Path,
    reporter: InMemoryReporter | None = None,
    **more: Any,
) -> tuple[dict[str, Tensor], Any]:
    """Trains a copy of the student; its weights at the end, and the outcome."""
    torch.seed()  # a resumed run is another process: it must not lean on random numbers left behind
    learner = replace(student, model=copy.deepcopy(student.model))
    train_context = TrainContext(
        folder / "run", folder / "cache", reporter or InMemoryReporter(), student="s", teacher="t", **more
    )
    outcome = distil(learner, teacher, wanted, data, train_context)
    return {n: p.detach().clone() for n, p in learner.model.named_parameters()}, outcome


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


FEATURES = (Term(loss="logit_kl"), Term(loss="hidden_cosine"), Term(loss="attention_relations", weight=0.1))
RUNS: dict[str, Callable[[], Distil]] = {
    "weights": lambda: spec(),
    "dropout": lambda: spec(),
    "lora": lambda: spec(lora=Lora(rank=4, alpha=8, dropout=0.1), schedule=Schedule(learning_rate=3e-2)),
    "features": lambda: spec(losses=FEATURES),
    "on_policy": lambda: spec(on_policy=OnPolicy(share=0.5, prompt=8)),
    "tokens": lambda: spec(budget=TrainingBudget(tokens=9 * 96 - 20)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_a_stopped_and_resumed_run_ends_with_the_same_weights(
    kind: str, teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    """Stopped twice at arbitrary places, between steps and inside evaluations."""
    if kind == "dropout":
        student.model.config.attention_dropout = 0.2
        for block in student.model.model.layers:
            block.self_attn.attention_dropout = 0.2
    wanted = RUNS[kind]()
    straight, outcome = train(student, teacher, wanted, windows, tmp_path / "straight")
    assert outcome.steps == 9 and not equal(straight, dict(student.model.named_parameters()))
    for first, second in ((3, 8), (10, 2)):
        folder = tmp_path / f"{first}-{second}"
        for at in (first, second):
            with pytest.raises(Cancelled):
                train(student, teacher, wanted, windows, folder, Stopping(at))
        resumed, again = train(student, teacher, wanted, windows, folder)
        assert equal(resumed, straight)
        assert again.evaluations == outcome.evaluations and again.best_step == outcome.best_step


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    """Nothing is saved on the way out; the newest checkpoint is even damaged."""

    class Killed(InMemoryReporter):
        def series(self, name: str, step: int, value: float) -> None:
            if step == 8:
                raise KeyboardInterrupt

    straight, _ = train(student, teacher, spec(), windows, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(student, teacher, spec(), windows, tmp_path / "killed", Killed())
    found = sorted(p.name for p in (tmp_path / "killed" / "run").glob("step-*"))
    assert found == ["step-00000003", "step-00000006"]
    (tmp_path / "killed" / "run" / "step-00000006" / "optimizer.safetensors").write_bytes(b"cut short")
    reporter = InMemoryReporter()
    resumed, _ = train(student, teacher, spec(), windows, tmp_path / "killed", reporter)
    assert equal(resumed, straight)
    assert any("Resumed after step 3" in message for _, message, _ in reporter.events)


def test_a_checkpoint_of_another_run_is_refused(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    train(student, teacher, spec(), windows, tmp_path)
    with pytest.raises(RetortError, match="other models, data or settings"):
        train(student, teacher, spec(seed=1), windows, tmp_path)


def test_training_brings_the_student_closer_and_every_curve_is_there(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    reporter = InMemoryReporter()
    wanted = spec(losses=FEATURES, budget=TrainingBudget(steps=40), schedule=Schedule(learning_rate=5e-3))
    _, outcome = train(student, teacher, wanted, windows, tmp_path, reporter)
    first, best = outcome.evaluations[0], min(outcome.evaluations, key=lambda e: e.value)
    assert best.value < 0.7 * first.value and outcome.best_step == best.step
    assert best.terms["logit_kl"] < first.terms["logit_kl"]
    names = {name for name, _, _ in reporter.points}
    terms = ("logit_kl", "hidden_cosine", "attention_relations")
    assert names >= {f"{kind}/{t}" for kind in ("loss", "held_out", "gradient_share") for t in (*terms,)}
    assert names >= {
        "loss/total",
        "held_out/cross_entropy",
        "gradient_norm",
        "learning_rate",
        "tokens_per_second",
        "memory_bytes",
        "seconds_left",
    }
    shares = [v for n, step, v in reporter.points if n.startswith("gradient_share/") and step == 0]
    assert len(shares) == 3 and sum(shares) == pytest.approx(1.0) and min(shares) > 0
    assert outcome.tokens == 40 * 4 * 24


def test_sequences_held_out_are_never_learned_from(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    asked: list[list[int]] = []

    class Watched(Windows):
        def take(self, indices: Any, seed: int) -> Any:
            asked.append(list(indices))
            return super().take(indices, seed)

    train(student, teacher, spec(), Watched(windows.ids), tmp_path)
    assert asked[0] == list(range(6))
    trained = [i for step in asked[1:] for i in step]
    assert len(trained) == 36 and min(trained) >= 6
    assert len(set(trained)) == 36, "an epoch of 58 sequences repeats none"


def test_fine_tuning_needs_no_teacher(student: Loaded, windows: Windows, tmp_path: Path) -> None:
    wanted = spec(step="finetune", losses=(Term(loss="cross_entropy"),), budget=TrainingBudget(steps=30))
    _, outcome = train(student, None, wanted, windows, tmp_path)
    assert outcome.evaluations[-1].value < outcome.evaluations[0].value - 0.5
    with pytest.raises(RetortError, match="none was given"):
        train(student, None, spec(), windows, tmp_path / "other")


def test_a_learning_rate_that_diverges_stops_the_run_and_keeps_the_best(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    reporter = InMemoryReporter()
    wild = spec(
        budget=TrainingBudget(steps=400), schedule=Schedule(learning_rate=0.9, warmup=0.0, clip=1e9), evaluate_every=5
    )
    weights, outcome = train(student, teacher, wild, windows, tmp_path, reporter)
    assert outcome.steps < 400 and outcome.stopped is not None and "rose from" in outcome.stopped
    assert [level for level, _, _ in reporter.events] == ["error"]
    best = min(outcome.evaluations, key=lambda e: e.value)
    assert outcome.best_step == best.step < outcome.steps
    assert all(torch.isfinite(w).all() for w in weights.values())
    if best.step == 0:
        assert equal(weights, {n: p.detach() for n, p in student.model.named_parameters()})


def test_not_a_number_stops_the_run_at_once(teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path) -> None:
    steps = 0

    def poison(module: Any, args: Any, output: Any) -> Any:
        nonlocal steps
        steps += module.training
        return output * math.nan if steps > 9 else output

    student.model.model.norm.register_forward_hook(poison)
    weights, outcome = train(student, teacher, spec(), windows, tmp_path)
    assert outcome.stopped is not None and "not a number" in outcome.stopped
    assert all(torch.isfinite(w).all() for w in weights.values())


def test_a_term_without_gradient_raises_an_alarm(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    """A student that is its teacher has nothing to learn from it, while the text still teaches."""
    twin = replace(teacher, model=copy.deepcopy(teacher.model))
    reporter = InMemoryReporter()
    wanted = spec(losses=(Term(loss="logit_mse"), Term(loss="cross_entropy")), budget=TrainingBudget(steps=2))
    train(twin, teacher, wanted, windows, tmp_path, reporter)
    warned = [message for level, message, _ in reporter.events if level == "warning"]
    assert len(warned) == 1 and "'logit_mse' has no gradient" in warned[0]


def test_answers_that_are_all_cut_off_are_refused(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    silent = Answers([(row, torch.zeros(24, dtype=torch.bool)) for row in windows.ids], padding=0)
    with pytest.raises(RetortError, match="No token of the first batch counts"):
        train(student, teacher, spec(), silent, tmp_path)


def test_pruned_weights_stay_zero(teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path) -> None:
    weight = student.model.model.layers[0].mlp.up_proj.weight
    with torch.no_grad():
        weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5] = 0
    zeros = weight == 0
    name = "model.layers.0.mlp.up_proj.weight"
    kept, _ = train(student, teacher, spec(), windows, tmp_path / "kept")
    assert torch.equal(kept[name] == 0, zeros) and not torch.equal(kept[name], weight)
    free, _ = train(student, teacher, spec(keep_zeros=False), windows, tmp_path / "free")
    assert (free[name][zeros] != 0).float().mean() > 0.9
    with pytest.raises(RetortError, match="would not stay zero"):
        train(student, teacher, spec(lora=Lora()), windows, tmp_path / "lora")


def test_stop_and_keep_ends_well(teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path) -> None:
    asked = iter([False] * 5 + [True])
    _, outcome = train(student, teacher, spec(), windows, tmp_path, stop_and_keep=lambda: next(asked))
    assert outcome.steps == 5 and outcome.stopped == "Stopped on request."
    assert outcome.evaluations[-1].step == 5


def test_the_teachers_own_level_is_that_of_a_plain_model(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    """The loss of the teacher on the held-out windows as plain transformers gives it; its distance to itself is 0."""
    reporter = InMemoryReporter()
    train(student, teacher, spec(), windows, tmp_path, reporter)
    level = {name: value for name, step, value in reporter.points if name.startswith("teacher/")}
    assert level.keys() == {"teacher/soft_labels", "teacher/cross_entropy", "teacher/total"}
    held = windows.take(range(6), 0).ids
    with torch.no_grad():
        plain = float(teacher.model(input_ids=held, labels=held).loss)
    assert level["teacher/cross_entropy"] == pytest.approx(plain, abs=1e-5)
    assert level["teacher/soft_labels"] == pytest.approx(0.0, abs=1e-6)
    assert level["teacher/total"] == pytest.approx(0.3 * plain, abs=1e-5)
    assert sum(name == "teacher/total" for name, _, _ in reporter.points) == 1, "once"


def test_schedule() -> None:
    s = Schedule(learning_rate=1.0, warmup=0.1, final=0.1)
    assert learning_rate(0.05, s) == pytest.approx(0.5)
    assert learning_rate(0.1, s) == pytest.approx(1.0)
    assert learning_rate(0.55, s) == pytest.approx(0.55)
    assert learning_rate(1.0, s) == learning_rate(1.5, s) == pytest.approx(0.1)
    assert fraction_done(TrainingBudget(minutes=2), 7, 9, 30.0) == pytest.approx(0.25)
    assert fraction_done(TrainingBudget(tokens=100), 7, 25, 30.0) == pytest.approx(0.25)
