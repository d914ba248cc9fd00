"""A stored teacher: the same loss as the live one when all is stored, a lower bound otherwise, and resumable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil import teacher_cache as cache_module
from core.engine.distil.batch_sampler import Order
from core.engine.distil.batches import Answers, Batch, Examples, Windows
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.packing import Stream
from core.engine.distil.run import TrainContext, distil
from core.engine.distil.student import design_student
from core.engine.distil.teacher import LiveTeacher, Teacher
from core.engine.distil.teacher_cache import build_cache
from core.engine.distil.teacher_cache_reader import CachedTeacher, Index
from core.engine.distil.trainer import TrainingOutcome
from core.engine.models.load import Loaded
from core.recipe.distil import Design, Distil, TeacherCache, Term, TrainingBudget, TrainingData

VOCABULARY = 384
MIX = [
    Term(loss="soft_labels", parameters={"temperature": 2.0}),
    Term(loss="reverse_kl", weight=0.5),
    Term(loss="jensen_shannon", weight=0.5),
    Term(loss="skewed_kl", weight=0.5),
    Term(loss="cross_entropy", weight=0.1),
]


def store(
    teacher: Loaded, examples: Examples, folder: Path, reporter: InMemoryReporter | None = None, **given: Any
) -> CachedTeacher:
    spec = TeacherCache(**{"k": 16, "precision": "float32"} | given)
    live = LiveTeacher(Outputs(teacher.model, "causal"))
    wanted = range(examples.count or 0)
    made = build_cache(
        live, examples, spec, [1.0, 2.0], "fingerprint", folder, 3, reporter or InMemoryReporter(), wanted
    )
    return CachedTeacher(made, spec, torch.device("cpu"))


def learn(student: Loaded, voice: Teacher, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
    student.model.zero_grad()
    objective = Objective(Outputs(student.model, "causal"), voice, loss_terms(MIX))
    terms = objective.backward(batch, Normalisers.of([batch]))
    grads = [p.grad.clone() for p in student.model.parameters() if p.grad is not None]
    return {n: float(v) for n, v in terms.items()}, grads


def ragged(windows: Windows) -> Answers:
    return Answers([(windows.ids[i][: 9 + i], torch.arange(9 + i) >= i % 5) for i in range(12)], padding=0)


def test_with_the_whole_vocabulary_it_equals_the_live_teacher(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    examples = ragged(windows)
    stored = store(teacher, examples, tmp_path, k=VOCABULARY)
    assert stored.index.mass_covered == pytest.approx(1.0, abs=1e-5)
    batch = examples.take([7, 2, 11], 0)
    terms, grads = learn(student, stored, batch)
    terms_live, grads_live = learn(student, LiveTeacher(Outputs(teacher.model, "causal")), batch)
    assert terms == pytest.approx(terms_live, rel=1e-5)
    for a, b in zip(grads, grads_live, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6 * float(b.abs().max()))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("tail", ["bucket", "renormalise"])
def test_top_k_against_the_definition(
    tail: str, precision: str, teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    """Soft labels at temperature 2 on the 16 likeliest tokens, computed in numpy from both models' full logits."""
    stored = store(teacher, windows, tmp_path, tail=tail, precision=precision)
    batch = windows.take([3, 60], 0)
    terms, _ = learn(student, stored, batch)
    with torch.no_grad():
        s, t = (m.model(batch.ids).logits[:, :-1].double().flatten(0, 1).numpy() for m in (student, teacher))
    p, q = (np.exp(x / 2) / np.exp(x / 2).sum(1, keepdims=True) for x in (t, s))
    top = np.argsort(-t, axis=1)[:, :16]
    p_top, q_top = np.take_along_axis(p, top, 1), np.take_along_axis(q, top, 1)
    if tail == "bucket":
        p_top, q_top = (np.concatenate([x, 1 - x.sum(1, keepdims=True)], 1) for x in (p_top, q_top))
    else:
        p_top, q_top = (x / x.sum(1, keepdims=True) for x in (p_top, q_top))
    want = 4 * (p_top * np.log(p_top / q_top)).sum(1).mean()
    assert terms["soft_labels"] == pytest.approx(want, rel=1e-5 if precision == "float32" else 5e-3)
    full = 4 * (p * np.log(p / q)).sum(1).mean()
    if tail == "bucket":
        assert 0 < want < full, "merging outcomes gives a lower bound"


