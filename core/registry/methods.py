"""The registry of pruning methods: what each is called, needs and does.

`entry` names the function in the engine that does the work, imported by the worker only. A new
criterion is one function there and one line here; pages, recipes, doctor and CLI pick it up. Another package adds one
by an entry point of the group `retort.methods` (docs/extending.md).

Contracts of `entry` by `kind` (see CONTRIBUTING.md):
    score   `f(weight, stats, generator) -> scores`, both `(out, in)` float32, low scores go first
    solver  `f(weight, stats, sparsity, pattern, report) -> weight`, `(out, in)` float32
    layers  `f(context) -> list[int]`, all removable layers, the first to go first
    units   `f(unit_statistics) -> scores`, one float32 per neuron / head / channel / expert
    shapes  `f(context, question, prune, work) -> Keep`, what stays of layers and units
"""

from __future__ import annotations

from core.registry.method import SPARE, with_symbols
from core.registry.method import Family as Family
from core.registry.method import Method as Method
from core.registry.method import Statistic as Statistic

_ZEROES = " Only zeroes weights: neither the file nor the latency shrinks on ordinary kernels."

METHODS: dict[str, Method] = with_symbols(
    (
        Method(
            id="magnitude",
            label="Magnitude",
            family="weight",
            kind="score",
            compare="matrix",
            entry="core.engine.prune.criteria:magnitude",
            symbol="circle",
            color=1,
            summary="Zeroes the smallest weights of each matrix. Needs no data." + _ZEROES,
            source="Han et al. 2015, Learning both weights and connections",
        ),
        Method(
            id="wanda",
            label="Wanda",
            family="weight",
            kind="score",
            entry="core.engine.prune.criteria:wanda",
            needs=frozenset({"input_norms"}),
            symbol="square",
            color=2,
            summary="Zeroes weights that are small and meet small inputs, row by row." + _ZEROES,
            source="Sun et al. 2023, A simple and effective pruning approach for LLMs",
        ),
        Method(
            id="sparsegpt",
            label="SparseGPT",
            family="weight",
            kind="solver",
            compare="matrix",
            entry="core.engine.prune.sparsegpt:sparsegpt",
            needs=frozenset({"hessian"}),
            symbol="triangle-up",
            color=6,
            summary="Zeroes weights and adjusts the others to make up for them. Slower than Wanda." + _ZEROES,
            source="Frantar & Alistarh 2023, SparseGPT",
        ),
        Method(
            id="random",
            label="Random (control)",
            family="weight",
            kind="score",
            entry="core.engine.prune.criteria:random",
            symbol="x",
            color=7,
            summary="Zeroes weights at random: what every other method has to beat." + _ZEROES,
            source="Control, no publication",
        ),
        Method(
            id="block_influence",
            label="Layer removal (block influence)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.depth:block_influence",
            needs=frozenset({"block_influence"}),
            symbol="diamond",
            color=3,
            needs_adapter=True,
            summary="Removes the layers that change their input least. Really smaller and faster.",
            source="Men et al. 2024, ShortGPT",
        ),
        Method(
            id="angular",
            label="Layer removal (angular distance)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.depth:angular",
            needs=frozenset({"last_hidden"}),
            symbol="octagon",
            color=3,
            needs_adapter=True,
            summary="Removes the layers in a row that turn the last token's state least. Really smaller and faster.",
            source="Gromov et al. 2024, The unreasonable ineffectiveness of the deeper layers",
        ),
        Method(
            id="loss_ablation",
            label="Layer removal (loss without it)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.depth:loss_ablation",
            needs=frozenset({"block_influence"}),
            symbol="diamond-tall",
            color=5,
            needs_adapter=True,
            search_windows=8,
            summary="Removes one layer after another, each time the one whose absence costs least. Slow to choose, "
            "really smaller and faster.",
            source="Song et al. 2024, SLEB",
        ),
        Method(
            id="healed_loss",
            label="Layer removal (healed loss)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.healed_spans:healed_loss",
            needs=frozenset({"block_influence"}),
            symbol="triangle-right",
            color=1,
            needs_adapter=True,
            search_windows=8,
            search_tries=8,
            summary="Removes the layers whose absence costs least once what is before them was solved again. Best with "
            "healing; slow to choose, really smaller and faster.",
            source="Shopkhoev et al. 2025, ReplaceMe, chosen by the loss as in Song et al. 2024, SLEB",
        ),
        Method(
            id="evolved",
            label="Layer removal (evolutionary search)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.evolved:evolved",
            needs=frozenset({"block_influence"}),
            symbol="triangle-ne",
            color=2,
            needs_adapter=True,
            search_windows=8,
            search_tries=16,
            summary="Searches for the layers without which the healed model stays nearest to the dense one. Best with "
            "healing; slowest to choose, really smaller and faster.",
            source="Sieberling et al. 2024, EvoPress, judged after healing",
        ),
        Method(
            id="depth_taylor",
            label="Layer removal (gradients)",
            family="depth",
            kind="layers",
            entry="core.engine.prune.depth:taylor",
            needs=frozenset({"gradients"}),
            symbol="diamond-wide",
            color=4,
            needs_adapter=True,
            summary="Removes the layers whose weights matter least to the loss, by their gradients. Really smaller "
            "and faster.",
            source="Molchanov et al. 2019, Importance estimation for neural network pruning",
        ),
        Method(
            id="width_activations",
            label="Width (activations)",
            family="width",
            kind="units",
            entry="core.engine.prune.width:minitron",
            needs=frozenset({"unit_activations"}),
            symbol="pentagon",
            color=2,
            needs_adapter=True,
            summary="Removes the neurons, heads or channels that are least active. Really smaller and faster.",
            source="Muralidharan et al. 2024, Minitron",
        ),
        Method(
            id="width_flap",
            label="Width (fluctuation)",
            family="width",
            kind="units",
            entry="core.engine.prune.width:flap",
            needs=frozenset({"fluctuation"}),
            symbol="hexagon",
            color=6,
            needs_adapter=True,
            summary="Removes the neurons or heads whose contribution varies least and keeps its mean as a bias "
            "where the model can have one. Really smaller and faster.",
            source="An et al. 2023, FLAP",
        ),
        Method(
            id="width_obs",
            label="Width (OBS)",
            family="width",
            kind="units",
            entry="core.engine.prune.width:obs",
            needs=frozenset({"second_moments"}),
            symbol="triangle-left",
            color=7,
            needs_adapter=True,
            summary="Removes the neurons or heads whose loss the others make up for best, one after another. Best with "
            "healing; slow to choose, really smaller and faster.",
            source="Kurtic et al. 2023, ZipLM, and Ling et al. 2024, SlimGPT (structured OBS)",
        ),
        Method(
            id="width_taylor",
            label="Width (gradients)",
            family="width",
            kind="units",
            entry="core.engine.prune.width:taylor",
            needs=frozenset({"gradients"}),
            symbol="triangle-down",
            color=5,
            needs_adapter=True,
            summary="Removes the neurons, heads or channels that matter least to the loss, by their gradients. "
            "Really smaller and faster.",
            source="Molchanov et al. 2019, Importance estimation for neural network pruning",
        ),
        Method(
            id="width_norm",
            label="Width (weight norm)",
            family="width",
            kind="units",
            entry="core.engine.prune.width:weight_norm",
            symbol="cross",
            color=1,
            needs_adapter=True,
            summary="Removes the neurons, heads or channels with the smallest weights. Needs no data; really "
            "smaller and faster.",
            source="Li et al. 2017, Pruning filters for efficient convnets",
        ),
        Method(
            id="searched",
            label="Width and depth (search)",
            family="width",
            kind="shapes",
            entry="core.engine.prune.searched:searched",
            needs=frozenset({"block_influence"}),
            symbol="hexagon2",
            color=3,
            needs_adapter=True,
            search_windows=8,
            search_tries=60,
            summary="Searches for the widths and the layers with which the healed model stays nearest to the dense "
            "one. Best with healing; slowest to choose, really smaller and faster.",
            source="Li et al. 2025, Tyr-the-Pruner, and Sieberling et al. 2024, EvoPress, with levels as in ZipLM",
        ),
        Method(
            id="reap",
            label="Experts (REAP)",
            family="experts",
            kind="units",
            entry="core.engine.prune.experts:reap",
            needs=frozenset({"expert_saliency"}),
            symbol="hexagram",
            color=7,
            needs_adapter=True,
            summary="Removes the experts that add least to the tokens routed to them. Really smaller; each token "
            "costs as much as before.",
            source="Lasby et al. 2025, REAP the experts",
        ),
    )
)


HEALED = "+healed"
"""Ends the id under which candidates of a method stand that were healed: in charts they are a method of their own."""


def method(method_id: str) -> Method | None:
    """The method, healed or not, or None for an id this version does not know."""
    known = METHODS.get(plain(method_id))
    if known is None or plain(method_id) == method_id:
        return known
    return known.model_copy(update={"id": method_id, "label": f"{known.label}, healed"})


def symbol_of(method_id: str) -> str:
    """The shape of a method on charts. What is cut and not healed, the exception, has a shape of its own."""
    known = METHODS[plain(method_id)]
    cut = [m.id for m in METHODS.values() if m.family in ("depth", "width")]
    free = [s for s in SPARE if s not in {m.symbol for m in METHODS.values()}] or SPARE
    return free[cut.index(method_id) % len(free)] if method_id in cut else known.symbol


def plain(method_id: str) -> str:
    """The id without the mark of healing."""
    return method_id.removesuffix(HEALED)
