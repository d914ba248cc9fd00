"""What a pruning of a run looked at: the dense model, the pruned blocks before it or an earlier step; by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.engine.pipeline import execute
from core.engine.run import sensitivity
from tests.engine import by_hand
from tests.engine.conftest import Memory, Study
from tests.engine.test_steps import results, saved
from tests.engine.test_sweep import calibration

pytestmark = pytest.mark.slow

WANDA: dict[str, Any] = {"step": "prune", "method": "wanda", "sparsity": 0.6}


@pytest.fixture
def two(study: Study, tmp_path: Path) -> Study:
    """The study over the first two blocks of its model."""
    folder = Path(shutil.copytree(study.model, tmp_path.resolve() / "two"))
    by_hand.without_layers(by_hand.model_of(study.model), [2, 3]).save_pretrained(folder)
    return replace(study, model=folder)


def block_of(name: str) -> int:
    return int(name.split(".")[2])


def joint(model: Any, ids: Tensor, shares: list[float]) -> Any:
    """Every matrix by the norms of the model as it came."""
    norms = by_hand.input_norms(model, ids)
    return by_hand.pruned(model, lambda name, w: by_hand.wanda(norms, shares[block_of(name)])(name, w))


def sequential(model: Any, ids: Tensor, shares: list[float]) -> Any:
    """Block after block, each by the norms it sees once those before it are pruned. Sun et al. 2023, algorithm 1."""
    for block, share in enumerate(shares):
        norms = by_hand.input_norms(model, ids)
        keep = by_hand.wanda(norms, share)
        by_hand.pruned(model, lambda name, w, b=block, k=keep: k(name, w) if block_of(name) == b else w)
    return model


def parameters(model: Any) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[int]:
    """Blocks in which other weights are zero."""
    return {block_of(n) for n in a if n.startswith("model.layers") and not torch.equal(a[n] == 0, b[n] == 0)}


def test_joint_and_sequential_are_the_published_two_ways(two: Study) -> None:
    """In one sweep, the joint trial after the sequential one; and as a step."""
    grid = [{"method": "wanda", "sparsity": [0.6], "mode": mode} for mode in ("sequential", "joint")]
    found = two.run("one", sweep={"grid": grid, "keep": "all"})
    ids = calibration(two)
    in_turn, at_once = (f(by_hand.model_of(two.model), ids, [0.6, 0.6]) for f in (sequential, joint))
    assert differing(parameters(in_turn), parameters(at_once)) == {1}, "the first block sees the same either way"
    assert by_hand.same(saved(found, 1), parameters(in_turn))
    assert by_hand.same(saved(found, 2), parameters(at_once))
    assert [r.facts["mode"] for r in results(found)[1:]] == ["sequential", "joint"]
    step = two.run("other", steps=[{**WANDA, "mode": "sequential"}])
    assert by_hand.same(saved(step, 1), parameters(in_turn))


def test_a_later_step_looks_at_what_the_steps_before_left(two: Study) -> None:
    found = two.run("one", steps=[{"step": "prune", "method": "magnitude", "sparsity": 0.5}, WANDA])
    ids = calibration(two)
    model = by_hand.pruned(by_hand.model_of(two.model), by_hand.magnitude(0.5))
    dense = by_hand.input_norms(by_hand.model_of(two.model), ids)
    wrong = by_hand.pruned(
        by_hand.model_of(found.candidate_folder(found.trials[1].key) / "model"), by_hand.wanda(dense, 0.6)
    )
    joint(model, ids, [0.6, 0.6])
    assert by_hand.same(saved(found, 2), parameters(model))
    assert not by_hand.same(saved(found, 2), parameters(wrong)), "by the dense model's inputs it would be another"


@pytest.mark.parametrize("mode", ["joint", "sequential"])
def test_owl_spreads_by_the_dense_model_and_prunes_by_the_mode(mode: str, two: Study) -> None:
    """Yin et al. 2023: D_l, the share of a layer's |W_ij| ||X_j|| above 5 times their mean, moves its sparsity."""
    found = two.run("one", steps=[{**WANDA, "mode": mode, "allocation": "owl"}])
    ids, model = calibration(two), by_hand.model_of(two.model)
    norms = by_hand.input_norms(model, ids)
    scores: dict[int, list[Tensor]] = {0: [], 1: []}
    for name, layer in by_hand.matrices(model).items():
        scores[block_of(name)].append((layer.weight.detach().abs() * norms[name]).double().flatten())
    layers = [torch.cat(scores[i]) for i in (0, 1)]
    outliers = [float((s > 5 * s.mean()).double().mean()) for s in layers]
    assert outliers[0] != outliers[1]
    scaled = [(d - min(outliers)) / (max(outliers) - min(outliers)) * 0.16 for d in outliers]
    shares = [1 - (d - 0.08 + 0.4) for d in scaled]
    told = results(found)[1].facts["sparsity_by_layer"]
    assert [told["0"], told["1"]] == pytest.approx(shares) and sum(shares) == pytest.approx(1.2)
    by_mode = (joint if mode == "joint" else sequential)(model, ids, [told["0"], told["1"]])
    assert by_hand.same(saved(found, 1), parameters(by_mode))


