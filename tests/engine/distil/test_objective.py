"""The mix of losses as the trainer runs it: exact averages, gradients where they belong and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.engine.distil import outputs as outputs_module
from core.engine.distil.batches import Answers, Batch, Windows
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.teacher import LiveTeacher
from core.engine.models.load import Loaded
from core.recipe.distil import Term
from core.registry.losses import LOSSES

TOKEN_BY_TOKEN = [name for name, one in LOSSES.items() if not one.by_text]
EVERY = [Term(loss=name) for name in TOKEN_BY_TOKEN]
PAIRS = [(0, 0), (1, 3)]


def build(student: Loaded, teacher: Loaded, terms: list[Term]) -> Objective:
    parts = loss_terms(terms)
    features = FeatureTerms(student.model, teacher.model, parts, PAIRS, causal=True)
    live = LiveTeacher(Outputs(teacher.model, "causal"), features.teacher)
    return Objective(Outputs(student.model, "causal"), live, parts, features)


def gradients(objective: Objective, batches: list[Batch]) -> tuple[dict[str, float], dict[str, Tensor]]:
    model = objective.student.model
    model.zero_grad()
    totals = Normalisers.of(batches)
    terms: dict[str, float] = {}
    for batch in batches:
        for name, value in objective.backward(batch, totals).items():
            terms[name] = terms.get(name, 0.0) + float(value)
    return terms, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def plain(student: Loaded, teacher: Loaded, batch: Batch, temperature: float) -> Tensor:
    """Soft labels plus cross-entropy the ordinary way: full logits, one backward pass."""
    s = student.model(input_ids=batch.ids, attention_mask=batch.attended.long()).logits[:, :-1].double()
    with torch.no_grad():
        t = teacher.model(input_ids=batch.ids, attention_mask=batch.attended.long()).logits[:, :-1].double()
    counted = batch.scored[:, :-1]
    p, q = (t / temperature).softmax(-1)[counted], (s / temperature).softmax(-1)[counted]
    soft = temperature**2 * (p * (p.log() - q.log())).sum(-1).mean()
    gold = F.nll_loss(s.log_softmax(-1)[counted], batch.ids[:, 1:][counted])
    return 0.7 * soft + 0.3 * gold


def test_chunked_head_gives_the_gradient_of_the_plain_way(
    teacher: Loaded, student: Loaded, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With chunks of 5 tokens in blocks of 2, tied embeddings included."""
    monkeypatch.setattr(outputs_module, "_CHUNK_BYTES", 5 * 4 * 384)
    monkeypatch.setattr(outputs_module, "_BLOCK_BYTES", 2 * 4 * 384)
    batch = windows.take([0, 3, 5], 0)
    soft = Term(loss="soft_labels", weight=0.7, parameters={"temperature": 2.0})
    mix = [soft, Term(loss="cross_entropy", weight=0.3)]
    objective = Objective(
        Outputs(student.model, "causal"), LiveTeacher(Outputs(teacher.model, "causal")), loss_terms(mix)
    )
    assert objective.student.chunked and objective.student.chunk == 5 and objective.student.block == 2
    terms, found = gradients(objective, [batch])
    student.model.zero_grad()
    loss = plain(student, teacher, batch, 2.0)
    loss.backward()
    assert 0.7 * terms["soft_labels"] + 0.3 * terms["cross_entropy"] == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, parameter in student.model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=1e-4, atol=1e-7), name


def test_every_term_teaches_the_student_and_none_the_teacher(
    teacher: Loaded, student: Loaded, windows: Windows
) -> None:
    objective = build(student, teacher, EVERY)
    batch = windows.take([0, 1], 0)
    before = {n: p.clone() for n, p in teacher.model.named_parameters()}
    for part in objective.parts:
        student.model.zero_grad()
        objective.backward(batch, Normalisers.of([batch]), only=part.name)
        norm = torch.stack([p.grad.norm() for p in student.model.parameters() if p.grad is not None]).norm()
        assert norm > 1e-4, part.name
    for name, parameter in teacher.model.named_parameters():
        assert parameter.grad is None and torch.equal(parameter, before[name])


def test_the_mix_is_the_weighted_sum_of_its_terms(teacher: Loaded, student: Loaded, windows: Windows) -> None:
    terms = [Term(loss=name, weight=0.5 + i) for i, name in enumerate(TOKEN_BY_TOKEN)]
    objective = build(student, teacher, terms)
    batch = windows.take([4, 7], 0)
    _, mixed = gradients(objective, [batch])
    summed = {n: torch.zeros_like(g) for n, g in mixed.items()}
    for part in objective.parts:
        student.model.zero_grad()
        objective.backward(batch, Normalisers.of([batch]), only=part.name)
        for name, parameter in student.model.named_parameters():
            if parameter.grad is not None:
                summed[name] += parameter.grad
    for name, gradient in mixed.items():
        assert torch.allclose(gradient, summed[name], rtol=1e-3, atol=1e-5 * float(gradient.abs().max())), name


