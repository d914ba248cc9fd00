"""The store of one home: its tables, each with a small class of its own."""

from __future__ import annotations

from core.base.settings import Settings
from core.store.candidates import Candidates
from core.store.checking import Problem, differences
from core.store.columns import Columns
from core.store.comparisons import Comparisons
from core.store.connection import Database
from core.store.events import Events, Series
from core.store.runs import Runs
from core.store.trials import Trials
from core.store.votes import Votes


class Store:
    """Everything recorded in a home. Safe to share between threads and processes.

    With `read_only` SQLite itself refuses to write: pages look through such a one, and change things through
    `core.jobs`, which asks for the right to.

    Raises:
        RetortError: see `core.store.connection.Database`.
    """

    def __init__(self, settings: Settings, *, read_only: bool = False) -> None:
        database = Database(settings.database, read_only=read_only)
        self.settings = settings
        self._database = database
        self.runs = Runs(database, settings)
        self.trials = Trials(database)
        self.candidates = Candidates(database, settings.home / "candidates")
        self.columns = Columns(database)
        self.events = Events(database)
        self.series = Series(database)
        self.votes = Votes(database)
        self.comparisons = Comparisons(database)

    def differences(self) -> list[Problem]:
        """Where the index and the folders do not say the same."""
        return list(differences(self._database))
