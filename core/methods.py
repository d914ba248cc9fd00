"""The registry of pruning methods: what each is called, needs and does. Light: no torch here.

`entry` names the function in the engine that does the work, imported by the worker only. A new
criterion is one function there and one line here; pages, recipes, doctor and CLI pick it up.

Contracts of `entry` by `kind` (see CONTRIBUTING.md):
    score   `f(weight, stats, generator) -> scores`, both `(out, in)` float32, low scores go first
    solver  `f(weight, stats, sparsity, pattern, report) -> weight`, `(out, in)` float32
    layers  `f(context) -> list[int]`, all removable layers, the first to go first
    units   `f(unit_statistics) -> scores`, one float32 per neuron / head / channel / expert
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Family = Literal["weight", "depth", "width", "experts"]
Kind = Literal["score", "solver", "layers", "units"]
Statistic = Literal["input_norms", "hessian", "block_influence", "unit_activations", "fluctuation", "gradients"]


class Method(BaseModel):
    """One way to choose what to remove."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    family: Family
    kind: Kind
    entry: str
    summary: str
    source: str
    needs: frozenset[Statistic] = frozenset()
    compare: Literal["matrix", "row"] = "row"
    """What a weight's score is ranked against: the whole matrix, or its own output row."""
    symbol: str = "circle"
    """Plotly marker: one shape a method, so that colour is never the only difference."""
    color: int = 0
    """Index into the Okabe-Ito palette."""
    needs_adapter: bool = False
    """True where the architecture must be known (its blocks, heads and neurons)."""

    @property
    def structured(self) -> bool:
        """True where parts are physically removed, so the model is really smaller."""
        return self.family != "weight"

    @property
    def calibrated(self) -> bool:
        return bool(self.needs)


_ZEROES = " Only zeroes weights: neither the file nor the latency shrinks on ordinary kernels."

METHODS: dict[str, Method] = {
    m.id: m
    for m in (
        Method(id="magnitude", label="Magnitude", family="weight", kind="score", compare="matrix",
               entry="core.engine.prune.criteria:magnitude", symbol="circle", color=1,
               summary="Zeroes the smallest weights of each matrix. Needs no data." + _ZEROES,
               source="Han et al. 2015, Learning both weights and connections"),
        Method(id="wanda", label="Wanda", family="weight", kind="score",
               entry="core.engine.prune.criteria:wanda", needs=frozenset({"input_norms"}), symbol="square", color=2,
               summary="Zeroes weights that are small and meet small inputs, row by row." + _ZEROES,
               source="Sun et al. 2023, A simple and effective pruning approach for LLMs"),
        Method(id="sparsegpt", label="SparseGPT", family="weight", kind="solver", compare="matrix",
               entry="core.engine.prune.sparsegpt:sparsegpt", needs=frozenset({"hessian"}), symbol="triangle-up", color=6,
               summary="Zeroes weights and adjusts the others to make up for them. Slower than Wanda." + _ZEROES,
               source="Frantar & Alistarh 2023, SparseGPT"),
        Method(id="random", label="Random (control)", family="weight", kind="score",
               entry="core.engine.prune.criteria:random", symbol="x", color=7,
               summary="Zeroes weights at random: what every other method has to beat." + _ZEROES,
               source="Control, no publication"),
        Method(id="block_influence", label="Layer removal (block influence)", family="depth", kind="layers",
               entry="core.engine.prune.depth:block_influence", needs=frozenset({"block_influence"}),
               symbol="diamond", color=3, needs_adapter=True,
               summary="Removes the layers that change their input least. Really smaller and faster.",
               source="Men et al. 2024, ShortGPT"),
    )
}  # fmt: skip


def method(method_id: str) -> Method | None:
    """The method, or None for an id this version does not know."""
    return METHODS.get(method_id)
