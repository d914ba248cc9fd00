"""A sweep's trials do not depend on each other: any order, or each alone, and what plain transformers says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.data.windows import calibration_windows
from core.engine.models.computed_as import attention_of, remarks_on
from core.engine.models.load import load_model
from core.engine.pipeline import execute
from core.recipe.results import Result
from tests.engine import by_hand
from tests.engine.conftest import Memory, Study
from tests.engine.models.families import FAMILIES
from tests.jobs.tiny_study import TIMED

pytestmark = pytest.mark.slow

GRIDS: list[dict[str, Any]] = [
    {"method": "magnitude", "sparsity": [0.7]},
    {"method": "wanda", "sparsity": [0.5]},
    {"method": "sparsegpt", "sparsity": [0.5]},
    {"method": "block_influence", "target": [{"remove_layers": 1}]},
    {"method": "magnitude", "sparsity": [0.3]},
]


def figures(found: Memory) -> dict[str, dict[str, Any]]:
    """By label: every figure and its samples, but for those a clock or the machine's load decides."""
    return {
        r.label: {m.metric: (m.value, m.low, m.high, m.samples) for m in r.measurements if m.metric not in TIMED}
        for r in found.results.values()
    }


def value(result: Result, metric: str) -> float:
    return next(m.value for m in result.measurements if m.metric == metric)


def test_orders_and_trials_alone_give_the_same_and_it_is_what_plain_transformers_gives(study: Study) -> None:
    one = study.run("one", sweep={"grid": GRIDS, "keep": "all"})
    assert [t.label for t in one.trials] == [
        "Dense baseline",
        "Magnitude 70 %",
        "Wanda 50 %",
        "SparseGPT 50 %",
        "Layer removal (block influence), 1 layer removed",
        "Magnitude 30 %",
    ]
    other = study.run("other", sweep={"grid": GRIDS[::-1], "keep": "none"})
    assert [t.key for t in other.trials[1:]] == [t.key for t in one.trials[:0:-1]]
    expected = figures(one)
    assert len(expected) == 6 and figures(other) == expected
    for grid in GRIDS[1:4]:
        alone = figures(study.run(grid["method"], sweep={"grid": [grid], "keep": "none"}))
        assert len(alone) == 2 and alone == {label: expected[label] for label in alone}

    ids = by_hand.windows(study.evaluation, study.model, 1024, 64)
    dense = by_hand.loss(by_hand.model_of(study.model), ids)
    norms = by_hand.input_norms(by_hand.model_of(study.model), calibration(study))
    keeps = [None, by_hand.magnitude(0.7), by_hand.wanda(norms, 0.5), None, None, by_hand.magnitude(0.3)]
    for trial, keep in zip(one.trials, keeps, strict=True):
        result = one.results[trial.key]
        model = by_hand.model_of(study.model)
        saved = one.candidate_folder(trial.key) / "model"
        if keep is not None:
            by_hand.pruned(model, keep)
            assert by_hand.same(by_hand.weights_of(saved), dict(model.named_parameters())), trial.label
        elif not trial.dense:
            model = by_hand.model_of(saved)
        loss = by_hand.loss(model, ids)
        assert value(result, "loss") == pytest.approx(loss, rel=1e-5), trial.label
        if not trial.dense:
            assert value(result, "loss_change") == pytest.approx(loss - dense, abs=2e-5), trial.label
            assert abs(loss - dense) > 2e-5, "a study in which nothing happens shows nothing"
            kl, agreement = by_hand.apart(by_hand.model_of(study.model), model, ids)
            assert value(result, "kl_to_teacher") == pytest.approx(kl, rel=1e-3, abs=1e-6), trial.label
            assert value(result, "top1_agreement") == pytest.approx(agreement), trial.label
            assert result.baseline_key == one.trials[0].key and result.parent is None


