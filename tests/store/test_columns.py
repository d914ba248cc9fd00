"""Candidates by column say what whole results say, for new and for old rows, and what has changed is noticed."""

from __future__ import annotations

import math

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.store import Store


@pytest.fixture
def store(home: Settings) -> Store:
    return Store(home)


VALUES = [2.5, math.inf, math.nan, 0.1 + 0.2]


def candidate(key: str, value: float, **fields: object) -> Result:
    samples = [value, 1.0, 2.0]
    found = [
        Measurement(
            metric="loss",
            value=value,
            unit="nats",
            low=1.0,
            high=3.0,
            samples=samples,
            device="cpu",
            dtype="bfloat16",
            settings={"corpus": "c", "samples": "each window"},
        ),
        Measurement(metric="disk_bytes", value=5.0, unit="B", obtained="estimated"),
    ]
    return Result.model_validate(
        {"key": key, "label": key.upper(), "model": "sample:x", "method": "wanda", "measurements": found, **fields}
    )


def filled(store: Store) -> tuple[str, list[Result]]:
    run = store.runs.add("sweep", "Study", "sample:x", {}, LOCAL)
    results = [candidate(f"k{i}", v) for i, v in enumerate(VALUES)]
    results[1] = candidate("k1", VALUES[1], method="distil", parent="k0", baseline_key="k0", saved=True)
    for result in reversed(results):
        store.candidates.add(result)
    store.trials.add(run, [Trial(index=i, key=r.key, label=r.label) for i, r in enumerate(results)])
    return run, results


@pytest.mark.parametrize("old", [False, True], ids=["new rows", "rows from before samples had a table"])
def test_columns_are_what_the_results_say(store: Store, old: bool) -> None:
    run, results = filled(store)
    if old:
        with store.runs._db.write() as db:
            db.execute("DELETE FROM samples")
    heads = store.columns.heads(run)
    assert [(h.key, h.label, h.method, h.baseline_key, h.saved) for h in heads] == [
        (r.key, r.label, r.method, r.baseline_key, r.saved) for r in results
    ]
    assert store.columns.metrics(run) == {"loss", "disk_bytes"}
    judged, sizes = store.columns.judged(run, "loss"), store.columns.values(run, "disk_bytes")
    for result in results:
        loss, size = result.measurements
        assert repr(judged[result.key]) == repr(loss)
        assert (sizes[result.key].value, sizes[result.key].obtained, sizes[result.key].unit) == (5.0, "estimated", "B")
        bare = store.columns.values(run, "loss")[result.key]
        assert repr((bare.value, bare.low, bare.high)) == repr((loss.value, loss.low, loss.high))
    assert store.columns.parents(["k0", "k1"]) == {"k1": "k0"}
    assert store.columns.values(run, "f1") == {} and store.columns.heads("gone") == []


def test_a_version_changes_with_the_candidates_and_with_nothing_else(home: Settings, store: Store) -> None:
    run, results = filled(store)
    other = store.runs.add("sweep", "Other", "sample:x", {}, LOCAL)
    known, state = store.columns.version((run,)), store.columns.state()
    assert (store.columns.version((run,)), store.columns.state()) == (known, state)
    Store(home).runs.annotate(other, notes="By another connection.")
    assert store.columns.state() != state and store.columns.version((run,)) == known
    store.candidates.add(results[0])
    assert store.columns.version((run,)) == known, "the same result again is no change"
    store.candidates.add(results[0].model_copy(update={"label": "Renamed"}))
    changed = store.columns.version((run,))
    assert changed != known and store.columns.heads(run)[0].label == "Renamed"
    store.trials.add(run, [Trial(index=0, key="k0", label="K0")])
    assert store.columns.version((run,)) not in (known, changed)


def test_deleting_a_run_takes_its_samples_along(store: Store) -> None:
    run, _ = filled(store)
    store.runs.request_cancel(run)
    store.runs.delete(run, lambda keys: None)
    assert store.runs._db.read("SELECT COUNT(*) FROM samples")[0][0] == 0
