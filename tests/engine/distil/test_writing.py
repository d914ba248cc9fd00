"""Sequences a model writes: exactly what it would say, counted exactly where it said it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import IGNORED, Windows
from core.engine.distil.generation import continue_text, on_policy, teacher_texts
from core.engine.distil.outputs import Outputs
from core.engine.models.load import Loaded
from core.recipe.distil import OnPolicy, TeacherTexts


def test_temperature_zero_takes_the_likeliest_token(teacher: Loaded, windows: Windows) -> None:
    """Against a loop that runs the whole model anew for every token."""
    prompts = windows.ids[:3, :6]
    want = prompts
    teacher.model.generation_config.eos_token_id = None
    for _ in range(10):
        with torch.no_grad():
            want = torch.cat([want, teacher.model(want).logits[:, -1].argmax(-1, keepdim=True)], 1)
    ids, attended = continue_text(Outputs(teacher.model, "causal"), prompts, 16, 0.0, seed=1)
    assert torch.equal(ids, want) and bool(attended.all())


def test_what_follows_the_end_of_the_text_is_padding(teacher: Loaded, windows: Windows) -> None:
    prompts = windows.ids[:3, :6]
    free, _ = continue_text(Outputs(teacher.model, "causal"), prompts, 16, 0.0, seed=1)
    stop = int(free[0, 9])
    teacher.model.generation_config.eos_token_id = stop
    ids, attended = continue_text(Outputs(teacher.model, "causal"), prompts, 16, 0.0, seed=1)
    end = 6 + free[0, 6:].tolist().index(stop)
    assert attended[0].tolist() == [True] * (end + 1) + [False] * (15 - end)
    assert torch.equal(ids[0, : end + 1], free[0, : end + 1])


def test_the_student_writes_its_share_and_only_that_counts(student: Loaded, windows: Windows) -> None:
    student.model.generation_config.eos_token_id = None
    outputs = Outputs(student.model, "causal")
    batch = windows.take(range(40), 0)
    spec = OnPolicy(share=0.3, prompt=8, temperature=1.0)
    student.model.train()
    new = on_policy(outputs, batch, spec, seed=4)
    assert student.model.training
    written = new.index == -1
    assert 5 <= int(written.sum()) <= 20
    assert torch.equal(new.ids[~written], batch.ids[~written]) and torch.equal(new.ids[:, :8], batch.ids[:, :8])
    assert not torch.equal(new.ids[written], batch.ids[written])
    assert bool((new.targets[written] == IGNORED).all()), "there is no right answer to what the student writes"
    assert new.scored[written].sum(1).unique().tolist() == [24 - 8]
    assert bool(new.scored[written][:, 7].all()) and not bool(new.scored[written][:, :7].any())
    again = on_policy(outputs, batch, spec, seed=4)
    assert torch.equal(again.ids, new.ids)
    assert not torch.equal(on_policy(outputs, batch, spec, seed=5).ids, new.ids)


class Stopping(InMemoryReporter):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cancelled


def test_the_teacher_writes_once_and_goes_on_after_a_stop(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    teacher.model.generation_config.eos_token_id = None
    spec = TeacherTexts(sequences=10, prompt=5, temperature=1.0)

    def write(folder: Path, reporter: InMemoryReporter) -> list[list[int]]:
        outputs = Outputs(teacher.model, "causal")
        made = teacher_texts(outputs, windows, spec, 12, "print", folder, 4, 0, reporter)
        return [ids.tolist() for ids, counted in made.examples if int(counted.sum()) == len(ids) - 5]

    whole = write(tmp_path / "whole", InMemoryReporter())
    assert len(whole) == 10 and [row[:5] for row in whole] == windows.ids[:10, :5].tolist()
    with pytest.raises(Cancelled):
        write(tmp_path / "part", Stopping(2))
    file = next((tmp_path / "part").iterdir())
    file.write_text(file.read_text()[:-9])
    assert len(file.read_text().splitlines()) == 4
    resumed = write(tmp_path / "part", InMemoryReporter())
    assert resumed == whole  # in whole batches: what is sampled depends on who is in one
    asked = InMemoryReporter()
    assert write(tmp_path / "part", asked) == resumed and asked.messages == []


def test_too_few_texts_are_refused(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    with pytest.raises(RetortError, match="should continue 65 texts"):
        teacher_texts(
            Outputs(teacher.model, "causal"),
            windows,
            TeacherTexts(sequences=65),
            12,
            "p",
            tmp_path,
            4,
            0,
            InMemoryReporter(),
        )
