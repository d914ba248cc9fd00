"""`time`: times candidates of a run again beside the dense model, and nothing else."""

from __future__ import annotations

import argparse

from core.analysis.paired_times import busy, ratio_of, timed
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.runs import RunProgress
from core.commands.show import run_document, show_results
from core.commands.terminal import Line, put, put_json, say
from core.jobs import actions, submissions
from core.recipe.results import Result
from core.store import Store


def time(chosen: argparse.Namespace, settings: Settings) -> int:
    """Queues the timing, follows it, and shows the study with its new times.

    Raises:
        RetortError: there is no such run or candidate, or none of its times needs to be taken again.
    """
    store = Store(settings)
    results = store.candidates.results(run_id=store.runs.get(chosen.run).id)
    keys = [_one(part, results) for part in chosen.candidate] or [r.key for r in results if doubtful(r)]
    if not keys:
        raise RetortError(
            "No time of this run was taken on a busy machine or without the dense model.",
            "Name a candidate with --candidate to time it again all the same.",
        )
    timing = submissions.submit_timing(chosen.run, keys, settings, LOCAL)
    if chosen.detach:
        put_json({"id": timing, "candidates": keys}) if chosen.json else put(timing)
        return 0
    with Line() as line:
        run = actions.wait(timing, settings, watch=RunProgress(settings, line))
    results = store.candidates.results(run_id=chosen.run)
    if chosen.json:
        put_json(run_document(run, None, [r for r in results if r.key in keys]))
    elif run.state == "done":
        show_results(results)
    if run.state != "done":
        say(f"{run.cause} {run.remedy}".strip() or f"The timing was {run.state}.")
    return 0 if run.state == "done" else 1


def doubtful(result: Result) -> bool:
    """Whether a candidate's times were taken on a busy machine, or not in turns with the dense model."""
    times = [m for m in result.measurements if timed(m)]
    return any(busy(m) or (ratio_of(m) is None and not result.baseline) for m in times)


def _one(part: str, results: list[Result]) -> str:
    found = [r.key for r in results if r.key == part or (len(part) >= 6 and r.key.startswith(part))]
    if len(found) != 1:
        raise RetortError(
            f"'{part[:40]}' names no candidate of this run.", "Use the keys that 'core runs --json' shows."
        )
    return found[0]


def register(one: argparse.ArgumentParser) -> None:
    """The options of `time`."""
    one.add_argument("run", metavar="RUN")
    one.add_argument(
        "--candidate",
        metavar="KEY",
        action="append",
        default=[],
        help="a candidate's key or its beginning, may be repeated (default: all whose times are doubtful)",
    )
    one.add_argument("--detach", action="store_true", help="leave it to the runner")
