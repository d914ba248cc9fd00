"""A run is done with the roots, limits and cluster of whoever queued it, whoever started the process that does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL, Actor
from core.base.settings import Limits, Settings
from core.jobs import actions
from core.jobs.preview import client
from core.store import Store
from tests.jobs.conftest import Bench

TELLING = '''
import json, os
from pathlib import Path
from core.catalogue.references import resolve
from core.base.errors import RetortError


def tell(run, hooks):
    """Writes down which settings its hooks have, and whether the model may be opened with them."""
    settings = hooks.settings
    try:
        resolve(run.model, settings, None)
        opened = True
    except RetortError as error:
        opened = error.cause
    seen = {"roots": [str(r) for r in settings.roots], "memory": settings.limits.memory, "opened": opened,
            "minutes": settings.limits.minutes, "cluster": settings.cluster, "attempts": settings.limits.attempts}
    with open(run.recipe["ledger"], "a") as file:
        file.write(json.dumps(seen) + "\\n")
'''


def other(bench: Bench, **changes: Any) -> Bench:
    """Somebody else at the same home."""
    limits = replace(bench.settings.limits, **changes.pop("limits", {}))
    settings = replace(bench.settings, limits=limits, **changes)
    return Bench(settings, Store(settings), bench.ledger)


def tells(bench: Bench, model: Path) -> str:
    return bench.store.runs.add("tell", "Telling", f"path:{model}", {"ledger": str(bench.ledger)}, LOCAL)


def told(bench: Bench) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bench.ledger.read_text().splitlines()]


@pytest.fixture
def telling(bench: Bench, tmp_path: Path) -> Bench:
    site = tmp_path / "site"
    (site / "retort_telling.py").write_text(TELLING)
    points = site / "retort_counting-1.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "tell = retort_telling:tell\n")
    return bench


@pytest.mark.jobs
def test_two_people_one_runner_and_each_run_has_its_own(telling: Bench, tiny_llama: Path) -> None:
    strict = telling
    wide = other(
        telling,
        roots=(*telling.settings.roots, tiny_llama.parent),
        cluster="10.0.0.9:6379",
        limits={"memory": "7 GB", "minutes": "90", "attempts": 5},
    )
    runs = [tells(strict, tiny_llama), tells(wide, tiny_llama)]
    actions.ensure_runner(strict.settings)
    for run_id in runs:
        assert strict.wait(run_id).state == "done", strict.log(run_id)
    first, second = told(telling)
    models = str(telling.settings.home / "models")
    assert first["roots"] == [models] and "outside the folders" in first["opened"]
    assert (first["memory"], first["minutes"], first["cluster"], first["attempts"]) == ("", "", "auto", 3)
    assert second["roots"] == [models, str(tiny_llama.parent)] and second["opened"] is True
    assert (second["memory"], second["minutes"]) == ("7 GB", "90")
    assert (second["cluster"], second["attempts"]) == ("10.0.0.9:6379", 5)


@pytest.mark.jobs
def test_a_wide_runner_widens_nobody(telling: Bench, tiny_llama: Path) -> None:
    """The dashboard's run, done by the runner that somebody with more folders has started."""
    wide = other(telling, roots=(*telling.settings.roots, tiny_llama.parent))
    run_id = tells(telling, tiny_llama)
    actions.ensure_runner(wide.settings)
    telling.wait(run_id)
    assert "outside the folders" in told(telling)[0]["opened"]


@pytest.mark.jobs
def test_what_is_queued_again_goes_by_who_did_that(telling: Bench) -> None:
    run_id = telling.add(trials=1, fail=[0])
    telling.wait(run_id)
    more = other(telling, limits={"memory": "5 GB"})
    actions.retry(run_id, more.settings, LOCAL)
    assert telling.store.runs.get(run_id).settings["memory"] == "5 GB"
    telling.wait(run_id)
    assert telling.store.runs.claim(run_id) is False
    telling.store.runs.requeue(run_id, LOCAL)
    telling.store.runs.claim(run_id)
    other(telling, limits={"memory": "1 GB"}).store.runs.requeue(run_id, None)
    assert telling.store.runs.get(run_id).settings["memory"] == "", "a lost worker changes no settings"


