"""Perplexity and divergence against plain float64 computations written from their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
)

from core.base.progress import InMemoryReporter
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.masked import masked_positions
from core.engine.evaluate.perplexity import perplexity
from core.engine.models.chunked_head import ChunkedHead

VOCAB = 97
LLAMA_LIKE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**LLAMA_LIKE),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0
    ),
    "neox": lambda: GPTNeoXConfig(**LLAMA_LIKE),
    "gemma2": lambda: Gemma2Config(**LLAMA_LIKE, head_dim=8, num_key_value_heads=2, final_logit_softcapping=0.05),
    "mixtral": lambda: MixtralConfig(**LLAMA_LIKE, num_key_value_heads=2, num_local_experts=4),
}


def build(name: str, seed: int = 0, spread: float = 0.4) -> Any:
    """A random model with weights large enough that its predictions are far from uniform."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, spread)
    return model


def log_probabilities(model: Any, ids: torch.Tensor) -> np.ndarray:
    """(n, tokens, vocabulary) float64 from the model's own full logits."""
    with torch.no_grad():
        logits = model(input_ids=ids).logits.double().numpy()
    top = logits.max(axis=-1, keepdims=True)
    result: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    return result


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randint(0, VOCAB, (5, 20), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_perplexity_is_the_exponential_of_the_mean_loss_of_every_predicted_token(
    name: str, batch: int, windows: torch.Tensor
) -> None:
    model = build(name)
    logp = log_probabilities(model, windows)
    expected = np.zeros(5)
    for i in range(5):
        expected[i] = -sum(logp[i, t, int(windows[i, t + 1])] for t in range(19)) / 19
    ppl, loss = perplexity(model, windows, batch, InMemoryReporter())
    assert loss.samples == pytest.approx(expected, abs=2e-5)
    assert loss.value == pytest.approx(expected.mean(), abs=2e-5)
    assert ppl.value == pytest.approx(math.exp(expected.mean()), rel=5e-5)
    assert loss.settings["predicted_tokens"] == 5 * 19


def test_small_chunks_of_the_head_change_nothing(windows: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    whole = perplexity(model, windows, 3, InMemoryReporter())[1].samples
    monkeypatch.setattr("core.engine.models.chunked_head._CHUNK_BYTES", 7 * 4 * VOCAB)
    assert perplexity(model, windows, 3, InMemoryReporter())[1].samples == pytest.approx(whole, abs=1e-5)


def test_soft_capped_logits_are_not_taken_from_the_bare_head(windows: torch.Tensor) -> None:
    assert not ChunkedHead(build("gemma2"), windows).chunked
    assert ChunkedHead(build("llama"), windows).chunked


class Tokens:
    mask_token_id, cls_token_id, sep_token_id = 4, 1, 2


def compared(baseline: Any, candidates: list[Any], windows: torch.Tensor, **more: Any) -> list[dict[str, Any]]:
    """The baseline read once, then each candidate beside what was kept of it: figures by metric."""
    kept = BaselinePredictions()
    perplexity(baseline, windows, 2, InMemoryReporter(), record=kept, **more)
    found = [perplexity(c, windows, 2, InMemoryReporter(), against=kept, **more) for c in candidates]
    assert kept.left_out == ""
    return [{m.metric: m for m in figures} for figures in found]


@pytest.mark.parametrize("name", CONFIGS)
def test_divergence_is_the_kl_of_the_baseline_from_each_candidate(name: str, windows: torch.Tensor) -> None:
    """Three candidates, the last one the baseline itself: by float64 log-softmax of the models' own logits."""
    baseline, near, far = build(name, 0, 0.2), build(name, 0, 0.2), build(name, 1, 0.2)
    with torch.no_grad():
        for parameter in near.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    found = compared(baseline, [far, near, baseline], windows)
    p = log_probabilities(baseline, windows)[:, :-1]
    for model, figures in zip((far, near), found, strict=False):
        q = log_probabilities(model, windows)[:, :-1]
        kl = (np.exp(p) * (p - q)).sum(axis=-1).mean(axis=1)  # (windows,)
        same = 100.0 * (p.argmax(axis=-1) == q.argmax(axis=-1)).mean(axis=1)
        assert figures["kl_to_teacher"].samples == pytest.approx(kl, rel=2e-3, abs=2e-6)
        assert figures["kl_to_teacher"].value == pytest.approx(kl.mean(), rel=1e-3, abs=2e-6)
        assert figures["top1_agreement"].samples == pytest.approx(same)
        assert figures["top1_agreement"].value == pytest.approx(same.mean())
    assert found[0]["kl_to_teacher"].value > found[1]["kl_to_teacher"].value > 0.0
    assert (found[2]["kl_to_teacher"].value, found[2]["top1_agreement"].value) == (0.0, 100.0)
    assert found[0]["loss"].samples == perplexity(far, windows, 2, InMemoryReporter())[1].samples


def test_what_was_kept_is_the_baseline_as_it_was(windows: torch.Tensor) -> None:
    """Weight methods change the dense model in place, its output layer too."""
    model, kept = build("llama", 0, 0.2), BaselinePredictions()
    p = log_probabilities(model, windows)[:, :-1]
    perplexity(model, windows, 2, InMemoryReporter(), record=kept)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.8)
    q = log_probabilities(model, windows)[:, :-1]
    kl = perplexity(model, windows, 2, InMemoryReporter(), against=kept)[2]
    assert kl.metric == "kl_to_teacher"
    assert kl.value == pytest.approx((np.exp(p) * (p - q)).sum(axis=-1).mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_baseline_too_large_to_keep_reads_each_batch_again(
    name: str, windows: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline, candidate = build(name, 0, 0.2), build(name, 1, 0.2)
    expected = compared(baseline, [candidate], windows)[0]
    monkeypatch.setattr("core.engine.evaluate.baseline_predictions._MOST_BYTES", 4_000)
    kept = BaselinePredictions()
    perplexity(baseline, windows, 2, InMemoryReporter(), record=kept)
    assert kept.too_large
    left = perplexity(candidate, windows, 2, InMemoryReporter(), against=kept)
    assert [m.metric for m in left] == ["perplexity", "loss"] and "do not fit into memory" in kept.left_out
    kept.model = baseline
    found = {m.metric: m for m in perplexity(candidate, windows, 2, InMemoryReporter(), against=kept)}
    assert {m: f.samples for m, f in found.items()} == {m: f.samples for m, f in expected.items()}


@pytest.mark.parametrize("framed", [True, False])
def test_a_masked_model_is_scored_on_masked_tokens_only(windows: torch.Tensor, framed: bool) -> None:
    torch.manual_seed(0)
    model, other = (BertForMaskedLM(BertConfig(**{**LLAMA_LIKE, "hidden_dropout_prob": 0.0})).eval() for _ in range(2))
    if framed:
        windows = torch.cat([torch.ones(5, 1, dtype=torch.long), windows, torch.full((5, 1), 2)], dim=1)
    chosen = masked_positions(5, 20, 7) + int(framed)
    assert chosen.shape == (5, 3) and all(len(set(row.tolist())) == 3 for row in chosen)
    expected, apart = np.zeros(5), np.zeros(5)
    for i in range(5):
        ids = windows[i].clone()
        ids[chosen[i]] = 4
        logp, q = (log_probabilities(m, ids[None])[0] for m in (model, other))
        apart[i] = np.mean([(np.exp(logp[j]) * (logp[j] - q[j])).sum() for j in chosen[i].tolist()])
        expected[i] = -np.mean([logp[j, int(windows[i, j])] for j in chosen[i].tolist()])
    ppl, loss = perplexity(model, windows, 2, InMemoryReporter(), tokenizer=Tokens(), seed=7)  # type: ignore[arg-type]
    assert loss.samples == pytest.approx(expected, abs=2e-5)
    assert "pseudo-perplexity" in ppl.settings["kind"]
    found, same = compared(model, [other, model], windows, tokenizer=Tokens(), seed=7)
    assert found["kl_to_teacher"].samples == pytest.approx(apart, rel=1e-3)
    assert found["kl_to_teacher"].settings["positions"] == chosen.numel()
    assert (same["kl_to_teacher"].value, same["top1_agreement"].value) == (0.0, 100.0)
