"""A run that an active one needs stays, whatever in its recipe points to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from core.store import Store


def study(store: Store, keys: Sequence[str]) -> str:
    run = store.runs.add("sweep", f"Study {keys[0]}", "sample:m", {}, LOCAL)
    store.runs.claim(run)
    store.trials.add(run, [Trial(index=i, key=k, label=k) for i, k in enumerate(keys)])
    for i, key in enumerate(keys):
        store.candidates.add(Result(key=key, label=key, model="sample:m", method="wanda", saved=True))
        store.trials.finish(run, i)
    store.runs.finish(run, "done")
    return run


def recipe(**given: Any) -> dict[str, Any]:
    return {"name": "Next", "model": "sample:m", "steps": [{"step": "evaluate"}], **given}


NEEDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "model of the run": lambda r: recipe(model=f"run:{r}"),
    "model of the run, by key": lambda r: recipe(model=f"run:{r}/own"),
    "model by its key": lambda r: recipe(model="run:own"),
    "key that names another run": lambda r: recipe(model="run:other/own"),
    "teacher": lambda r: recipe(steps=[{"step": "distil", "teacher": f"run:{r}"}]),
    "student": lambda r: recipe(steps=[{"step": "distil", "student": "run:own"}]),
    "recovery of a select": lambda r: recipe(
        steps=[{"step": "select", "options": [], "recovery": {"step": "distil", "teacher": "run:own"}}]
    ),
    "spaces": lambda r: recipe(model=f" run:{r} "),
}


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("need", NEEDS)
def test_what_an_active_run_needs_stays(home: Settings, need: str, state: str) -> None:
    store = Store(home)
    run = study(store, keys=["own", "shared"])
    study(store, keys=["shared"])
    other = recipe(model="run:shared")
    store.runs.claim(
        store.runs.add("recipe", "Other", other["model"], other, LOCAL)
    )  # needs what another run has as well
    wanted = NEEDS[need](run)
    user = store.runs.add("recipe", "The user", wanted["model"], wanted, LOCAL)
    if state == "running":
        store.runs.claim(user)
    with pytest.raises(RetortError, match=rf"'The user' \({user}\), which is {state}, needs what this run made"):
        actions.delete(run, home, LOCAL)
    assert store.runs.get(run) and home.run_folder(run).exists() and (home.home / "candidates" / "own").exists()
    if state == "running":
        store.runs.finish(user, "failed")
    else:
        store.runs.request_cancel(user)
    actions.delete(run, home, LOCAL)  # what has ended does not hold it
    assert store.candidates.get("own") is None and store.candidates.get("shared") is not None


def test_a_place_inside_the_run_is_needed_too(home: Settings) -> None:
    """An export, or a candidate's folder, named by its path."""
    store = Store(home)
    run = study(store, keys=["own"])
    for place in (f"{home.home}/runs/{run}/exports/1-huggingface", f"{home.home}/candidates/../candidates/own/model"):
        user = store.runs.add("recipe", "By path", f"path:{place}", recipe(model=f"path:{place}"), LOCAL)
        with pytest.raises(RetortError, match="'By path'"):
            actions.delete(run, home, LOCAL)
        store.runs.request_cancel(user)
    store.runs.add("recipe", "Elsewhere", "path:/models/x", recipe(model="path:/models/x"), LOCAL)
    actions.delete(run, home, LOCAL)


def test_a_run_that_reads_like_a_reference_but_is_another_does_not_hold_it(home: Settings) -> None:
    store = Store(home)
    run = study(store, keys=["own"])
    text = recipe(model="run:owner", notes=f"see run:{run} ...", name=f"After run:{run}")
    store.runs.add("recipe", "Named alike", "run:owner", text, LOCAL)
    actions.delete(run, home, LOCAL)


def test_of_a_deletion_and_a_start_at_once_only_one_happens(home: Settings) -> None:
    """Either the new run is there and the old one stays, or the old one is gone and the new one is refused."""
    store, outcomes = Store(home), set()
    for i in range(30):
        run = study(store, keys=[f"k{i}"])
        wanted = Recipe.model_validate(recipe(model=f"run:{run}", evaluation={"data": "path:/x.txt", "split": None}))
        done: dict[str, object] = {}
        together = threading.Barrier(2)

        def attempt(name: str, work: Callable[[], object]) -> None:
            together.wait()  # noqa: B023
            try:
                done[name] = work() or True  # noqa: B023
            except RetortError as error:
                done[name] = error  # noqa: B023

        def start() -> str:
            body = wanted.model_dump(mode="json")  # noqa: B023
            return Store(home).runs.add("recipe", "New", wanted.model, body, LOCAL, refuse_missing=True)  # noqa: B023

        threads = [
            threading.Thread(target=attempt, args=("delete", lambda: actions.delete(run, home, LOCAL))),  # noqa: B023
            threading.Thread(target=attempt, args=("start", start)),
        ]
        for thread in threads if i % 2 else reversed(threads):
            thread.start()
        for thread in threads:
            thread.join()
        failed = {name for name, outcome in done.items() if isinstance(outcome, RetortError)}
        assert len(failed) == 1, done
        if failed == {"start"}:
            assert "no run and no candidate" in str(done["start"]) and not home.run_folder(run).exists()
        else:
            assert "'New'" in str(done["delete"]) and home.run_folder(run).exists()
            store.runs.request_cancel(str(done["start"]))
        outcomes |= failed
    assert outcomes <= {"start", "delete"} and outcomes
