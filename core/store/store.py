"""The store of one home: its tables, each with a small class of its own."""

from __future__ import annotations

from core.settings import Settings
from core.store.candidates import Candidates
from core.store.connection import BUSY_SECONDS, Database
from core.store.events import Events, Series
from core.store.runs import Runs
from core.store.trials import Trials
from core.store.votes import Votes


class Store:
    """Everything recorded in a home. Safe to share between threads and processes.

    Raises:
        RetortError: see `core.store.connection.Database`.
    """

    def __init__(self, settings: Settings, busy_seconds: float = BUSY_SECONDS) -> None:
        database = Database(settings.database, busy_seconds)
        self.settings = settings
        self.runs = Runs(database)
        self.trials = Trials(database)
        self.candidates = Candidates(database, settings.home / "candidates")
        self.events = Events(database)
        self.series = Series(database)
        self.votes = Votes(database)
