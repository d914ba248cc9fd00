"""One figure of a report, with the words that every form writes for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.analysis.differences import Difference
from core.recipe.results import Result
from core.registry.formatting import DASH, show, shown, significant, spread
from core.registry.measurement import Measurement
from core.registry.metrics import metric

_MOST = 8  # settings in a sentence
_SHOWN = ("ratio", "baseline_", "reference", "measured_ms", "interval")
"""Settings that stand beside the figure already: what a time was compared with, and its error."""


@dataclass(frozen=True)
class Figure:
    """A measurement with its words."""

    measurement: Measurement
    candidate: Result
    difference: Difference | None

    @property
    def label(self) -> str:
        return metric(self.measurement.metric).label

    @property
    def shown(self) -> str:
        return shown(self.measurement)

    @property
    def value(self) -> str:
        """'33.8 ms', with a word where it is estimated."""
        return self.shown + (", estimated" if self.measurement.obtained == "estimated" else "")

    @property
    def against(self) -> str:
        """The change against the original, and how it was tested; '' where there is none to compare with."""
        d = self.difference
        return "" if d is None else f"{d.change}; {d.evidence}" if d.evidence else d.change

    @property
    def spread(self) -> str:
        """'32.6 to 36.9 ms', or why there is no interval; an en dash where no error is known."""
        return spread(self.measurement) or DASH

    @property
    def original(self) -> str:
        """The baseline's figure beside it; an en dash where there is none to compare with."""
        d = self.difference
        m = self.measurement
        return DASH if d is None or d.original is None else show(m.metric, d.original, m.unit)

    @property
    def obtained(self) -> str:
        """'measured on cpu in bfloat16 (threads 2)': how it came about."""
        m = self.measurement
        where = f" on {m.device}" + (f" in {m.dtype}" if m.dtype else "")
        return f"{m.obtained}{where}" + (f" ({settings_in_words(m.settings)})" if m.settings else "")


def settings_in_words(settings: Mapping[str, object] | None) -> str:
    """'threads 2, prompt 128': the plain ones among some settings."""
    if not settings:
        return "not recorded"
    flat = {k: v for k, v in settings.items() if isinstance(v, str | int | float) and not isinstance(v, bool)}
    told = {k: v for k, v in flat.items() if not k.startswith(_SHOWN)}
    words = [f"{k.replace('_', ' ')} {significant(v, 4) if isinstance(v, float) else v}" for k, v in told.items()]
    return ", ".join(words[:_MOST]) or "as in the recipe"