@pytest.mark.jobs
def test_the_preview_server_opens_for_each_what_they_may_open(bench: Bench, tiny_llama: Path) -> None:
    """Started by somebody with more folders; whoever has fewer is refused all the same, and the other way round."""
    wide = replace(bench.settings, roots=(*bench.settings.roots, tiny_llama.parent))
    asked = {"models": [f"path:{tiny_llama}"], "prompt": "The river", "tokens": 2}
    try:
        assert any("text" in event for event in client.ask(wide, LOCAL, "generate", asked))
        with pytest.raises(RetortError, match="outside the folders"):
            list(client.ask(bench.settings, LOCAL, "generate", asked))
        assert any("text" in event for event in client.ask(wide, LOCAL, "generate", asked))
    finally:
        client.release(bench.settings, LOCAL)


def test_what_a_run_keeps_is_json_and_comes_back(tmp_path: Path) -> None:
    mine = Settings(
        home=tmp_path / "a",
        roots=(tmp_path / "a" / "models", tmp_path / "x:y"),
        cluster="h:1",
        limits=Limits(memory="75 %", minutes="3", attempts=2, cancel_grace_seconds=7.5, quiet_seconds=9.0),
    )
    kept = json.loads(json.dumps(mine.kept(Actor("ann@x.org", "editor"))))
    assert kept == {
        "roots": [str(tmp_path / "x:y")],
        "cluster": "h:1",
        "memory": "75 %",
        "minutes": "3",
        "attempts": 2,
        "cancel_grace_seconds": 7.5,
        "quiet_seconds": 9.0,
        "name": "ann@x.org",
        "role": "editor",
    }
    assert Settings(home=tmp_path / "a").of_run(kept) == mine
    moved = Settings(home=tmp_path / "b").of_run(kept)
    assert moved.roots == (tmp_path / "b" / "models", tmp_path / "x:y"), "a home that was moved takes its models along"
    older = Settings(home=tmp_path / "a", roots=(Path("/data"),), cluster="k:2")
    assert older.of_run({}) == older, "a run that an older version queued"


def test_a_colon_in_the_path_of_a_home_opens_nothing_else(tmp_path: Path) -> None:
    """`/data/a:/etc` as a home made a root of `/etc`, once the list of roots went through the environment."""
    settings = replace(Settings.load(tmp_path / "a:" / "etc"), limits=Limits(memory="2 GB"), cluster="h:1")
    code = (
        "import json; from core.base.settings import Settings as S; print(json.dumps([str(r) for r in S.load().roots]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    ).stdout
    assert json.loads(said) == [str(tmp_path / "a:" / "etc" / "models")]
    assert settings.environment()["RETORT_ROOTS"] == ""
    assert settings.environment()["RETORT_MEMORY_LIMIT"] == "2 GB"


def test_a_root_with_the_separator_is_refused_rather_than_split(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, roots=(tmp_path / "models", Path("/data/a:/etc")))
    with pytest.raises(RetortError, match="'/data/a:/etc' cannot be a root"):
        settings.environment()


@pytest.mark.jobs
def test_a_run_of_a_home_with_a_colon_may_open_no_more_than_its_models(
    telling: Bench, tmp_path: Path, tiny_llama: Path
) -> None:
    """Through a real runner and worker: what lies behind the colon is no root of theirs."""
    home = Path(f"{tmp_path}/a:{tiny_llama.parent}")
    home.mkdir(parents=True)
    settings = Settings(home=home, roots=(home / "models",), limits=telling.settings.limits)
    bench = Bench(settings, Store(settings), telling.ledger)
    try:
        run_id = tells(bench, tiny_llama)
        assert bench.wait(run_id).state == "done", bench.log(run_id)
    finally:
        bench.stop()
    (seen,) = told(bench)
    assert seen["roots"] == [str(home / "models")] and "outside the folders" in seen["opened"]
