"""Candidates as a table: one row each, every metric with its interval and how it was obtained."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.methods import method
from core.results import Result

_ABOUT = ("key", "label", "method", "method_label", "structured", "baseline", "baseline_key", "saved")


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row a candidate, in the given order.

    Columns: what it is (`key`, `label`, `method`, ...), then for each metric `M` that any candidate has: `M`,
    `M_low`, `M_high`, `M_obtained` ('measured' or 'estimated') and `M_relative`, its ratio to the baseline of
    the same run. What was not measured is missing, as is the ratio where the baseline is absent or 0.
    """
    known = {r.key: r for r in results}
    metrics = list(dict.fromkeys(m.metric for r in results for m in r.measurements))
    suffixes = ("", "_low", "_high", "_obtained", "_relative")
    columns = [*_ABOUT, *(f"{m}{s}" for m in metrics for s in suffixes)]
    table = pd.DataFrame([_row(r, known.get(r.baseline_key or "")) for r in results], columns=columns)
    numbers = [c for m in metrics for c in (m, f"{m}_low", f"{m}_high", f"{m}_relative")]
    return table.astype(dict.fromkeys(numbers, "float64"))


def _row(result: Result, baseline: Result | None) -> dict[str, object]:
    described = method(result.method)
    row: dict[str, object] = {
        "key": result.key,
        "label": result.label,
        "method": result.method,
        "method_label": described.label if described else result.method,
        "structured": described.structured if described else False,
        "baseline": result.baseline,
        "baseline_key": result.baseline_key,
        "saved": result.saved,
    }
    dense = {m.metric: m.value for m in (baseline or result).measurements} if baseline or result.baseline else {}
    for m in result.measurements:
        reference = dense.get(m.metric)
        row |= {
            m.metric: m.value,
            f"{m.metric}_low": m.low,
            f"{m.metric}_high": m.high,
            f"{m.metric}_obtained": m.obtained,
            f"{m.metric}_relative": m.value / reference if reference else None,
        }
    return row
