"""Runs and results as documents and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.analysis.differences import difference
from core.analysis.paired_times import busy, stray, timed
from core.analysis.recommendation import recommend
from core.analysis.recommendation_words import advice, sentence
from core.analysis.time_references import aligned, references, sentences
from core.commands.terminal import put, put_table
from core.jobs.resumable import can_help
from core.recipe.results import Result
from core.registry.formatting import DASH, in_full, interval
from core.registry.measurement import find_metric
from core.registry.metrics import metric
from core.registry.tasks import TASK_SETS, accuracy_id
from core.store import RunRow, TrialRow

_COLUMNS = (
    "perplexity",
    "loss_change",
    "kl_to_teacher",
    "top1_agreement",
    "parameters",
    "disk_bytes",
    "prefill_ms",
    "decode_ms",
)


def run_document(
    run: RunRow,
    trials: Sequence[TrialRow] | None = None,
    results: Sequence[Result] | None = None,
    failed: Sequence[TrialRow] = (),
) -> dict[str, object]:
    """A run as plain data; times in ISO 8601. Per-window samples are left out: they are in each result's file."""
    document: dict[str, object] = {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "model": run.model,
        "state": run.state,
        "created": _time(run.created),
        "started": _time(run.started),
        "finished": _time(run.finished),
        "done": run.done,
        "total": run.total,
        "message": run.message,
        "error": {"cause": run.cause, "remedy": run.remedy} if run.cause else None,
        "trials": {"total": run.trials_total, "done": run.trials_done, "failed": run.trials_failed},
        "tags": list(run.tags),
    }
    known = trials if trials is not None else failed
    document["failed"] = [
        {"trial": t.label, "cause": t.cause, "remedy": t.remedy} for t in known if t.state == "failed"
    ]
    document["resume_can_help"] = can_help(run, known)
    if trials is not None:
        document["trial_list"] = [
            {
                "index": t.index,
                "label": t.label,
                "key": t.key,
                "state": t.state,
                "error": {"cause": t.cause, "remedy": t.remedy} if t.cause else None,
            }
            for t in trials
        ]
    if results is not None:
        document["recipe"] = run.recipe
        document["candidates"] = [
            r.model_dump(mode="python", exclude={"measurements": {"__all__": {"samples"}}}) for r in results
        ]
    return document


def show_results(results: Sequence[Result]) -> None:
    """A table of candidates with their main figures: each with its unit, its error, and whether that makes it a tie.

    Times are comparable ones (core/analysis/paired_times.py); how they came about is said below the table.
    """
    results = aligned(results)
    dense = {r.key: r for r in results if r.baseline}
    found = {m.metric for r in results for m in r.measurements}
    columns = [m for m in (*_usual(found), *_COLUMNS) if m in found]
    head = ["candidate", *(metric(m).label for m in columns)]
    rows = [[r.label, *(_cell(r, dense.get(r.baseline_key or ""), m) for m in columns)] for r in results]
    put_table(head, rows)
    if any(", tie" in cell for row in rows for cell in row[1:]):
        put("tie: no difference from the dense baseline beyond the error.")
    _say_times(results, columns)
    devices = {m.device for r in results for m in r.measurements if m.metric in ("prefill_ms", "decode_ms")}
    if devices:
        put(f"Latency on: {', '.join(sorted(devices))}.")
    _recommend(results)


def _recommend(results: Sequence[Result]) -> None:
    """What follows from the figures, and what to do next, in the words of the pages."""
    told = recommend([r for r in results if not r.baseline], next((r for r in results if r.baseline), None))
    if told is None:
        return
    put(sentence(told))
    if (step := advice(told)) is not None:
        put(f"Next: {step.sentence}")


def _usual(found: set[str]) -> list[str]:
    """The accuracy usually reported of each task, of a classifier its accuracy and F1."""
    tasks = dict.fromkeys(m.partition(":")[2] for m in sorted(found) if m.startswith("accuracy") and ":" in m)
    both = [(accuracy_id(t, t in TASK_SETS and TASK_SETS[t].normalised), accuracy_id(t)) for t in tasks]
    return ["accuracy", "f1", *(first if first in found else other for first, other in both)]


def _cell(result: Result, dense: Result | None, metric_id: str) -> str:
    """'31.6 (29.2 to 34.2), tie'; a mark where the machine was busy, or where a time cannot be compared."""
    found = find_metric(result.measurements, metric_id)
    if found is None:
        return DASH
    change = difference(result, dense, metric_id) if dense is not None and not result.baseline else None
    known = bool(interval(found)) or timed(found)
    tied = change is not None and change.better is None and known and not stray(found)
    marks = ["tie"] if tied else []
    marks += ["not comparable"] if stray(found) else []
    marks += ["busy"] if timed(found) and busy(found) else []
    return ", ".join([in_full(found), *marks])


def _say_times(results: Sequence[Result], columns: Sequence[str]) -> None:
    """What the times in the table are, and what its marks on them mean."""
    refs = references(results)
    for name in columns:
        if said := sentences(refs, name):
            put(said)
    shown = [m for r in results for m in r.measurements if m.metric in columns and timed(m)]
    if any(map(busy, shown)):
        put("busy: timed while other work kept the machine busy; 'python -m core time RUN' takes only these again.")
    if any(map(stray, shown)):
        put("not comparable: timed without the dense model in turns with it.")


def _time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
