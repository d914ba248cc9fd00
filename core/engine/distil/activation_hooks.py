"""Reading what flows inside a model's blocks while its own forward runs: no forward is re-implemented."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.models.matrices import find_blocks

_SEPARATE = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q_lin", "k_lin", "v_lin"))


class ActivationHooks:
    """Hooks on some blocks of a model that keep, during one forward pass, what the losses compare.

    Args:
        model: hooked until `close`.
        states: blocks whose output is kept.
        relations: blocks whose query, key and value projections are kept.
    Raises:
        RetortError: a block has no attention projections this code knows.
    """

    def __init__(self, model: PreTrainedModel, states: Iterable[int], relations: Iterable[int]) -> None:
        blocks = find_blocks(model)
        self._kept: dict[tuple[str, int], Tensor] = {}
        self._open = False
        self._handles = [blocks[i].register_forward_hook(self._keep("state", i, _first)) for i in states]
        for i in relations:
            for name, module, read in _projections(blocks[i], model.config):
                self._handles.append(module.register_forward_hook(self._keep(name, i, read)))

    def _keep(self, name: str, index: int, read: Callable[[Any], Tensor]) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            # Gradient checkpointing runs the block again during the backward pass: that is not kept.
            if self._open:
                self._kept[name, index] = read(output)

        return hook

    def __enter__(self) -> ActivationHooks:
        self._kept.clear()
        self._open = True
        return self

    def __exit__(self, *error: object) -> None:
        self._open = False

    def clear(self) -> None:
        """Lets go of what was kept."""
        self._kept.clear()

    def state(self, block: int) -> Tensor:
        """`(batch, length, width)` output of a block."""
        return self._kept["state", block]

    def projections(self, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a block before any rotation, each `(batch, length, its width)`."""
        return self._kept["query", block], self._kept["key", block], self._kept["value", block]

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def _first(output: Any) -> Tensor:
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def _projections(block: nn.Module, config: Any) -> list[tuple[str, nn.Module, Callable[[Any], Tensor]]]:
    """`(query | key | value, module, how to read it from the module's output)`, found by their usual names."""
    parts = {name.rsplit(".", 1)[-1]: module for name, module in block.named_modules()}
    names = ("query", "key", "value")
    for trio in _SEPARATE:
        if all(part in parts for part in trio):
            return [(name, parts[part], _first) for name, part in zip(names, trio, strict=True)]
    heads, head_size, groups = head_sizes(config)
    widths = [heads * head_size, groups * head_size, groups * head_size]
    if "query_key_value" in parts:  # GPT-NeoX: query, key and value of each head lie together
        return [(n, parts["query_key_value"], _interleaved(i, heads)) for i, n in enumerate(names)]
    for fused in ("c_attn", "qkv_proj"):
        if fused in parts:
            return [(n, parts[fused], _section(i, widths)) for i, n in enumerate(names)]
    raise RetortError(
        "This model's layers have no query, key and value projections Retort knows.",
        "Leave out the attention relations loss; hidden states can be compared instead.",
    )


def _interleaved(part: int, heads: int) -> Callable[[Any], Tensor]:
    def read(output: Tensor) -> Tensor:
        batch, length, width = output.shape
        return output.view(batch, length, heads, 3, width // heads // 3)[..., part, :].flatten(2)

    return read


def _section(part: int, widths: list[int]) -> Callable[[Any], Tensor]:
    def read(output: Tensor) -> Tensor:
        found: Tensor = output.split(widths, dim=-1)[part]
        return found

    return read


def head_sizes(config: Any) -> tuple[int, int, int]:
    """(heads, size of a head, key-value heads) from a model's config."""
    config = config.get_text_config()
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return heads, size, int(getattr(config, "num_key_value_heads", None) or heads)


def width_of(model: PreTrainedModel) -> int:
    """Width of the hidden states between blocks."""
    return int(model.config.get_text_config().hidden_size)


@torch.no_grad()
def fresh_projection(student: int, teacher: int, seed: int) -> nn.Linear:
    """A learned map from the student's width to the teacher's; keeps lengths at the start (orthogonal rows)."""
    layer = nn.Linear(student, teacher, bias=False)
    nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    return layer


def layers_of(model: PreTrainedModel) -> int:
    """Number of blocks."""
    return len(find_blocks(model))
