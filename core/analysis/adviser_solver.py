"""The combination that reaches the megabytes and milliseconds somebody named: pruning, int8, training, export."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from core.analysis.adviser_plans import EVALUATE, Technique, select_and_distil

LEAST_KEPT = 0.3
"""Share of the blocks below which no plan is made: what is left then is another model."""
GENTLE = 0.75
"""Share of the blocks from which on pruning alone is proposed; below, int8 is gentler than taking out more."""
INT8_SHARE = 0.5
MOST_AT_ONCE = 0.33
"""Share of the blocks that goes in one round: beyond a third, training does not catch up."""


@dataclass(frozen=True)
class Wish:
    """What is there, and what it shall become. Bytes are of weights in 16 bits.

    Attributes:
        room: bytes that the weights may take; None: any.
        milliseconds, dense_ms: what a token may take, and what it takes now on the same machine; None: not known.
    """

    parameters: int
    block_parameters: int
    room: float | None = None
    milliseconds: float | None = None
    dense_ms: float | None = None

    @property
    def outside(self) -> float:
        """Bytes of what no plan makes smaller: embeddings and head."""
        return 2.0 * (self.parameters - self.block_parameters)

    def kept_for_room(self, byte_share: float) -> float:
        """Share of the blocks that may stay for the bytes; 1: all of it."""
        if self.room is None or self.block_parameters == 0:
            return 1.0
        return min(1.0, (self.room - self.outside) / (2.0 * self.block_parameters * byte_share))

    @property
    def kept_for_time(self) -> float:
        """The same for the milliseconds: the time of a token is taken to follow the parameters."""
        if self.milliseconds is None or self.dense_ms is None or self.block_parameters == 0:
            return 1.0
        left = self.milliseconds / self.dense_ms * self.parameters
        return min(1.0, (left - (self.parameters - self.block_parameters)) / self.block_parameters)

    def milliseconds_at(self, kept: float) -> float | None:
        """What a token is estimated to take with that share of the blocks."""
        if self.dense_ms is None:
            return None
        return self.dense_ms * (1.0 - (1.0 - kept) * self.block_parameters / max(1, self.parameters))

    @property
    def least_bytes(self) -> float:
        """The smallest that a plan reaches."""
        return self.outside + LEAST_KEPT * INT8_SHARE * 2.0 * self.block_parameters


def solved(
    wish: Wish, *, adapted: bool, experts: bool, causal: bool, trains: bool, export: str | None = None
) -> Technique | None:
    """The gentlest combination that reaches the wish; None where nothing needs to be combined, or nothing reaches it.

    Args:
        trains: there is text to train on, and time.
        export: the format it is written in before its weights become int8; None: in none.
    """
    full, half = wish.kept_for_room(1.0), wish.kept_for_room(INT8_SHARE)
    time = wish.kept_for_time
    if min(full, time) >= 1.0 or (half >= 1.0 and time >= 1.0) or not adapted:
        return None  # it fits as it is, or int8 alone does it, or no part can be taken out
    if min(full, time) >= GENTLE and causal and not experts:
        return _searched(wish, min(full, time))
    kept = math.floor(1000.0 * min(half, time)) / 1000.0
    if kept < LEAST_KEPT:
        return None
    return _combined(kept, causal=causal, experts=experts, trains=trains, export=export)


def _searched(wish: Wish, kept: float) -> Technique:
    budget: dict[str, Any] = {"keep": 3}
    if wish.room is not None:
        budget["megabytes"] = math.floor(wish.room / 1e5) / 10.0
    if wish.milliseconds is not None:
        budget["decode_ms"] = wish.milliseconds
    return Technique(
        id="solved",
        title="Search the shapes that keep your limits",
        how="What each layer, head and neuron matters is measured, what a layer takes is timed, and the best shapes "
        "within the limits are built and measured.",
        why=f"About {100 * kept:.0f} % of the blocks may stay, so no other means are needed.",
        quality="The best three shapes are measured on your machine: look at their loss.",
        source="Estimated from the model's shapes; the search times this machine",
        takes="Minutes and some text to calibrate on.",
        against="Nothing is trained: distil the best of them afterwards if it loses too much.",
        needs=("adapted",),
        points={"too_large": 9, "latency": 9},
        kept=kept,
        sweep={"budget": budget},
    )


def _combined(kept: float, *, causal: bool, experts: bool, trains: bool, export: str | None) -> Technique:
    gone = round(1.0 - kept, 3)
    steps: tuple[dict[str, Any], ...]
    if trains and causal and not experts:
        rounds = max(1, math.ceil(math.log(kept) / math.log(1.0 - MOST_AT_ONCE)))
        each = math.ceil(1000.0 * (1.0 - kept ** (1.0 / rounds))) / 1000.0
        steps = (*EVALUATE, *(step for _ in range(rounds) for step in select_and_distil(each)), *EVALUATE)
        what = f"Take {100 * gone:.0f} % of the blocks out, train what is left, and"
    else:
        method = "reap" if experts else "block_influence" if causal else "width_activations"
        steps = (*EVALUATE, {"step": "prune", "method": method, "target": {"block_fraction": gone}}, *EVALUATE)
        what = f"Take {100 * gone:.0f} % of the blocks out and"
    if export is not None:
        steps = (*steps, {"step": "export", "format": export})
    return Technique(
        id="solved",
        title=f"{what} keep the weights as int8",
        how="Parts go, those that matter least first; then the linear layers that are left hold 8-bit integers.",
        why=f"int8 halves the blocks, and {100 * kept:.0f} % of them may stay.",
        quality="Every step is measured beside the original: look at what each costs.",
        source="Estimated from the model's shapes",
        takes="Training text, and hours on a processor or minutes on a graphics card."
        if trains
        else "Minutes and some text to calibrate on.",
        against="Much is changed at once. The run measures each step, so that you see which one costs what.",
        needs=("adapted",),
        points={"too_large": 9, "latency": 9},
        kept=kept,
        byte_share=INT8_SHARE,
        steps=(*steps, {"step": "quantise"}, *EVALUATE),
    )
