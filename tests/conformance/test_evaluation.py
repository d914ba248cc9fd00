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
from core.engine.evaluate.divergence import token_divergence
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


def test_divergence_is_the_kl_of_the_baseline_from_the_candidate(windows: torch.Tensor) -> None:
    baseline, candidate = build("llama", 0, 0.2), build("llama", 1, 0.2)
    p, q = log_probabilities(baseline, windows)[:, :-1], log_probabilities(candidate, windows)[:, :-1]
    found = token_divergence(candidate, baseline, windows, 2, InMemoryReporter())
    assert found.kl.numpy() == pytest.approx((np.exp(p) * (p - q)).sum(axis=-1), abs=2e-5)
    assert (found.agree.numpy() == (p.argmax(axis=-1) == q.argmax(axis=-1))).all()


@pytest.mark.parametrize("framed", [True, False])
def test_a_masked_model_is_scored_on_masked_tokens_only(windows: torch.Tensor, framed: bool) -> None:
    class Tokens:
        mask_token_id, cls_token_id, sep_token_id = 4, 1, 2

    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**{**LLAMA_LIKE, "hidden_dropout_prob": 0.0})).eval()
    if framed:
        windows = torch.cat([torch.ones(5, 1, dtype=torch.long), windows, torch.full((5, 1), 2)], dim=1)
    chosen = masked_positions(5, 20, 7) + int(framed)
    assert chosen.shape == (5, 3) and all(len(set(row.tolist())) == 3 for row in chosen)
    expected = np.zeros(5)
    for i in range(5):
        ids = windows[i].clone()
        ids[chosen[i]] = 4
        logp = log_probabilities(model, ids[None])[0]
        expected[i] = -np.mean([logp[j, int(windows[i, j])] for j in chosen[i].tolist()])
    ppl, loss = perplexity(model, windows, 2, InMemoryReporter(), tokenizer=Tokens(), seed=7)  # type: ignore[arg-type]
    assert loss.samples == pytest.approx(expected, abs=2e-5)
    assert "pseudo-perplexity" in ppl.settings["kind"]
