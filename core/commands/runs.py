"""`sweep`, `run`, `show`, `resume` and `cancel`: start runs, follow them, and show what came out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from core.analysis.asserted import all_held
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.references import resolve
from core.catalogue.samples import refuse_unfetched
from core.commands.asserted import BROKEN, asserted_of, verdicts_of
from core.commands.outcome import exports_of, failures, put_exports, put_notes, say_failures
from core.commands.show import run_document, show_results
from core.commands.terminal import Line, put, put_json, say
from core.jobs import actions
from core.jobs.waiting import waits_for
from core.preflight.notes import beforehand
from core.preflight.samples import missing
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.store import EventRow, RunRow, Store, TrialRow


def start(chosen: argparse.Namespace, settings: Settings) -> int:
    """Queues the recipe and follows it. The run does not need this process: it goes on if the terminal closes.

    Raises:
        RetortError: the recipe is wrong, or cannot be queued.
    """
    recipe = load_recipe(chosen.recipe, settings.limits)
    if chosen.only == "sweep" and recipe.sweep is None:
        raise RetortError("This recipe has steps, not a sweep.", f"Use: python -m core run {chosen.recipe}")
    actions.check_limits(recipe, settings)
    refuse_what_is_not_here(recipe, settings)
    actions.check_recipe(recipe, settings)
    for note in beforehand(recipe, settings):
        say(note)
    run_id = actions.submit(recipe, settings, LOCAL)
    say(f"Run {run_id} is queued.")
    return _follow(run_id, chosen, settings)


def refuse_what_is_not_here(recipe: Recipe, settings: Settings) -> None:
    """A model or sample text that is missing is said now, not by a run that fails later. The hub is not asked."""
    if not recipe.model.startswith("hub:"):
        resolve(recipe.model, settings, None)
    needed = missing(recipe, settings)
    if len(needed) == 1:
        refuse_unfetched(needed[0], settings)
    elif needed:
        names = [sample.id for sample in needed]
        said = " and ".join(f"sample:{name}" for name in names)
        raise RetortError(
            f"{said} have not been fetched yet, or are damaged.",
            f"Fetch them with 'python -m core fetch {' '.join(names)}'.",
        )


def resume(chosen: argparse.Namespace, settings: Settings) -> int:
    """Queues a run again; what it finished is not repeated.

    Raises:
        RetortError: there is no such run, it is active, or nothing is left to do.
    """
    actions.resume(chosen.run, settings, LOCAL)
    return _follow(chosen.run, chosen, settings)


def cancel(chosen: argparse.Namespace, settings: Settings) -> int:
    """Asks a run to stop and waits until it has.

    Raises:
        RetortError: there is no such run.
    """
    before = Store(settings).runs.get(chosen.run)
    if not before.active:
        raise RetortError(f"'{before.name}' has ended already ({before.state}).", "There is nothing to cancel.")
    actions.cancel(chosen.run, settings, LOCAL)
    run = actions.wait(chosen.run, settings)
    _answer(run, chosen, settings, f"Run {run.id} is {run.state}. {run.message}".strip())
    return 0


def show(chosen: argparse.Namespace, settings: Settings) -> int:
    """Shows what a run came to: figures, notes, exports, and what failed and why.

    Raises:
        RetortError: there is no such run.
    """
    run = Store(settings).runs.get(chosen.run)
    if not chosen.json:
        put(f"Run {run.id}, {run.name}: {run.kind} of {run.model}, {run.state}.")
    return _outcome(run, chosen, settings)


def _outcome(run: RunRow, chosen: argparse.Namespace, settings: Settings) -> int:
    """Figures, notes and exports on standard output, failures on standard error; the exit status."""
    store = Store(settings)
    trials, results = store.trials.of(run.id), store.candidates.results(run_id=run.id)
    exports = exports_of(run, trials, settings)
    if chosen.json:
        put_json(run_document(run, trials, results) | {"exports": exports, "asserted": asserted_of(run, results)})
    elif results:
        show_results(results)
        put_notes(results)
        put_exports(exports)
    return _status(run, trials) or _kept(run, results, chosen.json)


def _kept(run: RunRow, results: Sequence[Result], quiet: bool) -> int:
    """Says what the recipe asserts and what came of it; 3 where something was not kept."""
    found = [] if run.active else verdicts_of(run, results)
    if found and not quiet:
        put("")
        for verdict in found:
            put(verdict.sentence)
    return 0 if all_held(found) else BROKEN


def _follow(run_id: str, chosen: argparse.Namespace, settings: Settings) -> int:
    if chosen.detach:
        run = Store(settings).runs.get(run_id)
        _answer(run, chosen, settings, run_id)
        return 0
    try:
        with Line() as line:
            run = actions.wait(run_id, settings, watch=RunProgress(settings, line))
    except KeyboardInterrupt:
        say(f"Cancelling; what is finished is kept. Go on later with: python -m core resume {run_id}")
        actions.cancel(run_id, settings, LOCAL)
        run = actions.wait(run_id, settings)
    return _outcome(run, chosen, settings)


def _status(run: RunRow, trials: Sequence[TrialRow]) -> int:
    """The exit status, and sentences on what went wrong."""
    if run.active:
        say(f"Run {run.id} is {run.state}. {run.message}".rstrip())
        return 0
    if run.state == "done" and not run.trials_failed:
        say(f"Run {run.id} is done.")
        return 0
    if run.state == "cancelled":
        for sentence in failures(run, trials):
            say(sentence)
        say(f"Cancelled. Go on with: python -m core resume {run.id}")
    else:
        say_failures(run, trials)
    return 1


def _answer(run: RunRow, chosen: argparse.Namespace, settings: Settings, text: str) -> None:
    if chosen.json:
        put_json(run_document(run))
    else:
        put(text)


def _told(event: EventRow) -> str:
    """An event with what it is about: the text that was written, the folder that was filled."""
    about = event.data.get("text") if "sample" in event.data else event.data.get("folder")
    return f"{event.message.removesuffix('.')}: {one_line(str(about), 200)}" if about else event.message


class RunProgress:
    """Shows a run's progress and, as they come, the sentences it records."""

    def __init__(self, settings: Settings, line: Line) -> None:
        self.line = line
        self._store = Store(settings)
        self._seen = 0

    def __call__(self, run: RunRow) -> None:
        for event in self._store.events.tail(run.id, after=self._seen):
            self.line.event(event.level, _told(event))
            self._seen = event.id
        if run.state == "running":
            self.line.progress(run.done, run.total, run.message)
        elif run.state == "queued":
            self.line.progress(0, 0, waits_for(run, self._store))
