"""Perplexity and its comparisons: settings, refusals, pairing."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
)

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.paired_loss import loss_change
from core.engine.evaluate.perplexity import perplexity, safe_exp
from core.registry.formatting import show
from core.registry.metrics import METRICS


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randint(0, 384, (6, 32), generator=torch.Generator().manual_seed(0))


def test_the_figures_say_how_they_were_obtained(model: Any, windows: torch.Tensor) -> None:
    ppl, loss = perplexity(
        model, windows, 4, InMemoryReporter(), settings={"corpus": "sample:wiki", "split": "evaluation"}
    )
    assert (ppl.metric, loss.metric, loss.unit, loss.dtype, loss.device) == (
        "perplexity",
        "loss",
        "nats",
        "float32",
        "cpu",
    )
    assert loss.settings["corpus"] == "sample:wiki" and loss.settings["window"] == 32
    assert loss.low is not None and loss.high is not None and loss.low < loss.value < loss.high
    assert ppl.samples == loss.samples and len(loss.samples or []) == 6


def test_the_bounds_of_perplexity_are_those_of_the_windows_losses_as_perplexities(model: Any) -> None:
    """Window i repeats one token from place 4 i on, so windows differ. Student's interval, by plain transformers."""
    ids = torch.randint(0, 384, (8, 33), generator=torch.Generator().manual_seed(3))
    for at, row in enumerate(ids):
        row[4 * at :] = row[0]
    with torch.no_grad():
        losses = [float(model(row[None], labels=row[None]).loss) for row in ids]
    mean, deviation = statistics.mean(losses), statistics.stdev(losses)
    half = 2.364624 * deviation / math.sqrt(8)  # Student's t at 97.5 % with 7 degrees of freedom
    ppl, loss = perplexity(model, ids, 3, InMemoryReporter())
    assert (loss.value, ppl.value) == (pytest.approx(mean, rel=1e-5), pytest.approx(math.exp(mean), rel=1e-5))
    for found, bound in ((loss.low, mean - half), (loss.high, mean + half)):
        assert found == pytest.approx(bound, abs=0.12 * half)
    for found, bound in ((ppl.low, math.exp(mean - half)), (ppl.high, math.exp(mean + half))):
        assert found == pytest.approx(bound, abs=0.12 * half * ppl.value)
    assert (ppl.low, ppl.high) == (pytest.approx(math.exp(loss.low or 0)), pytest.approx(math.exp(loss.high or 0)))


def test_one_window_has_no_interval(model: Any, windows: torch.Tensor) -> None:
    assert perplexity(model, windows[:1], 4, InMemoryReporter())[1].low is None


def test_logits_that_are_not_numbers_are_refused(model: Any, windows: torch.Tensor) -> None:
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(RetortError, match="not numbers"):
        perplexity(model, windows, 4, InMemoryReporter())


def test_a_huge_loss_is_still_a_finite_perplexity(model: Any, windows: torch.Tensor) -> None:
    with torch.no_grad():
        model.model.norm.weight.mul_(1e5)
    ppl, loss = perplexity(model, windows, 4, InMemoryReporter())
    assert loss.value > 800 and ppl.value < float("inf")


def test_models_that_predict_no_tokens_are_refused() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ids = torch.ones(2, 8, dtype=torch.long)
    with pytest.raises(RetortError, match="BertModel is not a language model"):
        perplexity(BertModel(BertConfig(vocab_size=40, **sizes)), ids, 1, InMemoryReporter())
    with pytest.raises(RetortError, match="mask token"):
        perplexity(BertForMaskedLM(BertConfig(vocab_size=40, **sizes)), ids, 1, InMemoryReporter())


def test_no_window_is_refused(model: Any) -> None:
    with pytest.raises(RetortError, match="no full window"):
        perplexity(model, torch.empty(0, 32, dtype=torch.long), 4, InMemoryReporter())


def test_a_stop_is_heard_between_batches(model: Any, windows: torch.Tensor) -> None:
    class Stop(InMemoryReporter):
        def checkpoint(self) -> None:
            if len(self.messages) == 2:
                raise Cancelled

    reporter = Stop()
    with pytest.raises(Cancelled):
        perplexity(model, windows, 1, reporter)
    assert len(reporter.messages) == 2


