"""Saved comparisons: found again by models, id and another process; gone with a candidate; rebuilt from their files."""

from __future__ import annotations

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions
from core.recipe.comparisons import Comparison
from core.recipe.results import Result, Trial
from core.store import Store

DENSE, PRUNED = "sample:m", "run:own"


def comparison(*models: str, prompt: str = "The river", seed: int = 3, text: str = "ran") -> Comparison:
    return Comparison(
        kind="texts",
        models=models,
        names=tuple(m.upper() for m in models),
        settings={"prompt": prompt, "tokens": 40, "temperature": 0.7, "seed": seed},
        found={"texts": [{"model": 0, "text": text}]},
    )


def study(store: Store, *keys: str) -> str:
    run = store.runs.add("sweep", "Study", DENSE, {}, LOCAL)
    store.runs.claim(run)
    store.trials.add(run, [Trial(index=i, key=k, label=k) for i, k in enumerate(keys)])
    for i, key in enumerate(keys):
        store.candidates.add(Result(key=key, label=key, model=DENSE, method="wanda", saved=True))
        store.trials.finish(run, i)
    store.runs.finish(run, "done")
    return run


def test_it_is_found_by_its_models_and_by_its_id(home: Settings) -> None:
    saved = Store(home).comparisons.add(comparison(DENSE, PRUNED))
    store = Store(home, read_only=True)
    assert store.comparisons.get(saved.id) == saved and saved.created > 0
    assert [s.id for s in store.comparisons.find((DENSE, PRUNED))] == [saved.id]
    assert store.comparisons.find((PRUNED, DENSE)) == [], "the others are compared with the first"
    assert [s.title for s in store.comparisons.find(candidate="own")] == ["The river"]
    assert store.comparisons.get("0" * 16) is None and store.comparisons.get("../../x") is None


def test_the_same_settings_take_the_place_of_the_former_and_others_stand_beside_it(home: Settings) -> None:
    table = Store(home).comparisons
    first = table.add(comparison(DENSE, PRUNED, text="ran"))
    again = table.add(comparison(DENSE, PRUNED, text="stood"))
    other = table.add(comparison(DENSE, PRUNED, seed=4))
    assert first.id == again.id != other.id
    found = table.get(first.id)
    assert found is not None and found.found["texts"][0]["text"] == "stood"
    assert [s.id for s in table.find((DENSE, PRUNED))] == [other.id, again.id], "newest first"
    table.remove(again.id)
    assert table.get(first.id) is None and len(table.find()) == 1
    assert not (home.home / "comparisons" / f"{first.id}.json").exists()


def test_it_goes_with_a_candidate_that_is_deleted(home: Settings) -> None:
    store = Store(home)
    run = study(store, "own", "shared")
    study(store, "shared")
    gone = store.comparisons.add(comparison(DENSE, "run:own"))
    named = store.comparisons.add(comparison(DENSE, f"run:{run}/own"))
    stays = store.comparisons.add(comparison(DENSE, "run:shared"))
    actions.delete(run, home, LOCAL)
    assert [s.id for s in store.comparisons.find()] == [stays.id]
    assert not any((home.home / "comparisons" / f"{c.id}.json").exists() for c in (gone, named))


def test_a_lost_index_finds_them_in_their_files(home: Settings) -> None:
    store = Store(home)
    study(store, "own")
    saved = store.comparisons.add(comparison(DENSE, PRUNED))
    damaged = store.comparisons.add(comparison(DENSE, PRUNED, seed=8))
    orphan = store.comparisons.add(comparison(DENSE, "run:never-there"))
    assert store.differences() == []
    (home.home / "comparisons" / f"{damaged.id}.json").write_text("{}")
    assert [p.where for p in store.differences()] == [f"comparisons/{damaged.id}.json"]
    for ending in ("", "-wal", "-shm"):
        home.database.with_name(home.database.name + ending).unlink(missing_ok=True)
    again = Store(home)
    assert [s.id for s in again.comparisons.find()] == [saved.id], "neither the damaged one nor the one without a model"
    assert again.comparisons.get(saved.id) == saved and again.comparisons.get(orphan.id) is None


@pytest.mark.parametrize("field", ["models", "settings", "kind"])
def test_its_id_follows_from_all_that_decides_it(field: str) -> None:
    one = comparison(DENSE, PRUNED)
    other = {"models": (DENSE,), "settings": {**one.settings, "temperature": 0.8}, "kind": "tokens"}[field]
    assert one.model_copy(update={field: other}).id != one.id
    assert one.model_copy(update={"found": {}, "names": (), "created": 5.0, "made_by": "ann"}).id == one.id
