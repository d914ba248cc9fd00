"""The candidates of one study or several as a table of numbers: one row each, every wished metric a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from core.metrics import BYTE_UNITS, COUNT_UNITS, Measurement, metric


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


@dataclass(frozen=True)
class Column:
    """How the numbers of a metric stand in a table: divided by `scale`, in plotly's and printf's `format`."""

    label: str
    scale: float
    format: str


def column(metric_id: str, most: float) -> Column:
    """A column for a metric whose largest value is `most`: one unit for all rows, so that they sort and compare."""
    described = metric(metric_id)
    if described.unit == "B":
        scale, unit = next(((s, u) for u, s in BYTE_UNITS if abs(most) >= s), (1.0, "B"))
        return Column(described.label, scale, f"%.{0 if scale == 1.0 else 1}f {unit}")
    if metric_id in ("parameters", "nonzero_parameters"):
        scale, unit = next(((s, u) for u, s in COUNT_UNITS if abs(most) >= s), (1.0, ""))
        return Column(described.label, scale, f"%.{0 if scale == 1.0 else 1}f {unit}".strip())
    if described.unit == "%":
        return Column(described.label, 1.0, "%.1f %%")
    return Column(described.label, 1.0, f"%.{described.digits}g {described.unit}".strip())


def frame(candidates: Sequence[Named], figures: Figures) -> pd.DataFrame:
    """One row a candidate, in the given order: `key`, `label`, and a column of numbers for each metric.

    What was not measured is missing.
    """
    table = pd.DataFrame({"key": [c.key for c in candidates], "label": [c.label for c in candidates]})
    for name, values in figures.items():
        found = [values[c.key].value if c.key in values else None for c in candidates]
        table[name] = pd.Series(found, dtype="float64")
    return table
