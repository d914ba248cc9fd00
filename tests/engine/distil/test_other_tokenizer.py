"""A teacher whose tokenizer is another than the student's: it teaches by the text, or by the texts it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.base.errors import Impossible
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import Batch, Windows
from core.engine.distil.generation import on_policy, retold, teacher_texts
from core.engine.distil.outputs import Outputs
from core.engine.distil.reading import Reader, Retokenised, unread
from core.engine.distil.run import TrainContext, distil
from core.engine.models.load import Loaded, load_model
from core.recipe.check import check_recipe
from core.recipe.distil import Distil, OnPolicy, Schedule, TeacherTexts, Term, TrainingBudget, TrainingData
from tests.other_tokenizer import save_teacher

LENGTH = 24


@pytest.fixture(scope="module")
def stranger(tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Its tokens are others than the student's, and it begins a text with <s>."""
    return load_model(save_teacher(tmp_path_factory.mktemp("other") / "teacher", tiny_text), "float32")


def trained(student: Loaded, teacher: Loaded, windows: Windows, folder: Path, **how: Any) -> Any:
    spec = Distil(
        data=TrainingData(length=LENGTH),
        batch=4,
        held_out=8,
        schedule=Schedule(learning_rate=3e-3),
        evaluate_every=100,
        **how,
    )
    context = TrainContext(folder=folder / "c", cache=folder, reporter=InMemoryReporter(), student="s", teacher="t")
    return distil(student, teacher, spec, windows, context)


@pytest.mark.parametrize(("loss", "share"), [("span_likelihood", 0.8), ("universal_logits", 0.98)])
def test_the_student_comes_nearer_to_its_teacher(
    student: Loaded, stranger: Loaded, windows: Windows, tmp_path: Path, loss: str, share: float
) -> None:
    losses, budget = (Term(loss=loss),), TrainingBudget(steps=30)
    outcome = trained(student, stranger, windows, tmp_path, losses=losses, budget=budget, micro_batch=3)
    first, last = (e.terms[loss] for e in (outcome.evaluations[0], outcome.evaluations[-1]))
    assert last < share * first
    assert not any(p.requires_grad or p.grad is not None for p in stranger.model.parameters())


def test_what_the_student_writes_is_judged_across_tokenizers(
    student: Loaded, stranger: Loaded, windows: Windows, tmp_path: Path
) -> None:
    reader = Reader(student, stranger)
    read = reader.read(windows.take([0, 1, 2, 3], 0))
    assert torch.equal(reader.read(unread(read)).scored, read.scored)
    written = reader.read(on_policy(Outputs(student.model, "causal"), unread(read), OnPolicy(share=1.0, prompt=8), 5))
    assert bool((written.index == -1).all()) and int(written.scored.sum()) > 0
    assert not bool(written.scored[:, :7].any())  # the prompt is not the student's
    losses, budget = (Term(loss="span_likelihood"),), TrainingBudget(steps=2)
    policy = OnPolicy(share=0.5, prompt=8)
    assert trained(student, stranger, windows, tmp_path, losses=losses, budget=budget, on_policy=policy).steps == 2


def test_the_student_learns_the_texts_its_teacher_wrote(
    student: Loaded, stranger: Loaded, windows: Windows, tmp_path: Path
) -> None:
    reader, asked = Reader(student, stranger), TeacherTexts(sequences=12, prompt=6, temperature=0.0)
    prompts = Retokenised(windows, reader)
    folder = tmp_path / "texts"
    reporter = InMemoryReporter()
    made = teacher_texts(Outputs(stranger.model, "causal"), prompts, asked, LENGTH, "t", folder, 4, 0, reporter)
    told = retold(made, stranger, student, LENGTH, framed=True)
    for (ids, counted), (own, learnt), window in zip(made.examples, told.examples, windows.ids, strict=False):
        assert ids[0] == stranger.tokenizer.bos_token_id
        prompt = stranger.tokenizer.decode(ids[~counted], skip_special_tokens=True)
        assert student.tokenizer.decode(window).strip("\ufffd").strip().startswith(prompt.strip())
        answer = stranger.tokenizer.decode(ids[counted], skip_special_tokens=True)
        assert answer.startswith(student.tokenizer.decode(own[learnt]).strip("\ufffd").strip()[:4])
        assert len(own) <= LENGTH
    losses, budget = (Term(loss="cross_entropy"),), TrainingBudget(steps=20)
    outcome = trained(student, stranger, windows, tmp_path, losses=losses, budget=budget, teacher_texts=asked)
    assert outcome.evaluations[-1].value < 0.97 * outcome.evaluations[0].value
    assert any(note.startswith("Trained on what the teacher wrote") for note in outcome.notes)


def test_losses_that_compare_token_by_token_name_the_way_out(
    student: Loaded, stranger: Loaded, windows: Windows, tmp_path: Path
) -> None:
    budget = TrainingBudget(steps=1)
    with pytest.raises(Impossible, match="use different tokens") as refused:
        trained(student, stranger, windows, tmp_path, losses=(Term(loss="logit_kl"),), budget=budget)
    assert "span_likelihood" in refused.value.remedy and "teacher_texts" in refused.value.remedy


def test_a_tokenizer_that_knows_no_characters_is_refused(student: Loaded, stranger: Loaded) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(Impossible, match="teacher's tokenizer does not say which characters"):
        Reader(student, replace(stranger, tokenizer=Slow()))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"losses": [{"loss": "span_likelihood"}, {"loss": "logit_kl"}]}, "logit_kl compares token by token"),
        ({"losses": [{"loss": "universal_logits"}], "cache": {}}, "needs the teacher itself: leave out 'cache'"),
        (
            {"losses": [{"loss": "span_likelihood"}], "data": {"data": "path:/a.jsonl", "form": "chat"}},
            "compares running text: use 'form: text'",
        ),
    ],
)
def test_recipes_that_cannot_be_meant(step: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        check_recipe({"model": "sample:smollm2-135m", "steps": [{"step": "distil", **step}]})


def test_a_batch_is_cut_with_its_reading(student: Loaded, stranger: Loaded, windows: Windows) -> None:
    read: Batch = Reader(student, stranger).read(windows.take([0, 1, 2], 0))
    parts = read.to("cpu").split(2)
    assert [len(p.ids) for p in parts] == [2, 1] and all(p.reading is not None for p in parts)
    assert parts[1].reading is not None and read.reading is not None
    assert torch.equal(parts[1].reading.places, read.reading.places[2:])
