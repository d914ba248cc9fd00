"""Whether trying a run again can help: a resume is offered only then."""

from __future__ import annotations

from collections.abc import Sequence

from core import __version__
from core.base.errors import SAME_AGAIN
from core.store import RunRow, TrialRow


def can_help(run: RunRow, trials: Sequence[TrialRow]) -> bool:
    """False where all is done, and where what failed is impossible for this recipe and this model.

    Another version of Retort may be able to do what the one that ran it was not.
    """
    if run.active:
        return False
    if run.state == "cancelled":
        return True
    failed = [t for t in trials if t.state == "failed"]
    if run.state == "done" and not failed:
        return False
    if run.version not in ("", __version__):
        return True
    remedies = [run.remedy] if run.state == "failed" else [t.remedy for t in failed]
    return any(not remedy.endswith(SAME_AGAIN) for remedy in remedies)
