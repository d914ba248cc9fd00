"""`runs`: the list of runs. It imports little, so that it answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from core.base.settings import Settings
from core.commands.outcome import list_failures
from core.commands.terminal import put, put_json, put_table, say
from core.store import RunRow, Store, TrialRow


def listing(chosen: argparse.Namespace, settings: Settings) -> int:
    """Lists runs, newest first; what they wait for and what failed in them is said below."""
    store = Store(settings)
    found = store.runs.find(states=chosen.state, limit=chosen.limit)
    waiting = _waiting([run for run in found if run.state == "queued"], store)
    if chosen.json:
        from core.commands.show import run_document  # with all that reads figures; the table needs none

        documents = [run_document(run, failed=_failed(run, store)) for run in found]
        put_json({"runs": [{**d, "waits_for": waiting.get(str(d["id"]), "")} for d in documents]})
    elif found:
        _table(found)
        for run_id, sentence in waiting.items():
            put(f"{run_id}: {sentence}")
        for run in found:
            list_failures(run, _failed(run, store))
    else:
        say("No runs yet. Start one with: python -m core sweep examples/sample-study.yaml")
    return 0


def _failed(run: RunRow, store: Store) -> list[TrialRow]:
    """The failed trials of a run; most have none, and then nothing is read."""
    return [t for t in store.trials.of(run.id) if t.state == "failed"] if run.trials_failed else []


def _waiting(queued: Sequence[RunRow], store: Store) -> dict[str, str]:
    """What each queued run waits for, by its id."""
    if not queued:
        return {}
    from core.jobs.waiting import waits_for  # with all that keeps the machine busy; most lists have none of these

    return {run.id: waits_for(run, store) for run in queued}


def _table(runs: Sequence[RunRow]) -> None:
    """A table of runs."""
    rows = [
        [r.id, _state(r), f"{r.trials_done}/{r.trials_total}" if r.trials_total else "", r.kind, r.model, r.name]
        for r in runs
    ]
    put_table(["run", "state", "trials", "kind", "model", "name"], rows)


def _state(run: RunRow) -> str:
    return f"{run.state}, {run.trials_failed} failed" if run.state == "done" and run.trials_failed else run.state
