"""The only SQL of the project: an SQLite index over what the run and candidate folders hold."""

from core.store.rows import CandidateRow, EventRow, RunCounts, RunRow, SeriesPoint, TrialRow
from core.store.store import Store

__all__ = ["CandidateRow", "EventRow", "RunCounts", "RunRow", "SeriesPoint", "Store", "TrialRow"]
