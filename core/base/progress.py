"""How the engine talks to whoever started it, without knowing who that is."""

from __future__ import annotations

from typing import Any, Literal, Protocol

Level = Literal["info", "warning", "error"]


class Reporter(Protocol):
    """What the engine needs from its caller. The worker writes to the store, the tests to a list."""

    def progress(self, done: float, total: float, message: str) -> None:
        """`done` of `total` units of the current job are finished; `message` is one plain sentence."""

    def event(self, level: Level, message: str, **data: Any) -> None:
        """Something the user should be able to read later (damping raised, columns left dense, ...)."""

    def series(self, name: str, step: int, value: float) -> None:
        """One point of a live curve (a loss term, tokens per second, ...)."""

    def checkpoint(self) -> None:
        """Call between units of work. Raises `Cancelled` once the user asked to stop."""


class InMemoryReporter:
    """A reporter that keeps what it is told in memory: for library use and tests."""

    def __init__(self) -> None:
        self.events: list[tuple[Level, str, dict[str, Any]]] = []
        self.points: list[tuple[str, int, float]] = []
        self.messages: list[str] = []

    def progress(self, done: float, total: float, message: str) -> None:
        self.messages.append(message)

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.events.append((level, message, data))

    def series(self, name: str, step: int, value: float) -> None:
        self.points.append((name, step, value))

    def checkpoint(self) -> None:
        return None