def test_sparsegpt_asked_for_less_than_is_zero_already_changes_nothing(study: Study) -> None:
    """60 % are zero; 30 % more is not what was asked for, and no weight comes back."""
    sparse = {"step": "prune", "method": "magnitude", "sparsity": 0.6}
    found = study.run("one", steps=[sparse, {"step": "prune", "method": "sparsegpt", "sparsity": 0.3}])
    before, after = saved(found, 1), saved(found, 2)
    assert by_hand.same(before, after)
    result = results(found)[2]
    zeros = sum(int((after[f"{n}.weight"] == 0).sum()) for n in by_hand.matrices(by_hand.model_of(study.model)))
    assert result.facts["zeros_before"] == zeros
    assert result.facts["nominal_sparsity"] == 0.3
    assert (
        result.facts["sparsity_pruned"] == zeros / result.facts["prunable_parameters"] == pytest.approx(0.6, abs=0.01)
    )
    assert result.notes[0] == "60.0 % of the weights were zero before pruning; they stayed zero and count as pruned."
    assert result.parent == found.trials[1].key


def test_a_measured_sensitivity_counts_for_the_model_it_was_measured_on(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured at 40 % and 70 %, asked for 50 % and moved by 10 %: the two layers whose loss rises least get 60 %."""
    monkeypatch.setattr(sensitivity, "_REPEATS", 2)
    hooks = study.hooks("one")
    grid = [{"method": "magnitude", "sparsity": [0.5], "allocation": "sensitivity"}]
    of = study.recipe(sweep={"grid": grid, "keep": "all"})
    spec = SensitivitySpec(
        model=of.model,
        method="magnitude",
        sparsities=(0.7, 0.4),
        dtype="float32",
        parts=False,
        removed="nothing",
        calibration=of.calibration,
        evaluation=of.evaluation,
    )
    sensitivity.measure_sensitivity(spec, hooks)
    execute(of, hooks)

    ids = by_hand.windows(study.evaluation, study.model, 1024, 64)

    def rise(block: int) -> float:
        low, high = (by_hand.loss(only(study, block, share), ids) for share in (0.4, 0.7))
        return high - low

    rises = [rise(block) for block in range(4)]
    shares = [0.6 if i in sorted(range(4), key=rises.__getitem__)[:2] else 0.4 for i in range(4)]
    told = results(hooks)[1].facts["sparsity_by_layer"]
    assert [told[str(i)] for i in range(4)] == pytest.approx(shares)
    model = by_hand.pruned(
        by_hand.model_of(study.model), lambda name, w: by_hand.magnitude(told[str(block_of(name))])(name, w)
    )
    assert by_hand.same(saved(hooks, 1), parameters(model))

    step = {"step": "prune", "method": "magnitude", "sparsity": 0.5, "allocation": "sensitivity"}
    later = Memory(hooks.settings)
    with pytest.raises(RetortError, match="not measured with Magnitude up to 50 %"):
        execute(study.recipe(steps=[{"step": "prune", "method": "magnitude", "sparsity": 0.2}, step]), later)
    assert len(later.results) == 2, "the first step was done, and its model is another"


def only(study: Study, block: int, share: float) -> Any:
    """The dense model with one block pruned."""
    keep = by_hand.magnitude(share)
    return by_hand.pruned(
        by_hand.model_of(study.model), lambda name, w: keep(name, w) if block_of(name) == block else w
    )
