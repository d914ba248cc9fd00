"""The weight matrices that weight pruning may touch, found without knowing the architecture.

Only the matrices of linear layers inside the model's repeated blocks count. Embeddings, the head,
norms, biases, routers of mixtures of experts and gates with a single output are left out: they are
small, or they are known to break when pruned, and the published figures leave them out as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.base.errors import RetortError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Matrix:
    """One linear map `(out, in)`, however the model stores it.

    Attributes:
        name: unique in the model: the module's name, with `.parameter.expert` where experts are fused.
        block_index: the block it lies in, counted from 0; a decoder's blocks are counted on from its encoder's.
        part: its name inside the block, the same in every block (`mlp.down_proj`).
        module: the module that holds the parameter.
        transposed: True where it is stored as `(in, out)` (GPT-2's Conv1D, some fused experts).
        expert: which slice of a fused `(experts, ., .)` parameter, or None.
    """

    name: str
    block_index: int
    part: str
    module: nn.Module
    parameter: str = "weight"
    transposed: bool = False
    expert: int | None = None

    @property
    def stored(self) -> Tensor:
        """A view `(out, in)` of the parameter itself, in its own dtype."""
        tensor: Tensor = getattr(self.module, self.parameter).detach()
        if self.expert is not None:
            tensor = tensor[self.expert]
        return tensor.t() if self.transposed else tensor  # (out, in)

    @property
    def shape(self) -> tuple[int, int]:
        """`(out, in)`"""
        out, in_ = self.stored.shape
        return int(out), int(in_)

    def numel(self) -> int:
        return self.stored.numel()

    def read(self) -> Tensor:
        """A float32 copy `(out, in)`."""
        return self.stored.to(torch.float32, copy=True).contiguous()

    def write(self, weight: Tensor) -> None:
        """Puts `weight` `(out, in)` in place, rounded to the parameter's dtype."""
        self.stored.copy_(weight)


def find_stacks(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """The stacks of repeated blocks, each with its name in the model: one, or the encoder's and then the decoder's.

    A stack is the outermost list of modules that each hold linear layers, of one kind where there is such a
    list; of several (a model with two towers), the one with the most weights.

    Raises:
        RetortError: there is none, or an encoder-decoder has not two.
    """
    stacks: list[tuple[str, nn.ModuleList]] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in stacks)
        if not inside and isinstance(module, nn.ModuleList) and _repeated(module):
            stacks.append((name, module))
    same = [s for s in stacks if len({type(block) for block in s[1]}) == 1]
    stacks = same or stacks  # hybrid models mix kinds of blocks in one list
    if not stacks:
        raise RetortError(
            "This model has no repeated layers with weight matrices in them.",
            "Choose a transformer model whose layers are a list of blocks.",
        )
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        if len(stacks) != 2:
            raise RetortError(
                f"This model has an encoder and a decoder, and {len(stacks)} stacks of layers were found in it.",
                "Choose a T5 or BART model, or one with a single stack (Llama, GPT, BERT).",
            )
        return sorted(stacks, key=lambda s: "decoder" in s[0])
    return [max(stacks, key=lambda s: sum(p.numel() for p in s[1].parameters()))]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """All blocks in the order they are counted: of an encoder-decoder the encoder's, then the decoder's.

    Raises:
        RetortError: as `find_stacks`.
    """
    return [block for _, stack in find_stacks(model) for block in stack]


def prunable(model: nn.Module) -> list[Matrix]:
    """Every matrix weight pruning may touch, block by block in the model's own order.

    Raises:
        RetortError: the model has no such matrix (nothing would be pruned, silently).
    """
    experts = number_of_experts(model)
    named = [(f"{prefix}.{i}", block) for prefix, stack in find_stacks(model) for i, block in enumerate(stack)]
    found: list[Matrix] = []
    for index, (place, block) in enumerate(named):
        for part, module in block.named_modules():
            name = f"{place}.{part}"
            if isinstance(module, (nn.Linear, Conv1D)):
                matrix = Matrix(name, index, part, module, transposed=isinstance(module, Conv1D))
                if not _is_router(matrix, experts):
                    found.append(matrix)
            elif is_fused_experts(module):
                found += _experts(name, index, part, module)
    if not found:
        raise RetortError("The layers of this model hold no linear weight matrices.", "Choose another model.")
    return found


def unknown_parts(model: nn.Module) -> list[str]:
    """Parameters of three dimensions inside the blocks that `prunable` does not know how to read.

    They are named by their place in a block. Kernels of convolutions are not among them: they are no
    linear maps.
    """
    found: dict[str, None] = {}
    for block in find_blocks(model):
        for part, module in block.named_modules():
            if not is_fused_experts(module) and not isinstance(module, _CONVOLUTIONS):
                own = module.named_parameters(recurse=False)
                found |= {f"{part}.{name}": None for name, p in own if p.dim() == 3 and min(p.shape) > 1}
    return list(found)


def is_fused_experts(module: nn.Module) -> bool:
    """True for a module that stores all its experts in 3-D parameters `(experts, ., .)`.

    transformers 5 marks such modules with `num_experts` and says with `is_transposed` how they are stored.
    """
    return hasattr(module, "is_transposed") and bool(expert_parameters(module))


def expert_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The 3-D parameters of a module of fused experts by name; empty for any other module."""
    count = getattr(module, "num_experts", None)
    own = module.named_parameters(recurse=False)
    return {name: p for name, p in own if p.dim() == 3 and p.shape[0] == count}


def number_of_experts(model: nn.Module) -> int:
    """Experts of each mixture, from the config; 0 for a model without."""
    config = text_config(model)
    for field in ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"):
        value = getattr(config, field, None)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def text_config(model: nn.Module) -> Any:
    """The config of the language part of a model, or None for a module without one."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def family(matrix: Matrix) -> str:
    """The matrix's part of the block with the expert's number left out, so that experts count as one."""
    part = matrix.part.rsplit(".", 1)[0] if matrix.expert is not None else matrix.part
    return re.sub(r"\.experts\.\d+\.", ".experts.", part)


def _repeated(stack: nn.ModuleList) -> bool:
    """Blocks hold linear layers of their own; a list of bare linear layers is not a stack of blocks."""
    return len(stack) > 0 and all(_holds_matrices(block) for block in stack)


def _holds_matrices(block: nn.Module) -> bool:
    inner = [m for name, m in block.named_modules() if name]
    return any(isinstance(m, (nn.Linear, Conv1D)) or is_fused_experts(m) for m in inner)


def _is_router(matrix: Matrix, experts: int) -> bool:
    out, _ = matrix.shape
    return out == 1 or (experts > 0 and out == experts)


def _experts(name: str, index: int, part: str, module: nn.Module) -> list[Matrix]:
    transposed = bool(module.is_transposed)
    return [
        Matrix(f"{name}.{p}.{e}", index, f"{part}.{p}.{e}", module, p, transposed, e)
        for p, tensor in expert_parameters(module).items()
        for e in range(tensor.shape[0])
    ]
