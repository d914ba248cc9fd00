"""The candidates of one study or several as a table of numbers: one row each, every wished metric a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from core.registry.measurement import Measurement


class Named(Protocol):
    """What is known of a candidate without its figures."""

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def method(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Brief:
    """A candidate with the few figures that something needs; stands where a `Result` would."""

    key: str
    label: str
    method: str
    measurements: tuple[Measurement, ...]


Figures = Mapping[str, Mapping[str, Measurement]]
"""Metric id -> key of a candidate -> its figure."""


def briefs(candidates: Sequence[Named], figures: Figures) -> list[Brief]:
    """The candidates with those of the figures that they have."""
    return [
        Brief(c.key, c.label, c.method, tuple(f[c.key] for f in figures.values() if c.key in f)) for c in candidates
    ]


def frame(candidates: Sequence[Named], figures: Figures) -> pd.DataFrame:
    """One row a candidate, in the given order: `key`, `label`, and a column of numbers for each metric.

    What was not measured is missing.
    """
    table = pd.DataFrame({"key": [c.key for c in candidates], "label": [c.label for c in candidates]})
    for name, values in figures.items():
        found = [values[c.key].value if c.key in values else None for c in candidates]
        table[name] = pd.Series(found, dtype="float64")
    return table
