"""Block by block equals the model's own forward, and what cannot be streamed is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.matrices import find_blocks, prunable
from core.engine.prune.observers import BlockInfluence, Handle
from core.engine.prune.statistics import Statistics, collect, is_complete, weight_observers
from core.engine.prune.stream import BlockStream
from tests.engine.prune.tiny import FAMILIES, tiny, windows


@torch.no_grad()
def block_io(model: nn.Module, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What goes in and out of each block in one plain forward of all windows."""
    seen: list[tuple[Tensor, Tensor]] = []

    def hook(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], out: Tensor) -> None:
        into = args[0] if args else kwargs["hidden_states"]
        seen.append((into.clone(), (out[0] if isinstance(out, tuple) else out).clone()))

    handles = [b.register_forward_hook(hook, with_kwargs=True) for b in find_blocks(model)]
    model(input_ids=ids, use_cache=False) if hasattr(model.config, "use_cache") else model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("batch", [2, 5])
def test_streamed_hidden_states_equal_the_plain_forward(name: str, batch: int) -> None:
    model, ids = tiny(name), windows(5)
    expected = block_io(model, ids)
    stream = BlockStream(model, ids, batch)
    for i, (into, out) in enumerate(expected):
        torch.testing.assert_close(torch.cat(stream.hidden), into, atol=1e-6, rtol=1e-5)
        stream.advance(i)
        torch.testing.assert_close(torch.cat(stream.hidden), out, atol=1e-6, rtol=1e-5)


def test_gemma_blocks_get_their_own_masks() -> None:
    model, ids = tiny("gemma3"), windows(2)
    stream = BlockStream(model, ids, 2)
    masks = [call.kwargs["attention_mask"] for (call,) in stream._calls[0]]
    assert masks[0] is not None and masks[1] is None  # a sliding window; plain causal attention needs no mask
    assert masks[0] is masks[2]  # equal ones are held once


def test_the_model_is_left_as_it_was() -> None:
    model, ids = tiny("llama").train(), windows(2)
    model.config.use_cache = True
    before = model(input_ids=ids).logits
    stream = BlockStream(model, ids, 2)
    stream.advance(0)
    assert model.training and model.config.use_cache
    assert not any("forward" in b.__dict__ for b in stream.blocks)
    assert torch.equal(model(input_ids=ids).logits, before)


def test_nan_names_the_block() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(RetortError, match=r"Layer 1 of the model \(model\.layers\.1\)"):
        BlockStream(model, windows(2), 2)


def test_values_that_break_on_later_windows_name_the_block() -> None:
    model, ids = tiny("llama"), windows(4)
    ids[:2] = 5
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = float("nan")  # not among the first tokens
    ids[3, -1] = 7
    stream = BlockStream(model, ids, 2)
    with pytest.raises(RetortError, match="Layer 0 of the model"):
        stream.advance(0)


def test_a_model_that_changes_states_between_blocks_is_refused() -> None:
    model = tiny("llama")
    model.model.layers[1].register_forward_pre_hook(lambda m, args: (args[0] * 2, *args[1:]))
    original = model.model.layers[1].forward
    model.model.layers[1].forward = lambda hidden, *a, **k: original(hidden, *a, **k)
    # the pre-hook stands for code between the blocks: what reaches block 1 is not what block 0 gave
    with pytest.raises(RetortError, match="between layers 0 and 1"):
        BlockStream(model, windows(2), 2)


def test_a_block_that_is_called_again_and_again_is_watched_each_time() -> None:
    """ALBERT with 4 layers in 2 groups: each group is one block, called twice in a row."""
    from transformers import AlbertConfig, AlbertForMaskedLM

    config = AlbertConfig(
        vocab_size=97,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_hidden_groups=2,
        num_attention_heads=4,
        intermediate_size=48,
    )
    torch.manual_seed(0)
    model, ids = AlbertForMaskedLM(config).eval(), windows(2)
    expected = block_io(model, ids)
    stream = BlockStream(model, ids, 2)
    for group in range(2):
        seen: list[tuple[Tensor, Tensor]] = []
        watcher = Watcher(seen)
        stream.advance(group, [watcher])
        for (into, out), (a, b) in zip(seen, expected[2 * group : 2 * group + 2], strict=True):
            torch.testing.assert_close(into, a)
            torch.testing.assert_close(out, b)


class Watcher:
    """An observer that keeps what it sees."""

    key = "watcher"

    def __init__(self, seen: list[tuple[Tensor, Tensor]]) -> None:
        self.seen = seen

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        return []

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        self.seen.append((hidden_in, hidden_out))

    def finish(self) -> dict[str, Tensor]:
        return {}


def test_layers_called_in_another_order_are_refused() -> None:
    model = tiny("llama")
    second = model.model.layers[1]
    own = second.forward
    second.forward = lambda hidden, *args, **kwargs: model.model.layers[0](
        own(hidden, *args, **kwargs), *args, **kwargs
    )
    with pytest.raises(RetortError, match="another number or order"):
        BlockStream(model, windows(2), 2)


class Stopping(InMemoryReporter):
    """Asks to stop once `after` blocks are done."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def checkpoint(self) -> None:
        if len(self.points) >= self.after:
            raise Cancelled


def test_an_interrupted_pass_continues_and_gives_the_same(tmp_path: Path) -> None:
    model, ids = tiny("llama"), windows(5)

    def run(folder: Path, reporter: InMemoryReporter) -> Statistics:
        return collect(model, ids, weight_observers(model, {"hessian"}, reporter), reporter, 2, folder=folder)

    whole = run(tmp_path / "whole", InMemoryReporter())
    with pytest.raises(Cancelled):
        run(tmp_path / "parts", Stopping(after=2))
    files = sorted(p.name for p in (tmp_path / "parts").glob("block-*"))
    assert files == ["block-0000.safetensors", "block-0001.safetensors"]
    assert not is_complete(tmp_path / "parts")
    stamps = [(tmp_path / "parts" / f).stat().st_mtime_ns for f in files]
    parts = run(tmp_path / "parts", InMemoryReporter())
    assert stamps == [(tmp_path / "parts" / f).stat().st_mtime_ns for f in files]
    for m in prunable(model):
        a, b = whole.of(m), parts.of(m)
        assert torch.equal(a.input_norms, b.input_norms) and a.tokens == b.tokens
        assert a.cholesky is not None and b.cholesky is not None and torch.equal(a.cholesky, b.cholesky)
    assert torch.equal(whole.block_influence, parts.block_influence)


def test_other_windows_start_afresh(tmp_path: Path) -> None:
    model, reporter = tiny("llama"), InMemoryReporter()
    observers = weight_observers(model, {"input_norms"}, reporter)
    first = collect(model, windows(2), observers, reporter, folder=tmp_path).of(prunable(model)[-1]).input_norms
    second = collect(model, windows(2, seed=9), observers, reporter, folder=tmp_path).of(prunable(model)[-1])
    assert not torch.equal(first, second.input_norms)
    assert is_complete(tmp_path, windows(2, seed=9), [BlockInfluence()])
    assert not is_complete(tmp_path, windows(2, seed=9), weight_observers(model, {"hessian"}, reporter))


def test_unfinished_statistics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RetortError, match="no finished calibration"):
        Statistics(tmp_path)
