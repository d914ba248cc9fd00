"""`home check` and `home rebuild` in a process of their own."""

from __future__ import annotations

import json
import os

import pytest

from core.base.roles import LOCAL
from core.recipe.results import Result
from core.store import Store
from tests.cli.conftest import Cli
from tests.damage import flip


@pytest.mark.slow
def test_a_home_is_checked_and_its_index_made_again(study: Cli) -> None:
    store = Store(study.settings)
    run = store.runs.add("sweep", "A study", "path:/m", {}, LOCAL)
    store.runs.request_cancel(run)
    store.candidates.add(Result(key="k", label="x", model="path:/m", method="wanda"))
    done = study("home", "check")
    assert (done.returncode, done.stdout) == (0, "") and "0 problems" in done.stderr, done
    flip(study.settings.home / "candidates" / "k" / "result.json")
    os.truncate(study.settings.database, 0)
    done = study("home", "check", "--json")
    found = json.loads(done.stdout)["problems"]
    assert done.returncode == 1 and {p["where"] for p in found} == {"retort.sqlite3", "candidates/k/result.json"}
    assert all(p["cause"].endswith(".") and p["remedy"] for p in found)
    assert study.settings.database.stat().st_size == 0  # it repairs nothing
    done = study("home", "rebuild")
    assert done.returncode == 0
    assert "was empty and was made again from the folders: 1 run and 0 candidates (1 could not be read" in done.stdout
    done = study("runs", "--json")
    assert [r["id"] for r in json.loads(done.stdout)["runs"]] == [run]


@pytest.mark.slow
def test_any_command_makes_a_lost_index_again_and_says_so_in_one_line(study: Cli) -> None:
    store = Store(study.settings)
    run = store.runs.add("sweep", "A study", "path:/m", {}, LOCAL)
    for ending in ("", "-wal", "-shm"):
        study.settings.database.with_name(study.settings.database.name + ending).unlink(missing_ok=True)
    done = study("runs", "--json")
    assert [r["id"] for r in json.loads(done.stdout)["runs"]] == [run]
    assert [line for line in done.stderr.splitlines() if "made again from the folders: 1 run and" in line], done.stderr
    assert study("runs").stderr == ""


@pytest.mark.slow
def test_a_home_is_saved_and_comes_back_in_another_folder(study: Cli) -> None:
    run = Store(study.settings).runs.add("sweep", "A study", "path:/m", {}, LOCAL)
    archive, elsewhere = study.settings.home.parent / "b.tar.gz", study.settings.home.parent / "elsewhere"
    done = study("backup", str(archive), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["file"] == str(archive) and told["files"] > 1
    done = study("restore", str(archive))
    assert done.returncode == 2 and "holds data already" in done.stderr
    done = study("restore", str(archive), "--home", str(elsewhere))
    assert done.returncode == 0 and "1 run" in done.stdout
    done = study("runs", "--json", "--home", str(elsewhere))
    assert [r["id"] for r in json.loads(done.stdout)["runs"]] == [run]
