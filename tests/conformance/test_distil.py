"""Every distillation loss against an independent implementation in float64 numpy, written from the definitions.

Nothing of the engine is used on the expected side: probabilities are plain exponentials over their sum
and every divergence is the sum over outcomes as the papers print it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.distil import divergences, features
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import chunk_losses
from core.engine.distil.teacher import LiveRows
from core.recipe.distil import Term
from core.registry.losses import JENSEN_SHANNON, LOSSES

N, V = 7, 211


def logits(seed: int, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(N, V)) + np.random.default_rng(seed).normal()


def softmax(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    e = np.exp(x / temperature - (x / temperature).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return (p * np.log(p / q)).sum(-1)


def expected(loss: str, s: np.ndarray, t: np.ndarray, gold: np.ndarray, **given: float | str) -> np.ndarray:
    """The definition of each loss on logits, per token."""
    temperature = float(given.get("temperature", 1.0))
    S, T = softmax(s, temperature), softmax(t, temperature)
    if loss == "logit_mse":
        centred = (s - s.mean(-1, keepdims=True)) - (t - t.mean(-1, keepdims=True))
        return (centred**2).mean(-1)
    if loss == "cross_entropy":
        return -np.log(S[np.arange(N), gold])
    if loss in ("soft_labels", "logit_kl"):
        plain = kl(T, S)
    elif loss == "reverse_kl":
        plain = kl(S, T)
    elif loss == "skewed_kl":
        plain = kl(T, given["skew"] * T + (1 - given["skew"]) * S)
    elif loss == "skewed_reverse_kl":
        plain = kl(S, given["skew"] * S + (1 - given["skew"]) * T)
    else:
        assert loss == "jensen_shannon"
        beta = {"forward": 0.0, "mostly_forward": 0.1, "balanced": 0.5, "mostly_reverse": 0.9, "reverse": 1.0}
        b = beta[str(given["preset"])]
        M = b * T + (1 - b) * S
        plain = (b * kl(T, M) + (1 - b) * kl(S, M)) / (b * (1 - b)) if 0 < b < 1 else kl(T, S) if b == 0 else kl(S, T)
    return temperature**2 * plain


CASES = [
    ("soft_labels", {"temperature": 1.0}),
    ("soft_labels", {"temperature": 2.0}),
    ("soft_labels", {"temperature": 7.5}),
    ("logit_kl", {}),
    ("logit_mse", {}),
    ("reverse_kl", {"temperature": 1.0}),
    ("reverse_kl", {"temperature": 3.0}),
    ("cross_entropy", {}),
    *[("jensen_shannon", {"preset": preset, "temperature": t}) for preset in JENSEN_SHANNON for t in (1.0, 2.0)],
    *[
        (loss, {"skew": k, "temperature": t})
        for loss in ("skewed_kl", "skewed_reverse_kl")
        for k in (0.0, 0.1, 0.6)
        for t in (1.0, 2.0)
    ],
]


def test_every_loss_on_logits_is_covered() -> None:
    """Here, or in a test of its own beside this one."""
    beside = "".join(p.read_text("utf-8") for p in Path(__file__).parent.glob("*.py") if p != Path(__file__))
    own = {name for name in LOSSES if f'"{name}"' in beside}
    assert {name for name, _ in CASES} >= {n for n, one in LOSSES.items() if one.group != "feature"} - own


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("loss", "given"), CASES)
def test_losses_on_logits(loss: str, given: dict[str, float | str], dtype: torch.dtype) -> None:
    """Summed over the counted tokens, through the code the trainer runs, each within 1e-6."""
    s, t = logits(1), logits(2)
    gold = np.random.default_rng(3).integers(0, V, N)
    counted = np.array([True, True, False, True, False, True, True])
    student = torch.tensor(s, dtype=dtype, requires_grad=True)
    targets = torch.tensor(np.where(counted, gold, -100))
    found = chunk_losses(
        loss_terms([Term(loss=loss, parameters=given)]),
        student,
        targets,
        torch.tensor(counted),
        LiveRows(torch.tensor(t, dtype=dtype)),
    )
    rounded = [torch.tensor(x, dtype=dtype).double().numpy() for x in (s, t)]
    want = expected(loss, *rounded, gold, **given)
    assert float(found[loss].detach()) == pytest.approx(want[counted].sum(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("loss", "given"), CASES)
def test_gradients_of_losses_on_logits(loss: str, given: dict[str, float | str]) -> None:
    """Against central differences of the float64 definition, in ten directions."""
    s, t = logits(4), logits(5)
    gold = np.random.default_rng(6).integers(0, V, N)
    student = torch.tensor(s, requires_grad=True)
    found = chunk_losses(
        loss_terms([Term(loss=loss, parameters=given)]),
        student,
        torch.tensor(gold),
        torch.ones(N, dtype=torch.bool),
        LiveRows(torch.tensor(t)),
    )
    found[loss].backward()
    rng = np.random.default_rng(7)
    for _ in range(10):
        direction = rng.normal(size=s.shape)
        step = 1e-5
        up = expected(loss, s + step * direction, t, gold, **given).sum()
        down = expected(loss, s - step * direction, t, gold, **given).sum()
        along = float((student.grad.numpy() * direction).sum())
        assert along == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-6)


def test_soft_labels_tend_to_half_the_squared_error() -> None:
    """Hinton et al. 2015, eq. 4: what fixes the scale of logit matching, and that T squared belongs there."""
    s, t = torch.tensor(logits(1)), torch.tensor(logits(2))
    temperature = 1e4
    log = divergences.log_probabilities
    soft = divergences.forward_kl(log(s, temperature), log(t, temperature)) * temperature**2
    assert torch.allclose(2 * soft, divergences.logit_mse(s, t), rtol=1e-3)


def test_presets_end_at_the_plain_divergences_and_nothing_jumps_on_the_way() -> None:
    """The printed formula gives 0 at both ends; ours tends to KL(T || S) and KL(S || T)."""
    s, t = logits(1, 1.0), logits(2, 1.0)
    S, T = (torch.tensor(np.log(softmax(x))) for x in (s, t))
    forward, reverse = kl(softmax(t), softmax(s)), kl(softmax(s), softmax(t))
    assert np.allclose(divergences.jensen_shannon(S, T, "forward"), forward, rtol=1e-9)
    assert np.allclose(divergences.jensen_shannon(S, T, "reverse"), reverse, rtol=1e-9)
    near = 1e-7
    assert np.allclose(divergences.rescaled_jensen_shannon(S, T, near), forward, rtol=1e-4)
    assert np.allclose(divergences.rescaled_jensen_shannon(S, T, 1 - near), reverse, rtol=1e-4)
    betas = np.linspace(0, 1, 201)
    curve = np.array([float(divergences.rescaled_jensen_shannon(S, T, float(b)).sum()) for b in betas])
    assert np.abs(np.diff(curve)).max() < 0.2 * (curve.max() - curve.min())


@pytest.mark.parametrize(("loss", "given"), [c for c in CASES if c[0] != "cross_entropy"])
def test_identical_models_cost_nothing(loss: str, given: dict[str, float | str]) -> None:
    same = torch.tensor(logits(1), dtype=torch.float64)
    part = loss_terms([Term(loss=loss, parameters=given)])
    found = chunk_losses(part, same, torch.zeros(N).long(), torch.ones(N, dtype=torch.bool), LiveRows(same))
    assert abs(float(found[loss])) < 1e-6


@pytest.mark.parametrize("scale", ["plain", "relative"])
def test_hidden_states(scale: str) -> None:
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(9, 33)), 4 * rng.normal(size=(9, 33))
    error = ((s - t) ** 2).sum(1) / 33
    want = error / ((t**2).sum(1) / 33) if scale == "relative" else error
    assert np.allclose(features.hidden_mse(torch.tensor(s), torch.tensor(t), scale=scale), want, rtol=1e-6)
    cosine = (s * t).sum(1) / np.sqrt((s**2).sum(1) * (t**2).sum(1))
    assert np.allclose(features.hidden_cosine(torch.tensor(s), torch.tensor(t)), 1 - cosine, rtol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_relations(causal: bool) -> None:
    """MiniLMv2: softmax(A A^T / sqrt(d)) row by row over what may be seen, KL of the teacher's from the student's."""
    rng = np.random.default_rng(1)
    batch, heads, length, d_s, d_t = 2, 3, 6, 4, 8
    s, t = rng.normal(size=(batch, heads, length, d_s)), rng.normal(size=(batch, heads, length, d_t))
    attended = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], bool)
    want = np.zeros((batch, length))
    for b in range(batch):
        for i in range(length):
            seen = [j for j in range(length) if attended[b, j] and attended[b, i] and (j <= i or not causal)]
            if not seen:
                continue
            for h in range(heads):
                p = softmax(np.array([[t[b, h, i] @ t[b, h, j] / np.sqrt(d_t) for j in seen]]))
                q = softmax(np.array([[s[b, h, i] @ s[b, h, j] / np.sqrt(d_s) for j in seen]]))
                want[b, i] += kl(p, q)[0] / heads
    allowed = features.seen_positions(torch.tensor(attended), causal)
    found = features.relation_kl(torch.tensor(s), torch.tensor(t), allowed)
    assert np.allclose(found, want, rtol=1e-6, atol=1e-12)


def test_relation_heads_split_the_width_in_order() -> None:
    vectors = torch.arange(2 * 3 * 8).view(2, 3, 8)
    split = features.relation_heads(vectors, 4)
    assert split.shape == (2, 4, 3, 2)
    assert torch.equal(split[1, 2, 0], vectors[1, 0, 4:6])