def test_it_says_what_it_covers_and_what_it_takes(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    stored = store(teacher, windows, tmp_path, precision="float16")
    with torch.no_grad():
        p = teacher.model(windows.ids).logits[:, :-1].double().softmax(-1)
    assert stored.index.tokens == 64 * 23
    assert stored.index.mass_covered == pytest.approx(float(p.topk(16).values.sum(-1).mean()), rel=1e-3)
    on_disk = sum(f.stat().st_size for f in tmp_path.rglob("*.safetensors"))
    assert stored.index.bytes_per_token == pytest.approx(on_disk / (64 * 23))
    assert 16 * 4 + 16 < stored.index.bytes_per_token < 100


class Interrupted(InMemoryReporter):
    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_it_goes_on_where_it_stopped_and_mends_what_is_damaged(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_SHARD_TOKENS", 6 * 23)
    whole = learn(student, store(teacher, windows, tmp_path / "whole"), windows.take([0, 30, 63], 0))
    with pytest.raises(Cancelled):
        store(teacher, windows, tmp_path / "part", Interrupted(7))
    first = sorted((tmp_path / "part").rglob("*.safetensors"))
    assert len(first) == 3
    times = {f: f.stat().st_mtime_ns for f in first}
    first[1].write_bytes(first[1].read_bytes()[:-1] + b"x")
    reporter = InMemoryReporter()
    resumed = store(teacher, windows, tmp_path / "part", reporter)
    assert learn(student, resumed, windows.take([0, 30, 63], 0))[0] == whole[0]
    assert [m for _, m, _ in reporter.events] == ["1 stored teacher files were damaged and are made again."]
    assert all(f.stat().st_mtime_ns == times[f] for f in (first[0], first[2]))
    assert len(list((tmp_path / "part").rglob("*.safetensors"))) == 11
    asked = InMemoryReporter()
    store(teacher, windows, tmp_path / "part", asked)
    assert asked.messages == [], "all is there: the teacher is not asked again"


def test_a_file_damaged_later_is_noticed_before_it_is_used(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    stored = store(teacher, windows, tmp_path)
    file = next(tmp_path.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RetortError, match="missing or damaged"):
        learn(student, stored, windows.take([0], 0))


def test_other_data_or_settings_are_stored_apart(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    store(teacher, windows, tmp_path)
    store(teacher, Windows(windows.ids[:10]), tmp_path)
    store(teacher, windows, tmp_path, k=8)
    assert len(list(tmp_path.iterdir())) == 3


def lesson(cached: bool, **budget: Any) -> Distil:
    stored = TeacherCache(k=VOCABULARY, precision="float32") if cached else None
    data = TrainingData(length=24)
    return Distil(
        losses=tuple(MIX),
        cache=stored,
        budget=TrainingBudget(**budget),
        batch=3,
        held_out=4,
        evaluate_every=2,
        data=data,
    )


def train(teacher: Loaded, spec: Distil, examples: Examples, folder: Path) -> tuple[TrainingOutcome, Loaded]:
    student = design_student(teacher, Design(layers=2), None, None, InMemoryReporter()).loaded
    train_context = TrainContext(folder / "checkpoints", folder / "cache", InMemoryReporter(), "student", "teacher")
    return distil(student, teacher, spec, examples, train_context), student


def shards(folder: Path) -> dict[Path, int]:
    return {f: f.stat().st_mtime_ns for f in folder.rglob("sequences-*.safetensors")}


@pytest.mark.parametrize("budget", [{"steps": 4}, {"tokens": 4 * 3 * 24 - 5}])
def test_only_what_the_budget_reads_is_stored_and_the_training_is_that_of_the_live_teacher(
    teacher: Loaded, windows: Windows, tmp_path: Path, budget: dict[str, int]
) -> None:
    live, taught = train(teacher, lesson(False, **budget), windows, tmp_path / "live")
    found, same = train(teacher, lesson(True, **budget), windows, tmp_path / "stored")
    assert (found.steps, found.tokens, found.best_step) == (live.steps, live.tokens, live.best_step) == (4, 288, 4)
    for a, b in zip(found.evaluations, live.evaluations, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4)
    for name, weight in taught.model.named_parameters():
        assert torch.allclose(same.model.get_parameter(name), weight, atol=1e-5), name
    read = json.loads(next((tmp_path / "stored").rglob("index.json")).read_text())
    numbers = [n for shard in read["shards"] for n in shard["numbers"]]
    assert len(numbers) == len(set(numbers)) == 4 + 4 * 3 and {0, 1, 2, 3} <= set(numbers), (
        "held out, then 4 steps of 3"
    )
    assert any("stored for 16 of 64 sequences" in note for note in found.notes)


def test_a_longer_budget_adds_only_what_it_reads_beyond(teacher: Loaded, windows: Windows, tmp_path: Path) -> None:
    train(teacher, lesson(True, steps=2), windows, tmp_path)
    before = shards(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    train(teacher, lesson(True, steps=5), windows, tmp_path)
    after = shards(tmp_path)
    assert {f: t for f, t in after.items() if f in before} == before and len(after) == len(before) + 1
    index = Index.model_validate_json(next(tmp_path.rglob("index.json")).read_text())
    assert [len(s.numbers) for s in index.shards] == [4 + 2 * 3, 3 * 3] and index.sequences == 64


def test_a_budget_over_several_epochs_or_in_minutes_stores_all(windows: Windows) -> None:
    order = Order(Windows(windows.ids[:10]), held_out=4, batch=3, seed=1)
    assert order.reads(TrainingBudget(steps=2)) == list(range(10)), "six are left to train on: two steps of three"
    assert (
        order.reads(TrainingBudget(minutes=0.001)) == order.reads(TrainingBudget(steps=10_000_000)) == list(range(10))
    )
    by_hand = {int(n) for step in range(1) for n in order.step(step).index}
    assert order.reads(TrainingBudget(steps=1)) == sorted({0, 1, 2, 3} | by_hand)
    ragged_order = Order(ragged(windows), held_out=2, batch=2, seed=0)
    first = ragged_order.step(0)
    assert ragged_order.reads(TrainingBudget(tokens=first.tokens)) == sorted({0, 1, *map(int, first.index)})
    more = {*map(int, first.index), *map(int, ragged_order.step(1).index)}
    assert ragged_order.reads(TrainingBudget(tokens=first.tokens + 1)) == sorted({0, 1} | more)


def test_what_cannot_be_stored_is_refused(
    teacher: Loaded, windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RetortError, match="streamed or masked"):
        store(teacher, Stream(["some text"], teacher.tokenizer, 8), tmp_path)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000}))
    with pytest.raises(RetortError, match="of disk is free"):
        store(teacher, windows, tmp_path)