def ragged(windows: Windows) -> Answers:
    """Sequences of different lengths of which a different part counts."""
    rows = [(windows.ids[i][: 8 + 5 * i], torch.arange(8 + 5 * i) >= 3 + i) for i in range(4)]
    return Answers(rows, padding=0)


def test_micro_batches_add_up_to_the_batch(teacher: Loaded, student: Loaded, windows: Windows) -> None:
    """Also where they count different numbers of tokens, which a mean of means gets wrong."""
    objective = build(student, teacher, EVERY)
    whole = ragged(windows).take(range(4), 0)
    together = gradients(objective, [whole])
    for size in (1, 2, 3):
        parts = whole.split(size)
        assert len({int(p.scored.sum()) for p in parts}) > 1
        terms, found = gradients(objective, parts)
        assert terms == pytest.approx(together[0], rel=1e-5)
        for name, gradient in together[1].items():
            assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max())), name


def test_padding_changes_nothing(teacher: Loaded, student: Loaded, windows: Windows) -> None:
    objective = build(student, teacher, EVERY)
    batch = ragged(windows).take([0], 0)
    longer = {"ids": 17, "targets": -100, "attended": False, "scored": False, "positions": False}
    padded = replace(batch, **{name: F.pad(getattr(batch, name), (0, 9), value=v) for name, v in longer.items()})
    terms, found = gradients(objective, [batch])
    terms_padded, found_padded = gradients(objective, [padded])
    assert terms_padded == pytest.approx(terms, rel=1e-5)
    for name, gradient in found.items():
        assert torch.allclose(found_padded[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max())), name


def test_identical_models_have_no_distance(teacher: Loaded, windows: Windows, tiny_llama: object) -> None:
    import copy

    twin = replace(teacher, model=copy.deepcopy(teacher.model))
    terms = [t for t in EVERY if t.loss != "cross_entropy"]
    parts = loss_terms(terms)
    pairs = [(i, i) for i in range(4)]
    features = FeatureTerms(twin.model, teacher.model, parts, pairs, causal=True)
    live = LiveTeacher(Outputs(teacher.model, "causal"), features.teacher)
    objective = Objective(Outputs(twin.model, "causal"), live, parts, features)
    batch = windows.take([0, 1], 0)
    values = objective.value(batch, Normalisers.of([batch]))
    assert {n for n, v in values.items() if abs(float(v)) > 1e-5} == {"cross_entropy"}


def test_a_narrower_student_learns_through_projections(teacher: Loaded, windows: Windows) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=20,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=10,
    )
    narrow = replace(teacher, model=LlamaForCausalLM(config))
    objective = build(narrow, teacher, EVERY)
    assert objective.features is not None
    assert {n: tuple(p.weight.shape) for n, p in objective.features.projections.items()} == {
        "0": (32, 20),
        "1": (32, 20),
    }
    batch = windows.take([0, 1], 0)
    for part in objective.parts:
        narrow.model.zero_grad()
        objective.features.projections.zero_grad()
        objective.backward(batch, Normalisers.of([batch]), only=part.name)
        learned = [p.grad for p in narrow.model.parameters() if p.grad is not None]
        assert torch.stack([g.norm() for g in learned]).norm() > 1e-4, part.name
        if part.loss.kind == "states":
            assert float(objective.features.projections["1"].weight.grad.norm()) > 1e-6


def test_gradient_checkpointing_changes_no_gradient(teacher: Loaded, student: Loaded, windows: Windows) -> None:
    objective = build(student, teacher, EVERY)
    batch = windows.take([0, 1], 0)
    student.model.train()
    terms, found = gradients(objective, [batch])
    student.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    assert student.model.is_activation_checkpointing
    terms_again, found_again = gradients(objective, [batch])
    assert terms_again == pytest.approx(terms, rel=1e-6)
    for name, gradient in found.items():
        assert torch.allclose(found_again[name], gradient, rtol=1e-5, atol=1e-7), name


def test_half_precision_stays_close_and_accumulates_in_full(
    teacher: Loaded, student: Loaded, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under autocast the head's weight is rounded once and used by every chunk: none may lose its gradient."""
    monkeypatch.setattr(outputs_module, "_CHUNK_BYTES", 9 * 4 * 384)
    batch = windows.take([0, 3, 5], 0)
    found: dict[bool, dict[str, Tensor]] = {}
    for half in (False, True):
        live = LiveTeacher(Outputs(teacher.model, "causal", half=half))
        objective = Objective(Outputs(student.model, "causal", half=half), live, loss_terms([Term(loss="logit_kl")]))
        _, found[half] = gradients(objective, [batch])
    for name, exact in found[False].items():
        assert found[True][name].dtype == torch.float32
        error = (found[True][name] - exact).norm() / exact.norm()
        assert 0 < float(error) < 0.15, name
