"""The one error a user ever sees: what happened, and what to do next."""

from __future__ import annotations


class RetortError(Exception):
    """A refusal in plain English.

    Args:
        cause: one sentence that says what happened.
        remedy: one sentence that says what to do next.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        # A file name may hold bytes that are no text: no terminal, page or database would take its name as it is.
        self.cause = cause.encode("utf-8", "replace").decode("utf-8")
        self.remedy = remedy.encode("utf-8", "replace").decode("utf-8")
        super().__init__(f"{self.cause} {self.remedy}")

    def __reduce__(self) -> tuple[type[RetortError], tuple[str, str]]:
        """Cause and remedy arrive where the error is sent to another process."""
        return RetortError, (self.cause, self.remedy)


class Cancelled(Exception):
    """Raised inside a job when its user asked it to stop; never shown as a failure."""
