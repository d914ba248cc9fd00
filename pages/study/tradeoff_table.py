"""The candidates of the Trade-offs page as a table: numbers that sort, written as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from core.analysis.paired_times import TIMES
from core.registry.formatting import DASH, scaled, show, spread
from core.registry.metrics import metric
from pages.frame.text import flat
from pages.study.tradeoff_data import Field

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

MOST = 2_000
"""Rows that are written out; of more, which takes the server longer than a page may, columns hold plain numbers."""


def table_of_figures(shown: Field, metrics: Sequence[str], methods: tuple[str, ...]) -> Styler | pd.DataFrame:
    """A row for each candidate; beside what has an error a column with its interval, beside times their ratio."""
    numbers = shown.table(metrics, methods)
    written = len(numbers) <= MOST
    columns: dict[str, object] = {"Candidate": [flat(label) for label in numbers["label"]]}
    formats: dict[str, object] = {}
    for name in metrics:
        label = metric(name).label
        if written:
            columns[label], formats[label] = numbers[name], partial(show, name)
        else:
            size, unit = scaled(name, float(numbers[name].abs().max()))
            label = f"{label}, {unit}" if unit else label
            columns[label] = numbers[name] / size
        if name in TIMES:
            ratios = shown.ratios(name)
            columns[f"{metric(name).label}, of the dense model's"] = [ratios.get(k, DASH) for k in numbers["key"]]
            continue
        figures = shown.values(name)
        ranges = [spread(figures[k]) if k in figures else "" for k in numbers["key"]]
        if any(ranges):
            columns[f"{metric(name).label}, range"] = [r or DASH for r in ranges]
    table = pd.DataFrame(columns)
    return table.style.format(formats) if written else table
