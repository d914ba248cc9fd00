"""One home with the three studies, and the fixtures of the pages."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.base.settings import Settings
from core.report.costs import Prices
from core.report.model import Report, build
from core.report.write import render
from core.store import Store
from tests.pages.conftest import opens as opens
from tests.pages.conftest import settings as settings
from tests.pages.conftest import store as store
from tests.surfaces.studies import STUDIES, write

BY_SIZE = {"x": "disk_bytes", "y": "perplexity"}
"""Axes that the tests ask for in the address, else engineers see what is removed against the loss."""
PRICES = Prices(per_hour=2.5, currency="EUR", watts=300.0)


@dataclass(frozen=True)
class Home:
    """A home and the ids of its studies, by name."""

    settings: Settings
    runs: dict[str, str]

    def report(self, study: str, audience: str = "engineers", picks: tuple[str, ...] = ()) -> Report:
        """The report of a study with all its candidates, or those picked."""
        known = Store(self.settings)
        run = self.runs[study]
        results = known.candidates.results(run_id=run)
        keys = picks or tuple(r.key for r in results if not r.baseline)
        told = "engineers" if audience == "engineers" else "executives"
        axes = (BY_SIZE["x"], BY_SIZE["y"]) if told == "engineers" else None
        return build(known.runs.get(run), results, keys, audience=told, prices=PRICES, axes=axes)

    def form(self, study: str, form: str, audience: str = "engineers") -> bytes:
        found = {"html": "html", "pptx": "pptx", "pdf": "pdf", "csv": "csv", "json": "json"}[form]
        return render(self.report(study, audience), found)  # type: ignore[arg-type]


@pytest.fixture
def studies(home: Settings) -> Home:
    return Home(home, {name: write(home, name) for name in STUDIES})
