"""Weight pruning of a real model: the published procedure written out again, and the published orderings.

The reference goes through the layers of SmolLM2 by hand and uses nothing of the engine. What enters a layer is what
the engine's own pruned layers before it give: two ways that round differently would otherwise part for good at the
first weight whose rank is a matter of the last bit, and a few layers later be two different models of the same worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.data.corpora import load_texts
from core.engine.data.windows import calibration_windows, evaluation_windows
from core.engine.models.load import load_model
from core.engine.models.matrices import prunable
from core.engine.prune.apply import prune_weights, restore_dense
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.statistics import Statistics, collect, weight_observers
from core.recipe.recipe import Corpus, Prune

pytestmark = [pytest.mark.sample, pytest.mark.slow, pytest.mark.long]
SPARSITY = 0.5
PRUNED = (0, 9, 19, 29)  # of the 30 layers; all of them take minutes


class Subject:
    """SmolLM2, calibration windows, and text to judge it on."""

    def __init__(self, settings: Settings, dtype: str, windows: tuple[int, int], tokens: int) -> None:
        self.folder = settings.samples / "smollm2-135m"
        loaded = load_model(self.folder, dtype)
        assert isinstance(loaded.model, LlamaForCausalLM)
        self.model = loaded.model
        texts = load_texts(Corpus(split="calibration"), settings, LOCAL)
        self.windows = calibration_windows(texts, loaded.tokenizer, *windows, 0)  # (sequences, length)
        held_out = load_texts(Corpus(split="evaluation"), settings, LOCAL)
        self.evaluation = evaluation_windows(held_out, loaded.tokenizer, tokens, 256)  # (tokens / 256, 256)

    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood over all predicted tokens, then dense weights again."""
        total = 0.0
        with torch.inference_mode():
            for ids in self.evaluation.split(4):
                logits = self.model(ids, use_cache=False).logits[:, :-1].float()
                total += float(nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))
        restore_dense(self.model, self.folder)
        return math.exp(total / self.evaluation[:, 1:].numel())


@pytest.fixture(scope="module")
def exact(sample_home: Settings) -> Subject:
    """In float32, on few tokens."""
    return Subject(sample_home, "float32", (6, 128), 1024)


@pytest.fixture(scope="module")
def subject(sample_home: Settings) -> Subject:
    """As the product computes it, on more tokens than a matrix has inputs."""
    return Subject(sample_home, "auto", (16, 256), 4096)


