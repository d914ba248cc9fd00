"""What runs came to, as pandas tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.analysis.differences import difference
from core.base.errors import RetortError
from core.base.settings import Settings
from core.recipe.results import Result
from core.registry.metrics import metric
from core.store import Store

if TYPE_CHECKING:
    import pandas as pd

Home = Settings | Path | str | None
"""A data folder: its path, settings, or None for `RETORT_HOME` or the user's own."""


def settings_of(home: Home) -> Settings:
    """The settings of a data folder."""
    return home if isinstance(home, Settings) else Settings.load(home)


def results(run: str, *, home: Home = None) -> pd.DataFrame:
    """The models of a run, in the order of its trials; the dense baseline first.

    Returns:
        Rows by `label`. Columns: `key` (the candidate's), `model` (the reference later recipes name it by, or None
        where the model itself was not kept), `folder` (that plain transformers loads, or None), `method`, then a
        column per metric measured, in the unit that `attrs["units"]` gives (bytes, milliseconds, nats, percent;
        shares 0 to 1).

    Raises:
        RetortError: there is no such run.
    """
    import pandas as pd

    store = Store(settings_of(home))
    store.runs.get(run)
    found = store.candidates.results(run_id=run)
    rows = [_row(run, one, store) for one in found]
    table = pd.DataFrame(rows).set_index("label") if rows else pd.DataFrame()
    metrics = dict.fromkeys(m.metric for one in found for m in one.measurements)
    table.attrs = {"run": run, "units": {m: metric(m).unit for m in metrics}}
    return table


def compare(*tables: pd.DataFrame, metrics: Sequence[str] = (), home: Home = None) -> pd.DataFrame:
    """Each model of some results beside the dense baseline it was measured with, as the cards of the pages have it.

    Args:
        tables: what `run`, `prune` and the like returned.
        metrics: ids of `core.registry.metrics`; empty: every one that both have.

    Returns:
        A row per model and metric: `label`, `metric`, `value`, `baseline` (both in the metric's unit), `change` (in
        words), `better` (None: a tie, or nothing can be claimed) and `evidence` (how that was tested; may be empty).

    Raises:
        RetortError: a table holds no candidates of this data folder.
    """
    import pandas as pd

    store = Store(settings_of(home))
    rows = [row for table in tables for one in _read(table, store) for row in _beside(one, store, metrics)]
    return pd.DataFrame(rows, columns=["label", "metric", "value", "baseline", "change", "better", "evidence"])


def _row(run: str, one: Result, store: Store) -> dict[str, object]:
    kept = {
        "label": one.label,
        "key": one.key,
        "model": f"run:{run}/{one.key}" if one.saved else None,
        "folder": str(store.candidates.folder(one.key) / "model") if one.saved else None,
        "method": one.method,
    }
    return {**kept, **{m.metric: m.value for m in one.measurements}}


def _read(table: pd.DataFrame, store: Store) -> list[Result]:
    keys = list(table["key"]) if "key" in table else []
    found = store.candidates.results(keys=keys)
    if not keys or len(found) < len(set(keys)):
        raise RetortError("A table names models that this data folder does not hold.", "Name its folder as 'home'.")
    return found


def _beside(one: Result, store: Store, metrics: Sequence[str]) -> list[dict[str, object]]:
    dense = store.candidates.get(one.baseline_key) if one.baseline_key and not one.baseline else None
    if dense is None:
        return []
    rows: list[dict[str, object]] = []
    for found in (m for m in one.measurements if not metrics or m.metric in metrics):
        gap = difference(one, dense, found.metric)
        if gap is not None:
            said = {"change": gap.change, "better": gap.better, "evidence": gap.evidence}
            rows.append(
                {"label": one.label, "metric": found.metric, "value": found.value, "baseline": gap.original, **said}
            )
    return rows
