"""Waiting for a quiet machine, and timing again until the error is acceptable: both up to a limit that is said."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.analysis.paired_times import paired_ratio
from core.base.progress import Reporter
from core.engine.measure.clock import OtherLoad

ACCEPTED = 0.05
"""Half-width of a ratio's 95 % interval, as a share, from which on rounds are added."""
BLOCKS = 4
"""Most blocks of rounds that one measurement takes."""
_LOOK = 0.5  # seconds of watching what others do before each block


@dataclass
class Patience:
    """How long one run waits for a quiet machine in all; what is used up stays used up.

    Attributes:
        seconds: left to wait; 0: nobody waits, yet rounds are added where the error asks for them.
        waited: so far.
    """

    seconds: float = 0.0
    waited: float = 0.0
    said: bool = False

    def wait(self, reporter: Reporter) -> None:
        """Returns once other work leaves the machine quiet for half a second, or the patience is at its end."""
        whole = self.seconds + self.waited
        while self.seconds > 0.0:
            started = time.monotonic()
            with OtherLoad() as load:
                time.sleep(min(_LOOK, self.seconds))
            if not load.contended:
                return
            if not self.said:
                reporter.event("info", f"Other work keeps this machine busy: timing waits for it, {whole:g} s in all.")
                self.said = True
            passed = time.monotonic() - started
            self.seconds, self.waited = max(0.0, self.seconds - passed), self.waited + passed
            reporter.progress(self.waited, whole, f"Waiting for a quiet machine: others use {load.cores:.1f} cores.")
            reporter.checkpoint()


@dataclass
class Block:
    """Some rounds of timing, and what others did meanwhile."""

    times: Mapping[str, Any]
    load: OtherLoad


def kept(blocks: Sequence[Block]) -> list[Block]:
    """The blocks that count: those on a quiet machine, or all where there is none."""
    return [b for b in blocks if not b.load.contended] or list(blocks)


def surroundings(blocks: Sequence[Block]) -> dict[str, Any]:
    """What a timing says of them."""
    counted = kept(blocks)
    cores = max(b.load.cores for b in counted)
    said: dict[str, Any] = {"contended": any(b.load.contended for b in counted), "other_cpu_cores": round(cores, 2)}
    if len(blocks) > 1:
        said |= {"blocks": len(blocks), "blocks_left_out": len(blocks) - len(counted)}
    return said


def error_of(series: Sequence[Sequence[float]], rounds: int) -> float:
    """The largest half-width of the ratios to the first series, as a share; 0 for one series alone."""
    ratios = [paired_ratio(other, series[0], rounds) for other in series[1:]]
    return max((math.sqrt(r.high / r.low) - 1.0 if r.bounded else math.inf for r in ratios), default=0.0)