@pytest.fixture(scope="module")
def statistics(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    """Of the dense model, as the joint mode uses them."""
    observers = weight_observers(subject.model, {"hessian"}, InMemoryReporter())
    return collect(
        subject.model, subject.windows, observers, InMemoryReporter(), folder=tmp_path_factory.mktemp("statistics")
    )


def linears(block: nn.Module) -> Iterator[nn.Linear]:
    yield from (m for m in block.modules() if isinstance(m, nn.Linear))


def inputs_of(block: nn.Module, hidden: Tensor, arguments: dict[str, Any]) -> dict[nn.Linear, Tensor]:
    """What each matrix of a block sees, (sequences, length, in)."""
    seen: dict[nn.Linear, Tensor] = {}
    handles = [m.register_forward_pre_hook(lambda m, args: seen.update({m: args[0]})) for m in linears(block)]
    block(hidden, **arguments)
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def published(subject: Subject, done: dict[str, Tensor], rule: Any) -> None:
    """Each layer of `PRUNED` is pruned by what its matrices see once the layers before it are those in `done`."""
    model, first = subject.model, dict[str, Any]()

    def catch(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        first.update(kwargs, hidden=args[0])
        raise StopIteration

    handle = model.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    with pytest.raises(StopIteration):
        model(subject.windows, use_cache=False)
    handle.remove()
    hidden = first.pop("hidden")  # (sequences, length, hidden)
    for index in range(PRUNED[-1] + 1):
        block = model.model.layers[index]
        if index not in PRUNED:
            hidden = block(hidden, **first)
            continue
        seen = inputs_of(block, hidden, first)
        found = {m: rule(m.weight, seen[m]) for m in linears(block)}
        block.load_state_dict({n.split(".", 1)[1]: w for n, w in done.items() if n.startswith(f"{index}.")})
        hidden = block(hidden, **first)
        for m, weight in found.items():
            m.weight.copy_(weight)


def wanda(weight: Tensor, x: Tensor) -> Tensor:
    """The int(in * s) lowest |W_ij| * sqrt(mean over sequences of the sum over tokens of x_j^2) of each row go."""
    norms = x.square().sum(dim=1).mean(dim=0).sqrt()  # (in,)
    order = (weight.abs() * norms).argsort(dim=1, stable=True)
    return weight.scatter(1, order[:, : int(weight.shape[1] * SPARSITY)], 0.0)


def sparse_gpt(weight: Tensor, x: Tensor) -> Tensor:
    """Frantar & Alistarh, algorithm 1, in float64: blocks of 128 columns, damping 0.01 of the mean diagonal."""
    w, flat = weight.double(), x.flatten(0, 1).double()  # (out, in), (tokens, in)
    h = 2 / len(x) * flat.T @ flat
    h += 0.01 * h.diagonal().mean() * torch.eye(len(h))
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    for start in range(0, w.shape[1], 128):
        end = min(start + 128, w.shape[1])
        scores = (w[:, start:end] / u.diagonal()[start:end]) ** 2
        gone = torch.zeros(scores.numel(), dtype=torch.bool)
        gone[scores.flatten().argsort(stable=True)[: int(scores.numel() * SPARSITY)]] = True
        gone = gone.view_as(scores)
        errors = torch.zeros_like(scores)  # (out, columns of the block)
        for j in range(start, end):
            errors[:, j - start] = torch.where(gone[:, j - start], w[:, j], 0.0) / u[j, j]
            w[:, j:end] -= errors[:, j - start, None] * u[j, j:end]
            w[gone[:, j - start], j] = 0
        w[:, end:] -= errors @ u[start:end, end:]
    return w.float()


@pytest.mark.parametrize(
    ("method", "rule", "near", "gap"), [("wanda", wanda, 1e-4, 1e-3), ("sparsegpt", sparse_gpt, 1e-3, 5e-3)]
)
def test_the_sequential_mode_agrees_with_the_published_procedure(
    exact: Subject, method: str, rule: Any, near: float, gap: float
) -> None:
    """Masks but for a share `near` of the zeros, whose ranks are too close for float32, and perplexity but for `gap`.

    SparseGPT inverts a Hessian that has fewer tokens than inputs here: the reference does so in float64.
    """
    protect = tuple(i for i in range(30) if i not in PRUNED)
    prune = Prune(method=method, sparsity=SPARSITY, mode="sequential", protect=protect)
    prune_sequential(exact.model, prune, exact.windows, InMemoryReporter())
    layers = exact.model.model.layers
    done = {name: tensor.clone() for name, tensor in layers.state_dict().items()}
    found = exact.perplexity()
    published(exact, done, rule)
    different = sum(int(((done[name] == 0) != (tensor == 0)).sum()) for name, tensor in layers.state_dict().items())
    zeroed = sum(int((done[name] == 0).sum()) for name in done)
    assert different < near * zeroed
    assert found == pytest.approx(exact.perplexity(), rel=gap)


def pruned(subject: Subject, statistics: Statistics, prune: Prune) -> float:
    prune_weights(subject.model, prune, statistics, InMemoryReporter())
    return subject.perplexity()


def test_at_half_the_weights_sparsegpt_beats_wanda_beats_magnitude(subject: Subject, statistics: Statistics) -> None:
    found = [
        pruned(subject, statistics, Prune(method=m, sparsity=SPARSITY)) for m in ("sparsegpt", "wanda", "magnitude")
    ]
    assert found == sorted(found) and found[0] > subject.perplexity(), found


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_two_of_four_everywhere(subject: Subject, statistics: Statistics, method: str) -> None:
    prune_weights(subject.model, Prune(method=method, pattern="2:4"), statistics, InMemoryReporter())
    for m in prunable(subject.model):
        zeros = (m.read() == 0).view(m.shape[0], -1, 4).sum(dim=2)
        assert bool((zeros >= 2).all()) and float((zeros == 2).float().mean()) > 0.999, m.name
    restore_dense(subject.model, subject.folder)
