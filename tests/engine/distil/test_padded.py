"""A teacher and a student with the same tokens and outputs of different size: what fills a matrix up is in no loss."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.base.progress import InMemoryReporter
from core.engine.distil.batches import Windows
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.run import TrainContext, distil
from core.engine.distil.teacher import LiveTeacher, Teacher
from core.engine.distil.teaching import teacher_itself, teacher_of
from core.engine.models.load import Loaded
from core.engine.models.shared_tokens import shared_tokens
from core.recipe.distil import Distil, OnPolicy, TeacherCache, TeacherTexts, Term, TrainingBudget, TrainingData

TOKENS = 384
MIX = [
    Term(loss="soft_labels", parameters={"temperature": 2.0}),
    Term(loss="reverse_kl"),
    Term(loss="logit_mse"),
    Term(loss="cross_entropy"),
    Term(loss="hidden_mse"),
]


def padded(loaded: Loaded, rows: int) -> Loaded:
    """The same model with rows that no text uses, and that are likelier than any token: tied, so read as well."""
    model = copy.deepcopy(loaded.model)
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[TOKENS:] = 5.0
    return replace(loaded, model=model)


def by_hand(student: Loaded, teacher: Loaded, ids: Tensor) -> dict[str, float]:
    """Plain transformers: full logits, cut to the tokens that there are."""
    with torch.no_grad():
        s = student.model(input_ids=ids, output_hidden_states=True)
        t = teacher.model(input_ids=ids, output_hidden_states=True)
    full = s.logits[:, :-1].double().flatten(0, 1)
    mine, theirs = full[:, :TOKENS], t.logits[:, :-1].double().flatten(0, 1)[:, :TOKENS]
    p, q = (theirs / 2).softmax(-1), (mine / 2).softmax(-1)
    p1, q1 = theirs.softmax(-1), mine.softmax(-1)
    centred = (mine - mine.mean(-1, keepdim=True)) - (theirs - theirs.mean(-1, keepdim=True))
    states = (s.hidden_states[1][:, :-1] - t.hidden_states[1][:, :-1]).square()
    return {
        "soft_labels": float(4 * (p * (p / q).log()).sum(-1).mean()),
        "reverse_kl": float((q1 * (q1 / p1).log()).sum(-1).mean()),
        "logit_mse": float(centred.square().mean()),
        "cross_entropy": float(-full.log_softmax(-1).gather(1, ids[:, 1:].reshape(-1, 1)).mean()),
        "hidden_mse": float(states.mean()),
    }


def learnt(student: Loaded, voice: Teacher | None, features: FeatureTerms | None, windows: Windows) -> dict[str, float]:
    parts = [p for p in loss_terms(MIX) if features is not None or p.loss.group in ("soft", "task")]
    objective = Objective(Outputs(student.model, "causal"), voice, parts, features)
    batch = windows.take([0, 3], 0)
    student.model.zero_grad()
    return {n: float(v) for n, v in objective.backward(batch, Normalisers.of([batch])).items()}


@pytest.mark.parametrize(("rows_teacher", "rows_student"), [(400, TOKENS), (TOKENS, 400), (416, 400)])
def test_only_the_shared_tokens_are_compared(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path, rows_teacher: int, rows_student: int
) -> None:
    big, small = padded(teacher, rows_teacher), padded(student, rows_student)
    shared = shared_tokens(big.tokenizer, small.tokenizer, big.model, small.model)
    assert shared is not None and shared.count == TOKENS
    assert shared.unknown == list(range(TOKENS, rows_student))
    parts = loss_terms(MIX)
    features = FeatureTerms(small.model, big.model, parts, [(0, 0)], causal=True)
    live = LiveTeacher(Outputs(big.model, "causal", shared=shared), features.teacher, shared)
    expected = by_hand(small, big, windows.take([0, 3], 0).ids)
    assert learnt(small, live, features, windows) == pytest.approx(expected, rel=1e-4)
    features.close()

    spec = Distil(losses=tuple(p for p in MIX if p.loss in ("soft_labels", "reverse_kl", "cross_entropy")))
    stored = spec.model_copy(update={"cache": TeacherCache(k=TOKENS, precision="float32")})
    voice = teacher_of(
        small, big, stored, loss_terms(spec.losses), None, windows, "t", tmp_path, InMemoryReporter(), shared
    )
    other = replace(shared, teacher=shared.teacher.flip(0))
    teacher_of(small, big, stored, loss_terms(spec.losses), None, windows, "t", tmp_path, InMemoryReporter(), other)
    assert len(list((tmp_path / "teachers").iterdir())) == 2
    found = learnt(small, voice, None, windows)
    assert found == pytest.approx({n: expected[n] for n in found}, rel=1e-4)

    itself = teacher_itself(small, big, spec, loss_terms(spec.losses), shared)
    assert itself is not None
    batch = windows.take([0, 3], 0)
    level = itself.value(batch, Normalisers.of([batch]))
    assert float(level["soft_labels"]) == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        logits = big.model(input_ids=batch.ids).logits[:, :-1, :TOKENS].double()
    gold = -logits.log_softmax(-1).gather(2, batch.ids[:, 1:, None]).mean()
    assert float(level["cross_entropy"]) == pytest.approx(float(gold), rel=1e-4)


@pytest.mark.parametrize(("rows_teacher", "rows_student"), [(400, TOKENS), (TOKENS, 400)])
@pytest.mark.parametrize(
    "how",
    [
        {"on_policy": OnPolicy(share=1.0, prompt=8), "losses": (Term(loss="logit_kl"),)},
        {"teacher_texts": TeacherTexts(sequences=8, prompt=8), "losses": (Term(loss="cross_entropy"),)},
    ],
)
def test_what_either_writes_holds_tokens_only(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path, rows_teacher: int, rows_student: int, how: Any
) -> None:
    """The rows that fill up are the likeliest of all here, and nobody who reads the text has them."""
    spec = Distil(
        data=TrainingData(length=24),
        batch=4,
        held_out=4,
        budget=TrainingBudget(steps=2),
        **how,
    )
    context = TrainContext(folder=tmp_path / "c", cache=tmp_path, reporter=InMemoryReporter(), student="s", teacher="t")
    outcome = distil(padded(student, rows_student), padded(teacher, rows_teacher), spec, windows, context)
    assert outcome.steps == 2 and all(torch.isfinite(torch.tensor(e.value)) for e in outcome.evaluations)
