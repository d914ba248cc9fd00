"""What people write beside runs: tags, notes, votes, comparisons. Each asks first whether `actor` may."""

from __future__ import annotations

from collections.abc import Sequence

from core.base.roles import Actor, check
from core.base.settings import Settings
from core.recipe.comparisons import Comparison
from core.store import Store


def annotate(
    run_id: str, settings: Settings, actor: Actor, *, tags: Sequence[str] | None = None, notes: str | None = None
) -> None:
    """Changes tags and note of a run; None leaves them. Its events say who did, where people sign in.

    Raises:
        RetortError: no right to, there is no such run, or a tag or the note breaks the rules of core/store/labels.py.
    """
    check(actor, "note")
    store = Store(settings)
    store.runs.annotate(run_id, tags=tags, notes=notes)
    if actor.name:
        store.events.add(run_id, "info", f"Tags and note changed by {actor.name}.")


def vote(first: str, second: str, prompt: str, preferred: str | None, settings: Settings, actor: Actor) -> None:
    """Records a blind vote between two models; `preferred` is one of them, or None for neither.

    Raises:
        RetortError: no right to.
    """
    check(actor, "note")
    Store(settings).votes.add(first, second, prompt, preferred, voter=actor.name)


def forget_votes(first: str, second: str, settings: Settings, actor: Actor) -> None:
    """Deletes all votes between two models, whoever cast them.

    Raises:
        RetortError: no right to.
    """
    check(actor, "delete")
    Store(settings).votes.clear(first, second)


def save_comparison(comparison: Comparison, settings: Settings, actor: Actor) -> Comparison:
    """Saves what somebody compared, in place of a former one of the same models and settings.

    Raises:
        RetortError: no right to.
    """
    check(actor, "run")
    return Store(settings).comparisons.add(comparison.model_copy(update={"made_by": actor.name}))


def forget_comparison(comparison_id: str, settings: Settings, actor: Actor) -> None:
    """Deletes a saved comparison.

    Raises:
        RetortError: no right to.
    """
    check(actor, "delete")
    Store(settings).comparisons.remove(comparison_id)