def test_loss_change_is_paired(model: Any, windows: torch.Tensor) -> None:
    base = perplexity(model, windows, 4, InMemoryReporter())[1]
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    cand = perplexity(model, windows, 2, InMemoryReporter())[1]
    change = loss_change(cand, base)
    assert change.metric == "loss_change" and change.value == pytest.approx(cand.value - base.value)
    assert change.samples == pytest.approx([a - b for a, b in zip(cand.samples or [], base.samples or [], strict=True)])
    assert change.high - change.low < (cand.high or 0) - (cand.low or 0) + (base.high or 0) - (base.low or 0)  # type: ignore[operator]
    same = loss_change(base, base)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_loss_change_refuses_other_windows(model: Any, windows: torch.Tensor) -> None:
    base = perplexity(model, windows, 4, InMemoryReporter(), settings={"corpus": "sample:wiki"})[1]
    for other in (
        perplexity(model, windows[:5], 4, InMemoryReporter(), settings={"corpus": "sample:wiki"})[1],
        perplexity(model, windows, 4, InMemoryReporter(), settings={"corpus": "path:/other.txt"})[1],
    ):
        with pytest.raises(RetortError, match="same windows"):
            loss_change(other, base)


@pytest.fixture
def kept(model: Any, windows: torch.Tensor) -> BaselinePredictions:
    found = BaselinePredictions()
    perplexity(model, windows, 4, InMemoryReporter(), record=found)
    return found


def figures(model: Any, windows: torch.Tensor, kept: BaselinePredictions) -> list[str]:
    return [m.metric for m in perplexity(model, windows, 4, InMemoryReporter(), against=kept)]


def test_a_model_does_not_diverge_from_itself(model: Any, windows: torch.Tensor, kept: BaselinePredictions) -> None:
    kl, agreement = perplexity(model, windows, 4, InMemoryReporter(), against=kept)[2:]
    assert (kl.value, kl.low, kl.high) == (0.0, 0.0, 0.0) and agreement.value == 100.0
    assert (kl.unit, agreement.unit) == ("nats", "%") and {kl.metric, agreement.metric} <= METRICS.keys()
    assert kl.settings["direction"] == "KL(baseline || candidate)" and kl.settings["positions"] == 6 * 31
    assert "mean of each window" in kl.settings["samples"] and len(kl.samples or []) == 6


def test_what_cannot_be_compared_is_left_out_with_the_reason(
    model: Any, windows: torch.Tensor, kept: BaselinePredictions, tiny_llama: Path
) -> None:
    other = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    other.resize_token_embeddings(400)
    assert figures(other, windows, kept) == ["perplexity", "loss"]
    assert kept.left_out == "its vocabulary has 400 tokens and the original's 384"
    assert figures(model, windows[:5], kept) == ["perplexity", "loss"] and "other tokens" in kept.left_out
    assert figures(model, windows, BaselinePredictions()) == ["perplexity", "loss"]
    assert figures(model, windows, kept)[2:] == ["kl_to_teacher", "top1_agreement"] and kept.left_out == ""


def test_a_baseline_that_was_read_in_part_is_none(model: Any, windows: torch.Tensor) -> None:
    class Stop(InMemoryReporter):
        def checkpoint(self) -> None:
            if len(self.messages) == 2:
                raise Cancelled

    half = BaselinePredictions()
    with pytest.raises(Cancelled):
        perplexity(model, windows, 1, Stop(), record=half)
    assert figures(model, windows, half) == ["perplexity", "loss"] and half.left_out


def test_an_infinite_divergence_is_no_figure(model: Any, windows: torch.Tensor, kept: BaselinePredictions) -> None:
    """A token that no text holds, which the candidate rules out altogether."""
    unused = next(i for i in range(384) if i not in set(windows.flatten().tolist()))
    bias = torch.zeros(384)
    bias[unused] = float("-inf")
    model.lm_head.bias = torch.nn.Parameter(bias)
    assert (
        figures(model, windows, kept) == ["perplexity", "loss", "top1_agreement"] and "no probability" in kept.left_out
    )


def test_beyond_what_a_number_holds_models_are_told_apart_by_their_loss() -> None:
    """exp(loss) up to 1e300, then still growing, so that the worse model stays the worse on every chart."""
    assert safe_exp(3.5) == math.exp(3.5) and safe_exp(690.0) == math.exp(690.0)
    losses = [690.7, 690.8, 695.0, 709.0, 710.0, 4_000.0, 1e6, 1e9]
    values = [safe_exp(loss) for loss in losses]
    assert values == sorted(values) and len(set(values[:-1])) == len(losses) - 1 and all(map(math.isfinite, values))
    assert show("perplexity", safe_exp(4_000.0)) == show("perplexity", safe_exp(710.0)) == "over 1e300"
    assert show("perplexity", safe_exp(690.0)) == "4.605e+299" and show("loss", 4_000.0) == "4,000 nats"


def test_a_ruined_model_is_measured_and_shown(model: Any, windows: torch.Tensor) -> None:
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight * 1e5)
    ppl, loss = perplexity(model, windows, 4, InMemoryReporter())
    assert loss.value > 1_000 and show(ppl.metric, ppl.value) == "over 1e300" and ppl.value < math.inf
