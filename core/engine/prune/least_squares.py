"""A matrix changed by least squares so that it gives what it should: ridge regression from running sums."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.base.errors import RetortError

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths that are tried, as shares of the mean of the diagonal of X^T X."""
SHORT_OF_TEXT = 1e-1
"""The least strength where there are fewer tokens than twice the unknowns of a row."""


class Moments:
    """Running sums over tokens, in float64: X^T X, X^T R and the squares of R.

    X `(tokens, in)` are the inputs of a matrix, R `(tokens, out)` what its outputs lack. With `intercept` a column of
    ones is added to X, so that a bias is solved for as well.
    """

    def __init__(self, inputs: int, outputs: int, device: torch.device, intercept: bool = False) -> None:
        columns = inputs + int(intercept)
        self.intercept = intercept
        self.inputs = torch.zeros(columns, columns, dtype=torch.float64, device=device)
        self.cross = torch.zeros(columns, outputs, dtype=torch.float64, device=device)
        self.squares = 0.0
        self.tokens = 0

    def add(self, x: Tensor, lacking: Tensor, weights: Tensor) -> None:
        """Adds (tokens, in) and (tokens, out), each token by its weight (tokens,). Products are in float32."""
        x = x.float()
        if self.intercept:
            x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        x, lacking = x * weights[:, None], lacking.float() * weights[:, None]
        self.inputs += x.T @ x
        self.cross += x.T @ lacking
        self.squares += float(lacking.square().sum(dtype=torch.float64))
        self.tokens += len(x)

    def left(self, change: Tensor) -> float:
        """Squares of R that are left once `change` `(in, out)` is added to the matrix: |R - X change|^2."""
        gain = 2 * self.cross - self.inputs @ change
        return self.squares - float((gain * change).sum())


@dataclass(frozen=True)
class Solution:
    """The change of a matrix.

    Attributes:
        change: `(in, out)` float64; the last row is the bias's where one was solved for.
        ridge: the strength that was chosen.
        before, after: squares that are missing on the held-out tokens, without the change and with it.
        short: there was too little text for the weaker ridges.
    """

    change: Tensor
    ridge: float
    before: float
    after: float
    short: bool


def solve(moments: Moments, ridge: float) -> Tensor:
    """`(in, out)` float64: the change that minimises |R - X change|^2 + ridge * mean(diag X^T X) * |change|^2.

    The ridge draws the change to zero, which leaves the matrix as it is; a bias is not drawn.

    Raises:
        RetortError: the sums hold values that are not finite.
    """
    h = moments.inputs.clone()
    weights = len(h) - int(moments.intercept)
    diagonal = h.diagonal()[:weights]
    mean = float(diagonal.mean())
    diagonal += ridge * mean if mean > 0 else 1.0
    if moments.intercept:
        h[-1, -1] += 1e-12 * (1 + mean)
    lower, failed = torch.linalg.cholesky_ex(h)
    if int(failed):
        raise RetortError(
            "The calibration statistics of a layer hold values that are not finite numbers.",
            "Run again with dtype float32, or calibrate on other text.",
        )
    return torch.cholesky_solve(moments.cross, lower)


def best_change(fitted: Moments, held_out: Moments) -> Solution:
    """The change by the ridge that leaves least on the held-out tokens, which it is not solved on."""
    short = fitted.tokens < 2 * len(fitted.inputs)
    best: tuple[float, float, Tensor] | None = None
    for ridge in RIDGES:
        if short and ridge < SHORT_OF_TEXT:
            continue
        change = solve(fitted, ridge)
        left = held_out.left(change)
        if best is None or left < best[0]:
            best = left, ridge, change
    assert best is not None
    return Solution(best[2], best[1], held_out.squares, best[0], short)


def token_weights(hidden: Tensor) -> Tensor:
    """(tokens,): one over the root mean square of a token's hidden state, which is what the next norm divides by.

    Without it the few tokens with huge states (mostly the first) would be all that is fitted.
    """
    return hidden.float().flatten(0, -2).square().mean(-1).clamp(min=1e-12).rsqrt()