def test_a_resumed_sweep_compares_with_the_dense_model_and_an_identical_model_is_that(study: Study) -> None:
    """The baseline is found measured already; `Magnitude 0 %` leaves every weight as it was."""
    grids: list[dict[str, Any]] = [{"method": "magnitude", "sparsity": [0.7, 0.0, 0.4]}]
    whole = study.run("one", sweep={"grid": grids, "keep": "none"})
    resumed = study.hooks("other")
    resumed.results[whole.trials[0].key] = whole.results[whole.trials[0].key]
    execute(study.recipe(sweep={"grid": grids, "keep": "none"}), resumed)
    assert resumed.started == [1, 2, 3] and figures(resumed) == figures(whole)
    much, same, little = (resumed.results[t.key] for t in resumed.trials[1:])
    assert (value(same, "kl_to_teacher"), value(same, "top1_agreement")) == (0.0, 100.0)
    assert value(much, "kl_to_teacher") > value(little, "kl_to_teacher") > 0.0
    assert not {"kl_to_teacher", "top1_agreement"} & {m.metric for m in whole.results[whole.trials[0].key].measurements}


def test_a_removed_layer_leaves_the_others_as_they_were(study: Study) -> None:
    """The trial before it zeroed weights: what is removed from is the dense model."""
    found = study.run("one", sweep={"grid": [GRIDS[0], GRIDS[3]], "keep": "structured"})
    key = found.trials[2].key
    left = by_hand.weights_of(found.candidate_folder(key) / "model")
    dense = by_hand.model_of(study.model)
    hidden = states(dense, calibration(study))
    influence = [1 - torch.cosine_similarity(a, b, dim=-1).mean() for a, b in zip(hidden, hidden[1:], strict=False)]
    gone = int(torch.stack(influence).argmin())
    assert by_hand.same(left, dict(by_hand.without_layers(dense, [gone]).named_parameters()))


def calibration(study: Study) -> torch.Tensor:
    from transformers import AutoTokenizer

    texts = study.calibration.read_text().split("\n\n")
    return calibration_windows(texts, AutoTokenizer.from_pretrained(study.model), 4, 64, seed=0)


@torch.no_grad()
def states(model: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """What goes into each block, and what the last one gives, (windows, window, hidden)."""
    seen: list[torch.Tensor] = []
    layers = model.model.layers
    handles = [b.register_forward_pre_hook(lambda m, args: seen.append(args[0].double())) for b in layers]
    handles.append(model.model.norm.register_forward_pre_hook(lambda m, args: seen.append(args[0].double())))
    model(ids)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("structured", [False, False, True]), ("all", [False, True, True]), ("none", [False, False, False])],
)
def test_what_stays_on_disk_is_what_was_asked_for(
    keep: str, kept: list[bool], study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    found = study.run("one", sweep={"grid": [GRIDS[0], GRIDS[3]], "keep": keep})
    results = [found.results[t.key] for t in found.trials]
    assert [r.saved for r in results] == kept
    assert [(found.candidate_folder(r.key) / "model" / "model.safetensors").exists() for r in results] == kept
    home = found.settings.home
    assert left_over(home) == [] and list(scratch.iterdir()) == []
    models = {p.parent.name for p in home.rglob("model")}
    assert models == {r.key for r, k in zip(results, kept, strict=True) if k}


def left_over(home: Path) -> list[Path]:
    """Files under temporary names; notes of what was saved have names of their own."""
    found = (p for p in home.rglob("*") if p.name.startswith(".") or p.suffix in (".partial", ".tmp"))
    return [p for p in found if not p.name.endswith(".sums.json")]


def test_how_attention_is_computed_is_recorded_and_the_same_for_all(study: Study) -> None:
    """transformers has no SDPA for Gemma 2, whose attention scores are capped; for a Llama it has."""
    llama = load_model(study.model, "float32").model
    assert attention_of(llama) == "sdpa" and not remarks_on(llama)
    FAMILIES["gemma2"].build().save_pretrained(study.model)
    grid = {"method": "width_norm", "target": [{"block_fraction": 0.1}]}
    dense, smaller = study.run("gemma", sweep={"grid": [grid]}).results.values()
    assert dense.facts["attention"] == smaller.facts["attention"] == "eager"
    assert any("no attention of PyTorch's own for a Gemma2ForCausalLM" in note for note in dense.notes)
