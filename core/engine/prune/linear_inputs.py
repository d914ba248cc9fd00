"""What goes into every linear layer of a block: input norms (Wanda) and Hessians (SparseGPT), in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.matrices import Matrix, expert_parameters, prunable
from core.engine.prune.observers import Handle

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a share of its mean (Frantar & Alistarh 2023)."""
_ATTEMPTS = 8
_IMPLEMENTATION = "_experts_implementation_internal"  # the setter of transformers would change sub-configs too


@dataclass
class _Sums:
    """Running sums over the inputs X `(tokens, in)` of one or more layers that share them."""

    squares: Tensor  # (in,)
    product: Tensor | None  # (in, in), X^T X
    tokens: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, x: Tensor) -> None:
        x = x.detach().reshape(-1, x.shape[-1]).to(torch.float32)  # (tokens, in)
        self.tokens += x.shape[0]
        self.squares += x.square().sum(dim=0)
        if self.product is not None:
            self.product.addmm_(x.t(), x)


class LinearInputs:
    """Norms, and optionally Hessians, of the inputs of every prunable matrix.

    Written for each matrix, by its name inside the block: `norms/...` `(in,)`, the square root of the
    mean over sequences of the sum over tokens of X_j^2; `tokens/...` `()`; and with `hessian`,
    `cholesky/...` `(in, in)`, the upper Cholesky factor of the inverse of the damped
    H = (2/n) sum X X^T over n sequences, and `damping/...` `()`, the share of the mean diagonal added.

    Layers that are given the very same tensor (query, key and value) share one accumulator.
    """

    key = "inputs"

    def __init__(self, model: nn.Module, reporter: Reporter, hessian: bool = False) -> None:
        self.hessian = hessian
        self.reporter = reporter
        self._matrices: dict[int, list[Matrix]] = {}
        for matrix in prunable(model):
            self._matrices.setdefault(matrix.block_index, []).append(matrix)
        self._model = model
        self._sums: dict[str, _Sums] = {}
        self._last: tuple[Tensor, _Sums] | None = None
        self._sequences = 0
        self._index = 0

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._sums, self._last, self._sequences, self._index = {}, None, 0, index
        handles: list[Handle] = []
        fused: dict[nn.Module, str] = {}
        for matrix in self._matrices.get(index, []):
            if matrix.expert is None:
                handles.append(matrix.module.register_forward_pre_hook(self._hook(matrix.part)))
            else:
                fused[matrix.module] = matrix.part.rsplit(".", 2)[0]
        for module, part in fused.items():
            handles.append(ExpertCalls(module, self._expert_hook(part)))
        return handles

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        self._sequences += hidden_in.shape[0]
        self._last = None

    def finish(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for sums in {id(s): s for s in self._sums.values()}.values():
            shared = {"norms": (sums.squares / self._sequences).sqrt(), "tokens": torch.tensor(sums.tokens)}
            if sums.product is not None:
                h = sums.product.mul_(2 / self._sequences)
                shared["cholesky"], damping = inverse_cholesky(h)
                shared["damping"] = torch.tensor(damping)
                if damping > DAMPING:
                    self._say_damping(sums.names, damping)
            tensors |= {f"{kind}/{name}": tensor for name in sums.names for kind, tensor in shared.items()}
            sums.product = None
        self._sums = {}
        return tensors

    def _hook(self, part: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, args: self._add(part, args[0])

    def _expert_hook(self, part: str) -> Callable[[str, int, Tensor], None]:
        return lambda parameter, expert, x: self._add(f"{part}.{parameter}.{expert}", x)

    def _add(self, name: str, x: Tensor) -> None:
        if x.numel() == 0:
            return
        shares = self._last is not None and self._last[0] is x
        if name not in self._sums:
            if shares and self._last is not None and self._last[1].tokens == x.numel() // x.shape[-1]:
                self._sums[name] = self._last[1]  # first batch: the same tensor as the layer before
            else:
                self._sums[name] = self._new(x)
            self._sums[name].names.append(name)
        sums = self._sums[name]
        if not (shares and self._last is not None and self._last[1] is sums):
            sums.add(x)
            self._last = (x, sums)

    def _new(self, x: Tensor) -> _Sums:
        n = x.shape[-1]
        zeros = torch.zeros(n, dtype=torch.float32, device=x.device)
        return _Sums(zeros, torch.zeros(n, n, dtype=torch.float32, device=x.device) if self.hessian else None)

    def _say_damping(self, names: list[str], damping: float) -> None:
        self.reporter.event(
            "warning",
            f"The Hessian of layer {self._index}, {', '.join(names)}, could not be factorised with the usual damping; "
            f"it was raised to {damping:g} of the mean diagonal.",
            layer=self._index,
            damping=damping,
        )


def inverse_cholesky(h: Tensor, damping: float = DAMPING) -> tuple[Tensor, float]:
    """The upper triangular U with U^T U = (H + damping * mean(diag H) * I)^-1.

    Inputs that never fired (H_jj = 0) get H_jj = 1. Where the factorisation fails the damping is raised
    tenfold until it succeeds. With J the reversal of the order, JHJ = LL^T gives U = (J L J)^-1: one
    factorisation instead of the inverse's two. Frantar & Alistarh 2023, SparseGPT, section 3.3.

    Args:
        h: `(in, in)` float32; changed in place.

    Returns:
        U `(in, in)`, and the damping that was used as a share of the mean of H's diagonal.

    Raises:
        RetortError: H holds values that are not finite.
    """
    diagonal = h.diagonal()
    diagonal[diagonal == 0] = 1
    mean = diagonal.mean().item()
    added = 0.0
    for attempt in range(_ATTEMPTS):
        wanted = damping * 10**attempt
        h.diagonal().add_((wanted - added) * mean)
        added = wanted
        lower, failed = torch.linalg.cholesky_ex(h.flip(0, 1))
        if not int(failed):
            identity = torch.eye(h.shape[0], dtype=h.dtype, device=h.device)
            return torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True), wanted
    raise RetortError(
        "The calibration statistics of a layer hold values that are not finite numbers.",
        "Run again with dtype float32, or calibrate on other text.",
    )


class ExpertCalls(TorchFunctionMode):
    """Watches a module of fused experts: `seen(parameter, expert, x)` for each product `x W_expert^T`.

    The experts' own forward runs unchanged; products with a slice of one of its 3-D parameters are
    recognised by where the slice lies in memory. Remove it as one removes a hook.
    """

    def __init__(self, module: nn.Module, seen: Callable[[str, int, Tensor], None]) -> None:
        super().__init__()
        self._module, self._seen = module, seen
        self._config: Any = getattr(module, "config", None)
        self._implementation: Any = None
        self._handles = [
            module.register_forward_pre_hook(self._enter),
            module.register_forward_hook(self._leave, always_call=True),
        ]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _PRODUCTS and len(args) > 1 and isinstance(args[1], Tensor) and args[1].dim() == 2:
            for name, p in expert_parameters(self._module).items():
                start, size = p.data_ptr(), p[0].numel() * p.element_size()
                at = args[1].data_ptr() - start
                if 0 <= at < size * p.shape[0]:
                    self._seen(name, at // size, args[0])
        return func(*args, **(kwargs or {}))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        # batched and grouped products mix the experts: the one-by-one implementation is used meanwhile
        self._implementation = getattr(self._config, _IMPLEMENTATION, None)
        if self._config is not None:
            setattr(self._config, _IMPLEMENTATION, "eager")
        self.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if self._config is not None:
            setattr(self._config, _IMPLEMENTATION, self._implementation)


_PRODUCTS = {nn.functional.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__}
