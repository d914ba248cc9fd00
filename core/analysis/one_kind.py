"""Energy counted on one machine and estimated on another is never drawn, limited or ranked together.

On a cluster only some nodes have a counter. A counted energy holds what the machine really drew; an estimate is watts
times seconds. The two say nothing about each other, so one kind is shown, and the other is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from core.analysis.paired_times import FROM_TIMES
from core.registry.measurement import Measurement, Obtained
from core.registry.metrics import metric


@dataclass(frozen=True)
class OneKind:
    """Figures of one metric by key, and the keys of the models whose figure was obtained in the other way."""

    figures: Mapping[str, Measurement]
    kind: Obtained = "measured"
    left_out: tuple[str, ...] = ()

    def sentence(self, dense: Collection[str] = ()) -> str:
        """What is left out and why; '' where nothing is. `dense`: keys of the baselines, which are no candidates."""
        if not self.left_out:
            return ""
        label = metric(next(iter(self.figures.values())).metric).label
        other = "estimated" if self.kind == "measured" else "measured"
        candidates = sum(k not in dense for k in self.left_out)
        named = [f"{candidates} candidate{'' if candidates == 1 else 's'}"] if candidates else []
        named += ["the dense baseline"] if candidates < len(self.left_out) else []
        verb = "is" if len(self.left_out) == 1 else "are"
        return (
            f"{label} is shown where it was {self.kind}. Left out {verb} {' and '.join(named)}, where it was {other}: "
            "measured and estimated energy cannot be compared."
        )


def one_kind(figures: Mapping[str, Measurement]) -> OneKind:
    """The figures obtained as most of these were (equally many: the measured ones); others than energy as they are."""
    if not figures or next(iter(figures.values())).metric not in FROM_TIMES:
        return OneKind(figures)
    measured = {k for k, m in figures.items() if m.obtained == "measured"}
    kind: Obtained = "measured" if 2 * len(measured) >= len(figures) else "estimated"
    kept = {k: m for k, m in figures.items() if m.obtained == kind}
    return OneKind(kept, kind, tuple(k for k in figures if k not in kept))
