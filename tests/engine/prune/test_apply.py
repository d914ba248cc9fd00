"""Pruning whole models in place: counts, reports, protection, and back to dense."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.matrices import Matrix, prunable
from core.engine.prune.apply import prune_weights, restore_dense
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.statistics import Statistics, collect, weight_observers
from core.recipe.recipe import Prune
from tests.engine.prune.tiny import FAMILIES, tiny, windows


def calibrate(model: nn.Module, folder: Path) -> Statistics:
    reporter = InMemoryReporter()
    return collect(model, windows(), weight_observers(model, {"hessian"}, reporter), reporter, folder=folder)


def zeros(matrix: Matrix) -> int:
    return int((matrix.stored == 0).sum())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random"])
def test_exact_counts_in_every_family(name: str, method: str, tmp_path: Path) -> None:
    model = tiny(name)
    statistics = calibrate(model, tmp_path)
    others = {n: p.detach().clone() for n, p in model.named_parameters()}
    report = prune_weights(model, Prune(method=method, sparsity=0.3), statistics, InMemoryReporter())
    for m in prunable(model):
        out, columns = m.shape
        if method == "magnitude":
            expected = int(out * columns * 0.3)
        elif method == "sparsegpt":
            expected = sum(int(out * min(128, columns - c) * 0.3) for c in range(0, columns, 128))
        else:
            expected = out * int(columns * 0.3)
        assert zeros(m) == expected, m.name
    held = {id(getattr(m.module, m.parameter)) for m in prunable(model)}
    for n, p in model.named_parameters():
        if id(p) not in held:
            assert torch.equal(p, others[n]), n
    nonzero = sum(int((p != 0).sum()) for p in model.parameters())
    assert report.facts["nonzero_parameters"] == nonzero
    assert report.facts["nominal_sparsity"] == 0.3
    assert report.facts["sparsity_pruned"] == pytest.approx(0.3, abs=0.02)
    assert report.facts["sparsity_model"] == pytest.approx(1 - nonzero / report.facts["parameters"])


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_two_of_four_is_exact_in_every_group(name: str, method: str, tmp_path: Path) -> None:
    model = tiny(name)
    prune_weights(model, Prune(method=method, pattern="2:4"), calibrate(model, tmp_path), InMemoryReporter())
    for m in prunable(model):
        groups = (m.stored.reshape(-1, 4) == 0) if not m.transposed else (m.read().reshape(-1, 4) == 0)
        assert (groups.sum(dim=1) == 2).all(), m.name


@pytest.mark.parametrize("method", ["magnitude", "sparsegpt"])
def test_columns_left_over_stay_dense_and_are_reported(method: str, tmp_path: Path) -> None:
    model = tiny("llama")  # 32 and 48 inputs: 2 and 3 are left over by groups of 5
    report = prune_weights(model, Prune(method=method, pattern="2:5"), calibrate(model, tmp_path), InMemoryReporter())
    for m in prunable(model):
        left = m.shape[1] % 5
        assert left and (m.stored[:, -left:] != 0).all()
        assert ((m.stored[:, :-left].reshape(-1, 5) == 0).sum(dim=1) == 3).all()
    assert any("last 2 input columns of self_attn.q_proj stayed dense" in n for n in report.notes)
    assert any("last 3 input columns of mlp.down_proj stayed dense" in n for n in report.notes)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random"])
def test_zero_sparsity_changes_no_bit(method: str, tmp_path: Path) -> None:
    model = tiny("llama").to(torch.bfloat16)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    prune_weights(model, Prune(method=method, sparsity=0.0), calibrate(model, tmp_path), InMemoryReporter())
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random"])
def test_zeros_stay_zero_and_are_said(method: str, tmp_path: Path) -> None:
    model = tiny("llama")
    prune_weights(model, Prune(method="random", sparsity=0.4), None, InMemoryReporter())
    gone = {m.name: m.stored == 0 for m in prunable(model)}
    report = prune_weights(model, Prune(method=method, sparsity=0.2), calibrate(model, tmp_path), InMemoryReporter())
    for m in prunable(model):
        assert torch.equal(m.stored == 0, gone[m.name]), m.name
    assert any("were zero before pruning" in n for n in report.notes)


def test_protected_layers_stay_dense() -> None:
    model = tiny("llama")
    report = prune_weights(model, Prune(method="magnitude", sparsity=0.5, protect=(0, 2)), None, InMemoryReporter())
    assert [zeros(m) > 0 for m in prunable(model)] == [m.block_index == 1 for m in prunable(model)]
    assert report.facts["sparsity_by_matrix"]["1"]["mlp.up_proj"] == 0.5
    assert report.facts["sparsity_by_matrix"]["0"]["mlp.up_proj"] == 0
    with pytest.raises(RetortError, match="no layer 7"):
        prune_weights(model, Prune(method="magnitude", sparsity=0.5, protect=(7,)), None, InMemoryReporter())
    with pytest.raises(RetortError, match="Every layer is protected"):
        prune_weights(model, Prune(method="magnitude", sparsity=0.5, protect=(0, 1, 2)), None, InMemoryReporter())


def test_calibrated_methods_ask_for_statistics() -> None:
    with pytest.raises(RetortError, match="needs calibration statistics"):
        prune_weights(tiny("llama"), Prune(method="wanda", sparsity=0.5), None, InMemoryReporter())


def test_random_depends_on_the_seed_only() -> None:
    def pruned(seed: int, protect: tuple[int, ...] = ()) -> torch.Tensor:
        model = tiny("llama")
        prune_weights(model, Prune(method="random", sparsity=0.5, seed=seed, protect=protect), None, InMemoryReporter())
        return prunable(model)[-1].read()

    assert torch.equal(pruned(1), pruned(1, protect=(0,)))
    assert not torch.equal(pruned(1), pruned(2))


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "mixtral"])
def test_restore_gives_back_every_bit(name: str, tmp_path: Path) -> None:
    model = tiny(name).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    prune_weights(model, Prune(method="magnitude", sparsity=0.7), None, InMemoryReporter())
    assert not all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    restore_dense(model, tmp_path)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_restore_reads_a_base_model_and_several_files(tmp_path: Path) -> None:
    model = tiny("gpt2")
    model.transformer.save_pretrained(tmp_path, max_shard_size="60kB")  # names without 'transformer.'
    assert (tmp_path / "model.safetensors.index.json").is_file()
    before = prunable(model)[-1].read()
    prune_weights(model, Prune(method="magnitude", sparsity=0.7), None, InMemoryReporter())
    restore_dense(model, tmp_path)
    assert torch.equal(prunable(model)[-1].read(), before)


def test_restore_refuses_another_model(tmp_path: Path) -> None:
    tiny("gpt2").save_pretrained(tmp_path)
    with pytest.raises(RetortError):
        restore_dense(tiny("llama"), tmp_path)


def test_sequential_first_block_equals_joint_and_later_ones_see_pruned_inputs(tmp_path: Path) -> None:
    joint, sequential = tiny("llama"), tiny("llama")
    step = Prune(method="wanda", sparsity=0.6)
    prune_weights(joint, step, calibrate(joint, tmp_path), InMemoryReporter())
    report = prune_sequential(sequential, step.model_copy(update={"mode": "sequential"}), windows(), InMemoryReporter())
    pairs = list(zip(prunable(joint), prunable(sequential), strict=True))
    assert all(torch.equal(a.stored, b.stored) for a, b in pairs if a.block_index == 0)
    assert not all(torch.equal(a.stored, b.stored) for a, b in pairs if a.block_index == 2)
    assert report.facts["mode"] == "sequential"


def test_a_method_without_data_runs_no_text_through_the_model_in_sequential_mode() -> None:
    joint, sequential = tiny("llama"), tiny("llama")
    step = Prune(method="magnitude", sparsity=0.5)
    prune_weights(joint, step, None, InMemoryReporter())
    runs: list[object] = []
    sequential.get_submodule("model.embed_tokens").register_forward_hook(lambda *seen: runs.append(seen))
    prune_sequential(sequential, step.model_copy(update={"mode": "sequential"}), windows(), InMemoryReporter())
    assert not runs
    for a, b in zip(prunable(joint), prunable(sequential), strict=True):
        assert torch.equal(a.read(), b.read())


def test_sequential_last_block_equals_wanda_on_the_pruned_model(tmp_path: Path) -> None:
    model = tiny("llama")
    dense_last = {m.name: m.read() for m in prunable(model) if m.block_index == 2}
    prune_sequential(model, Prune(method="wanda", sparsity=0.6, mode="sequential"), windows(), InMemoryReporter())
    masks = {m.name: m.stored == 0 for m in prunable(model) if m.block_index == 2}
    for m in prunable(model):  # blocks 0 and 1 pruned, block 2 dense: the statistics the last block had
        if m.block_index == 2:
            m.write(dense_last[m.name])
    prune_weights(
        model, Prune(method="wanda", sparsity=0.6, protect=(0, 1)), calibrate(model, tmp_path), InMemoryReporter()
    )
    assert all(torch.equal(m.stored == 0, masks[m.name]) for m in prunable(model) if m.block_index == 2)
