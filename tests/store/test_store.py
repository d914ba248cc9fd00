"""The store's rows and states, in a home of its own, without any process."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.recipe import Grid, Recipe, Sweep
from core.recipe.results import Result, Trial
from core.recipe.trial_keys import Identity, trials_of
from core.registry.measurement import Measurement
from core.store import Store

RECIPE = Recipe(name="Study", model="path:/none", sweep=Sweep(grid=(Grid(method=("magnitude",), sparsity=(0.5, 0.6)),)))


@pytest.fixture
def store(home: Settings) -> Store:
    return Store(home)


def add(store: Store, name: str = "Study", **more: object) -> str:
    return store.runs.add("sweep", name, RECIPE.model, RECIPE.model_dump(mode="json"), LOCAL, **more)  # type: ignore[arg-type]


def candidate(key: str = "k1", value: float = 2.5, **more: object) -> Result:
    figures = [
        Measurement(metric="loss", value=value, unit="nats", low=value - 1, high=value + 1, samples=[value, math.nan]),
        Measurement(metric="disk_bytes", value=1e9, unit="B", obtained="estimated", settings={"dtype": "int8"}),
    ]
    return Result(key=key, label=key, model="path:/none", method="dense", measurements=figures, **more)  # type: ignore[arg-type]


def test_a_recipe_comes_back_as_it_was(store: Store) -> None:
    run = store.runs.get(add(store, tags=["a", "b"], notes="Why"))
    assert run.parsed() == RECIPE and run.tags == ("a", "b") and run.notes == "Why"
    assert run.state == "queued" and run.active and run.attempts == 0 and run.version == ""


def test_a_recipe_of_another_version_is_refused_in_plain_english(store: Store) -> None:
    run = store.runs.get(store.runs.add("sweep", "Old", "path:/none", {"name": "Old", "spells": 3}, LOCAL))
    with pytest.raises(RetortError, match="another version of Retort"):
        run.parsed()


def test_states_only_change_from_where_they_may(store: Store) -> None:
    run_id = add(store)
    assert not store.runs.finish(run_id, "done") and not store.runs.progress(run_id, 1, 2, "x")
    assert not store.runs.requeue(run_id, LOCAL) and not store.runs.requeue(run_id, None)
    assert store.runs.claim(run_id) and not store.runs.claim(run_id)
    assert not store.runs.requeue(run_id, LOCAL), "it is not over"
    assert store.runs.progress(run_id, 1, 4, "A quarter")
    run = store.runs.get(run_id)
    assert (run.state, run.done, run.total, run.message, run.attempts) == ("running", 1, 4, "A quarter", 1)
    assert run.version
    assert store.runs.finish(run_id, "failed", cause="C.", remedy="R.")
    assert not store.runs.finish(run_id, "done"), "the first end stays"
    run = store.runs.get(run_id)
    assert (run.state, run.cause, run.remedy) == ("failed", "C.", "R.") and run.finished is not None
    assert store.runs.requeue(run_id, LOCAL)
    run = store.runs.get(run_id)
    assert (run.state, run.cause, run.finished, run.attempts) == ("queued", "", None, 0)


def test_a_lost_run_keeps_its_attempts_until_a_trial_is_finished(store: Store) -> None:
    run_id = add(store)
    store.trials.add(run_id, trials_of(RECIPE, Identity("f")))
    for attempt in (1, 2):
        assert store.runs.claim(run_id)
        assert store.runs.get(run_id).attempts == attempt
        assert store.runs.requeue(run_id, None)
    store.runs.claim(run_id)
    store.trials.finish(run_id, 0)
    assert store.runs.get(run_id).attempts == 0
    store.runs.requeue(run_id, None)
    store.runs.claim(run_id)
    store.trials.finish(run_id, 0)
    assert store.runs.get(run_id).attempts == 1, "a trial that was done already is no progress"


def test_cancel_of_a_queued_and_of_a_running_run(store: Store) -> None:
    waiting, working = add(store), add(store)
    assert store.runs.request_cancel(waiting) == "cancelled" and not store.runs.claim(waiting)
    store.runs.claim(working)
    assert store.runs.request_cancel(working) == "running" and store.runs.cancel_requested(working)
    store.runs.finish(working, "cancelled")
    assert not store.runs.cancel_requested(working)
    assert not store.runs.cancel_requested("nowhere")
    with pytest.raises(RetortError, match="no run"):
        store.runs.request_cancel("nowhere")


def test_trials_keep_their_state_when_announced_again(store: Store) -> None:
    run_id, trials = add(store), trials_of(RECIPE, Identity("f"))
    store.trials.add(run_id, trials)
    store.trials.start(run_id, 0)
    store.trials.finish(run_id, 0)
    store.trials.start(run_id, 1)
    store.trials.fail(run_id, 1, "C.", "R.")
    store.trials.start(run_id, 2)
    store.trials.add(run_id, trials)
    rows = store.trials.of(run_id)
    assert [r.state for r in rows] == ["done", "failed", "running"]
    assert [r.trial() for r in rows] == trials
    run = store.runs.get(run_id)
    assert (run.trials_total, run.trials_done, run.trials_failed) == (3, 1, 1)
    assert store.trials.stop(run_id) == [trials[2].label] and store.trials.stop(run_id) == []
    assert [r.state for r in store.trials.of(run_id)] == ["done", "failed", "queued"]
    store.runs.claim(run_id)
    store.runs.finish(run_id, "done")
    assert store.runs.requeue(run_id, LOCAL)
    assert [(r.state, r.cause) for r in store.trials.of(run_id)] == [("done", ""), ("queued", ""), ("queued", "")]


def test_other_trials_replace_those_that_are_no_longer_part(store: Store) -> None:
    run_id, trials = add(store), trials_of(RECIPE, Identity("f"))
    store.trials.add(run_id, trials)
    store.trials.finish(run_id, 0)
    store.trials.finish(run_id, 1)
    changed = [trials[0], Trial(index=1, key="other", label="Other")]
    store.trials.add(run_id, changed)
    assert [(r.key, r.state) for r in store.trials.of(run_id)] == [(trials[0].key, "done"), ("other", "queued")]


@pytest.mark.parametrize("value", [2.5, math.inf, math.nan, 0.1 + 0.2])
def test_a_result_comes_back_to_the_last_bit(store: Store, value: float) -> None:
    result = candidate(value=value, facts={"layers": 4}, notes=["Damped."], prune={"method": "magnitude"})
    store.candidates.add(result)
    store.candidates.add(result)
    for back in (store.candidates.get("k1"), *store.candidates.results()):
        assert back is not None and repr(back) == repr(result)
    (row,) = store.candidates.rows()
    loss, size = row.measurements
    assert repr((loss.value, loss.low, loss.high)) == repr((value, value - 1, value + 1)) or math.isnan(value)
    assert math.isnan(loss.value) == math.isnan(value) and loss.samples is None
    assert (size.obtained, size.settings, size.unit) == ("estimated", {"dtype": "int8"}, "B")
    assert row.measurement("disk_bytes") == size and row.measurement("f1") is None


def test_results_of_a_run_come_in_the_order_of_its_trials(store: Store) -> None:
    run_id = add(store)
    trials = [Trial(index=i, key=f"k{i}", label=f"Trial {i}") for i in range(3)]
    store.trials.add(run_id, trials)
    for key in ("k2", "k0", "other"):
        store.candidates.add(candidate(key))
    assert [r.key for r in store.candidates.results(run_id=run_id)] == ["k0", "k2"]
    assert [r.key for r in store.candidates.rows(run_id=run_id)] == ["k0", "k2"]
    assert [r.label for r in store.candidates.rows(run_id=run_id)] == ["k0", "k2"]
    assert [r.key for r in store.candidates.results(keys=["other", "k2", "none"])] == ["other", "k2"]
    assert [r.key for r in store.candidates.results()] == ["k2", "k0", "other"]
    store.candidates.add(candidate("kept", saved=True))
    assert [r.key for r in store.candidates.rows(saved=True)] == ["kept"]
    assert [r.key for r in store.candidates.rows(saved=False)] == ["k2", "k0", "other"]
    assert store.candidates.runs_of("k2") == [run_id] and store.candidates.runs_of("other") == []


def test_what_was_written_but_not_indexed_is_found(home: Settings, store: Store) -> None:
    """A worker killed between the rename of the file and the commit of the index."""
    for key in ("k1", "k2"):
        folder = store.candidates.folder(key)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(candidate(key).model_dump(mode="json")))
    assert store.candidates.rows() == []
    assert store.candidates.get("k1") is not None
    assert [r.key for r in store.candidates.rows()] == ["k1"], "looking for it indexed it"
    assert store.candidates.reindex() == 1 and store.candidates.reindex() == 0
    assert {r.key for r in store.candidates.rows()} == {"k1", "k2"}


def test_no_half_written_or_foreign_file_is_taken_for_a_result(store: Store) -> None:
    whole = json.dumps(candidate("k1").model_dump(mode="json"))
    for key, name, text in (
        ("half", "result.json", whole[: len(whole) // 2]),
        ("partial", ".result.json.1.partial", whole),
        ("moved", "result.json", whole),
        ("empty", "result.json", ""),
    ):
        store.candidates.folder(key).mkdir(parents=True)
        (store.candidates.folder(key) / name).write_text(text)
    assert store.candidates.reindex() == 0
    assert all(store.candidates.get(k) is None for k in ("half", "partial", "moved", "empty", "missing"))


@pytest.mark.parametrize("key", ["../../etc", "a/b", "", ".", "k" * 81, "k\n"])
def test_a_key_from_outside_leads_nowhere_else(store: Store, key: str) -> None:
    with pytest.raises(RetortError, match="not the key"):
        store.candidates.get(key)


def test_deleting_keeps_what_others_use_and_fails_whole(store: Store) -> None:
    first, second = add(store), add(store)
    for run_id, keys in ((first, ("own", "both")), (second, ("both", "theirs"))):
        store.trials.add(run_id, [Trial(index=i, key=k, label=k) for i, k in enumerate(keys)])
        store.runs.claim(run_id)
        store.runs.finish(run_id, "done")
        store.events.add(run_id, "info", "Said.")
        store.series.add(run_id, [("loss", 0, 1.0)])
    for key in ("own", "both", "theirs"):
        store.candidates.add(candidate(key))

    def refuse(keys: list[str]) -> None:
        raise OSError("the folder could not be moved")

    with pytest.raises(OSError, match="moved"):
        store.runs.delete(first, refuse)
    assert store.runs.count() == 2 and len(store.candidates.rows()) == 3
    assert store.runs.delete(first, lambda keys: None) == ["own"]
    assert [r.key for r in store.candidates.rows()] == ["both", "theirs"]
    assert store.trials.of(first) == [] and store.events.tail(first) == [] and store.series.names(first) == []
    assert len(store.trials.of(second)) == 2 and len(store.events.tail(second)) == 1


def test_runs_are_found_by_state_kind_tag_and_text(store: Store) -> None:
    odd = add(store, "100% of a_b", tags=["x"])
    plain = add(store, "100 of aXb", notes="remember")
    store.runs.claim(plain)
    assert [r.id for r in store.runs.find()] == [plain, odd]
    assert [r.id for r in store.runs.find(oldest_first=True, limit=1)] == [odd]
    assert [r.id for r in store.runs.find(offset=1)] == [odd]
    for filters, found in (
        ({"states": ["queued"]}, [odd]),
        ({"states": []}, []),
        ({"kinds": ["sweep", "recipe"], "tag": "x"}, [odd]),
        ({"text": "% of a_b"}, [odd]),
        ({"text": "REMEMBER"}, [plain]),
        ({"text": odd}, [odd]),
        ({"model": "path:/none"}, [plain, odd]),
    ):
        assert [r.id for r in store.runs.find(**filters)] == found, filters  # type: ignore[arg-type]
        assert store.runs.count(**filters) == len(found)  # type: ignore[arg-type]
    counts = store.runs.counts()
    assert (counts.queued, counts.running, counts.active, counts.total) == (1, 1, 2, 2)
    store.runs.annotate(plain, name="New", tags=["y", "x"])
    assert store.runs.tags() == ["x", "y"]
    assert (store.runs.get(plain).name, store.runs.get(plain).notes) == ("New", "remember")


def test_events_come_from_the_end_and_follow(store: Store) -> None:
    run_id = add(store)
    for i in range(5):
        store.events.add(run_id, "warning", f"Event {i}", path=Path("x"), number=i)
    tail = store.events.tail(run_id, limit=2)
    assert [(e.message, e.level, e.data) for e in tail] == [
        ("Event 3", "warning", {"path": "x", "number": 3}),
        ("Event 4", "warning", {"path": "x", "number": 4}),
    ]
    assert [e.message for e in store.events.tail(run_id, after=tail[0].id)] == ["Event 4"]


def test_a_long_curve_is_thinned_but_keeps_its_peaks(store: Store) -> None:
    run_id = add(store)
    values = [math.sin(i / 50) for i in range(10_000)]
    values[7_777] = 99.0
    store.series.add(run_id, [("loss", i, v) for i, v in enumerate(values)])
    store.series.add(run_id, [("loss", 0, 5.0), ("nan", 1, math.nan)])
    points = store.series.read(run_id, "loss", points=100)
    assert len(points) == 100 and [p.step for p in points] == list(range(0, 10_000, 100))
    values[0] = 5.0
    for p in points:
        bucket = values[p.step : p.step + 100]
        assert p.value == pytest.approx(sum(bucket) / 100) and (p.low, p.high) == (min(bucket), max(bucket))
    assert max(p.high for p in points) == 99.0
    assert store.series.names(run_id) == ["loss", "nan"]
    assert store.series.read(run_id, "nan") == [] and store.series.read(run_id, "none") == []
    assert [p.value for p in store.series.read(run_id, "loss", points=100_000)] == values


def test_threads_have_a_connection_each_and_leave_none_behind(store: Store) -> None:
    run_id, problems = add(store), []

    def use() -> None:
        try:
            store.events.add(run_id, "info", "Hello")
            assert store.runs.get(run_id)
        except BaseException as error:
            problems.append(error)

    if not Path("/proc/self/fd").exists():
        pytest.skip("counts open files through /proc")
    home = str(store.settings.home)

    def opened() -> int:
        """Files of this home only: other parts of the process open and close theirs."""
        return sum(os.path.realpath(f).startswith(home) for f in Path("/proc/self/fd").iterdir())

    before = opened()
    for _ in range(10):
        threads = [threading.Thread(target=use) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert problems == [] and len(store.events.tail(run_id)) == 80
    # SQLite keeps the files of closed connections for the next ones: at most as many as were open at once.
    assert opened() <= before + 8 + 3


def test_a_forked_child_opens_its_own_connection(store: Store) -> None:
    run_id = add(store)
    child = os.fork()
    if child == 0:
        store.events.add(run_id, "info", "From the child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.events.add(run_id, "info", "From the parent")
    assert [e.message for e in store.events.tail(run_id)] == ["From the child", "From the parent"]
