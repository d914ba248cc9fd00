"""Damaged checkpoints, best weights, teacher's texts and stored answers: the same weights come out in the end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import Windows
from core.engine.distil.generation import teacher_texts
from core.engine.distil.outputs import Outputs
from core.engine.distil.state import Checkpoints, Evaluated, TrainState
from core.engine.models.load import Loaded
from core.recipe.distil import Schedule, TeacherTexts
from tests.damage import HARMS, delete, flip
from tests.engine.distil.test_teacher_cache import store
from tests.engine.distil.test_trainer import Stopping, equal, spec, train


def said(reporter: InMemoryReporter) -> str:
    return " ".join(message for _, message, _ in reporter.events)


@pytest.fixture
def stopped(teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path) -> Path:
    """A training that was stopped after its seventh step, with checkpoints of steps 6 and 7."""
    with pytest.raises(Cancelled):
        train(student, teacher, spec(), windows, tmp_path / "stopped", Stopping(9))
    folder = tmp_path / "stopped" / "run"
    assert len(list(folder.glob("step-*"))) == 2 and list(folder.glob("best-*.safetensors"))
    return folder


DAMAGES: dict[str, Callable[[Path], list[Path]]] = {
    "weights": lambda f: [sorted(f.glob("step-*"))[-1] / "weights.safetensors"],
    "optimiser": lambda f: [sorted(f.glob("step-*"))[-1] / "optimizer.safetensors"],
    "state": lambda f: [sorted(f.glob("step-*"))[-1] / "state.json"],
    "best": lambda f: sorted(f.glob("best-*.safetensors")),
    "both checkpoints": lambda f: [p / "weights.safetensors" for p in sorted(f.glob("step-*"))],
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("what", DAMAGES)
def test_a_training_with_damaged_files_ends_with_the_weights_of_an_undamaged_one(
    what: str, harm: str, teacher: Loaded, student: Loaded, windows: Windows, stopped: Path, tmp_path: Path
) -> None:
    straight, outcome = train(student, teacher, spec(), windows, tmp_path / "straight")
    for path in DAMAGES[what](stopped):
        HARMS[harm](path)
    reporter = InMemoryReporter()
    resumed, again = train(student, teacher, spec(), windows, stopped.parent, reporter)
    assert equal(resumed, straight)
    assert again.evaluations == outcome.evaluations and again.best_step == outcome.best_step
    assert "damaged" in said(reporter)
    if what == "both checkpoints":
        assert "starts anew" in said(reporter) and "Resumed" not in said(reporter)
    elif what != "best":
        assert "Training goes on from step" in said(reporter) and "Resumed after step" in said(reporter)
    # What was damaged does not outlive the run, and what is there now is whole.
    quiet = InMemoryReporter()
    assert equal(train(student, teacher, spec(), windows, stopped.parent, quiet)[0], straight)
    assert "damaged" not in said(quiet)


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((50,), value)}


def test_the_best_weights_of_the_checkpoints_own_step_are_written_again_from_it(tmp_path: Path) -> None:
    told: list[str] = []
    kept = Checkpoints(tmp_path, "i", told.append)
    for step in (3, 6):
        kept.save_best(step, tensors(step))
        best = Evaluated(step=step, value=1.0 / step, terms={})
        kept.save(TrainState(identity="i", step=step, evaluations=[best]), tensors(step), {})
    flip(tmp_path / "best-00000006.safetensors")
    found = kept.latest()
    assert found is not None and found[0].step == 6
    assert torch.equal(kept.load_best(6)["w"], tensors(6)["w"])
    assert len(told) == 1 and "the checkpoint has them too" in told[0]


def test_without_its_best_weights_a_checkpoint_gives_way_to_an_earlier_one_that_has_its_own(tmp_path: Path) -> None:
    told: list[str] = []
    kept = Checkpoints(tmp_path, "i", told.append)
    first, second = Evaluated(step=3, value=0.5, terms={}), Evaluated(step=5, value=0.4, terms={})
    kept.save_best(3, tensors(3))
    kept.save(TrainState(identity="i", step=3, evaluations=[first]), tensors(3), {})
    kept.save_best(5, tensors(5))
    kept.save(TrainState(identity="i", step=6, evaluations=[first, second]), tensors(6), {})
    delete(tmp_path / "best-00000005.safetensors")
    found = kept.latest()
    assert found is not None and found[0].step == 3 and torch.equal(found[1]["w"], tensors(3)["w"])
    assert "The best weights so far, of step 5, are damaged" in told[0] and "from step 3" in told[1]
    assert not (tmp_path / "step-00000006").exists()  # it must not count as newer than what comes now
    # Damaged after that, they are refused in a sentence.
    flip(tmp_path / "best-00000003.safetensors")
    with pytest.raises(RetortError, match="Retort saved itself, are damaged"):
        kept.load_best(3)


@pytest.mark.parametrize("harm", HARMS)
def test_texts_of_the_teacher_are_written_again_from_where_they_are_damaged(
    harm: str, teacher: Loaded, windows: Windows, tmp_path: Path
) -> None:
    teacher.model.generation_config.eos_token_id = None
    wanted = TeacherTexts(sequences=10, prompt=6, temperature=1.0)

    def write(folder: Path) -> list[list[int]]:
        outputs = Outputs(teacher.model, "causal")
        texts = teacher_texts(outputs, windows, wanted, 16, "t", folder, 4, 1, InMemoryReporter())
        return [texts.take([i], 0).ids[0].tolist() for i in range(10)]

    straight = write(tmp_path / "a")
    write(tmp_path / "b")
    (path,) = (tmp_path / "b").glob("*.jsonl")
    HARMS[harm](path)
    assert write(tmp_path / "b") == straight
    assert path.read_bytes() == next((tmp_path / "a").glob("*.jsonl")).read_bytes()


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("what", ["index.json", "sequences-*.safetensors"])
def test_stored_answers_of_a_teacher_are_made_again(
    what: str, harm: str, teacher: Loaded, windows: Windows, tmp_path: Path
) -> None:
    made = store(teacher, windows, tmp_path / "a")
    straight = [{n: t.clone() for n, t in made._sequence(i).items()} for i in range(20)]
    (path,) = (tmp_path / "a").glob(f"*/{what}")
    HARMS[harm](path)
    reporter = InMemoryReporter()
    again = store(teacher, windows, tmp_path / "a", reporter)
    assert "damaged" in said(reporter)
    for i, row in enumerate(straight):
        assert all(torch.equal(t, again._sequence(i)[n]) for n, t in row.items())
    assert again.index == made.index


def test_a_student_with_other_settings_is_not_taken_for_damage(
    teacher: Loaded, student: Loaded, windows: Windows, stopped: Path
) -> None:
    learner = copy.copy(student)
    with pytest.raises(RetortError, match="other models, data or settings"):
        train(learner, teacher, spec(schedule=Schedule(learning_rate=1e-3)), windows, stopped.parent)
