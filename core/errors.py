"""The one error a user ever sees: what happened, and what to do next."""

from __future__ import annotations


class RetortError(Exception):
    """A refusal in plain English.

    Args:
        cause: one sentence that says what happened.
        remedy: one sentence that says what to do next.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy


class Cancelled(Exception):
    """Raised inside a job when its user asked it to stop; never shown as a failure."""
