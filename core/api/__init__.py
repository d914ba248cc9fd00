"""Retort from Python: `from core import api as retort`. The same recipes and the same engine as the pages.

Every function makes a recipe and runs it (`run`), in this process or, with `job=True`, as a job that outlives it; what
has been computed in a data folder is not computed again. Results are pandas tables: a row per model, a column per
metric in the unit of `core.registry.metrics`; `table.attrs["run"]` is the run's id, `table.attrs["units"]` the units.

Importing this module is light: torch is imported when something runs. docs/python.md shows each function.
"""

from __future__ import annotations

from core.api.results import Home, compare, results
from core.api.running import run
from core.api.tasks import distil, evaluate, export, measure, prune

__all__ = ["Home", "compare", "distil", "evaluate", "export", "measure", "prune", "results", "run"]
