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
        return Impossible if isinstance(self, Impossible) else RetortError, (self.cause, self.remedy)


SAME_AGAIN = "The same again would fail the same way: start a changed recipe as a new run."
"""The end of the remedy that is recorded for what is impossible, by which a resume is known to be of no use."""


class Impossible(RetortError):
    """What the recipe and the model decide between them: nothing outside them can make it work at another time."""


def recorded_remedy(error: RetortError) -> str:
    """The remedy as a run or a trial that failed keeps it."""
    return f"{error.remedy} {SAME_AGAIN}" if isinstance(error, Impossible) else error.remedy


class Cancelled(Exception):
    """Raised inside a job when its user asked it to stop; never shown as a failure."""
