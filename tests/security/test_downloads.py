"""Downloading is an administrator's right: nothing an editor's run reads comes over the network, whatever names it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.base.roles import LOCAL, Actor, Role
from core.base.settings import Settings
from core.jobs import actions, submissions
from core.recipe.recipe import Recipe
from core.store import Store

LESSON = {"step": "distil", "budget": {"steps": 1}}
STEPS = {
    "name": "Study",
    "model": "path:/models/a",
    "evaluation": {"labelled": {"data": "path:/x/labels.csv"}},
    "steps": [
        {"step": "prune", "method": "magnitude", "sparsity": 0.5},
        LESSON | {"student": "path:/models/b"},
        {
            "step": "select",
            "options": [{"method": "magnitude", "sparsity": s} for s in (0.1, 0.2)],
            "recovery": {"budget": {"steps": 1}},
        },
    ],
}
SWEEP = {"name": "Study", "model": "path:/models/a", "sweep": {"grid": [{"method": "magnitude", "sparsity": [0.5]}]}}
PLACES: dict[str, tuple[dict[str, Any], tuple[str | int, ...]]] = {
    "model of steps": (STEPS, ("model",)),
    "model of a sweep": (SWEEP, ("model",)),
    "teacher": (STEPS, ("steps", 1, "teacher")),
    "student": (STEPS, ("steps", 1, "student")),
    "teacher of a recovery": (STEPS, ("steps", 2, "recovery", "teacher")),
    "training text": (STEPS, ("steps", 1, "data")),
    "training text of a recovery": (STEPS, ("steps", 2, "recovery", "data")),
    "calibration": (SWEEP, ("calibration",)),
    "evaluation": (SWEEP, ("evaluation",)),
    "tasks of lm-eval": (SWEEP, ("evaluation", "tasks")),
}


def naming_the_hub(name: str) -> dict[str, Any]:
    document, path = PLACES[name]
    changed = copy.deepcopy(document)
    inner: Any = changed
    for part in path[:-1]:
        inner = inner.setdefault(part, {}) if isinstance(inner, dict) else inner[part]
    value: Any = "hub:org/name"
    if path[-1] == "tasks":
        inner |= {"scorer": "lm-eval"}
        value = ["piqa"]
    elif path[-1] in ("data", "calibration", "evaluation"):
        value = {"data": value, "split": "train"}
    inner[path[-1]] = value
    return changed


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches of the hub; what is queued stays queued."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "sets"))
    monkeypatch.setattr(actions, "ensure_runner", lambda _: False)
    monkeypatch.setattr(actions, "_ensure_runner", lambda *_: False)
    monkeypatch.setattr(submissions, "ensure_runner", lambda _: False)


def _with_files(document: dict[str, Any], home: Settings, model: Path) -> dict[str, Any]:
    models = home.home / "models"
    shutil.copytree(model, models / "b")
    (models / "labels.csv").write_text("text,label\n" + "good words,yes\nbad words,no\n" * 20)
    text = json.dumps(document).replace("path:/x/labels.csv", f"path:{models}/labels.csv")
    found: dict[str, Any] = json.loads(text.replace("path:/models/b", f"path:{models}/b"))
    return found


def someone(role: Role) -> Actor:
    return Actor(f"{role}@example.org", role)


@pytest.mark.parametrize("name", PLACES)
def test_an_editors_recipe_that_would_download_is_not_queued(home: Settings, name: str, tiny_llama: Path) -> None:
    document = naming_the_hub(name)
    if "steps" in document:  # the start looks at every other file, so they are there
        document = _with_files(document, home, tiny_llama)
    recipe = Recipe.model_validate(document)
    with pytest.raises(RetortError, match="is not on this machine, and downloading .* needs the role admin") as refused:
        actions.submit(recipe, home, someone("editor"))
    assert "Ask somebody with the role admin" in refused.value.remedy
    assert Store(home).runs.find() == []
    run = actions.submit(recipe, home, someone("admin"))
    actions.cancel(run, home, someone("editor"))
    with pytest.raises(RetortError, match="needs the role admin"):
        actions.retry(run, home, someone("editor"))
    assert Store(home).runs.get(run).state == "cancelled"


def test_a_sensitivity_is_asked_the_same(home: Settings) -> None:
    for changed in ({"model": "hub:org/name"}, {"evaluation": {"data": "hub:org/texts", "split": None}}):
        spec = SensitivitySpec.model_validate({"model": "path:/models/a"} | changed)
        with pytest.raises(RetortError, match="needs the role admin"):
            submissions.submit_sensitivity(spec, home, someone("editor"))
        assert Store(home).runs.get(submissions.submit_sensitivity(spec, home, someone("admin"))).actor.role == "admin"


@pytest.mark.parametrize("kind", ["fetch", "download"])
def test_an_editor_does_not_start_a_download_of_somebody_else_again(home: Settings, kind: str) -> None:
    admin = someone("admin")
    run = (
        actions.submit_fetch("wiki", home, admin)
        if kind == "fetch"
        else submissions.submit_download("hub:org/name", home, admin)
    )
    actions.cancel(run, home, someone("editor"))
    with pytest.raises(RetortError, match="needs the role admin"):
        actions.retry(run, home, someone("editor"))
    actions.retry(run, home, admin)
    assert Store(home).runs.get(run).state == "queued"


def test_a_run_acts_for_whoever_started_it_last(home: Settings) -> None:
    run = actions.submit(Recipe.model_validate(SWEEP), home, someone("editor"))
    store = Store(home)
    assert store.runs.get(run).actor == Actor("editor@example.org", "editor")
    actions.cancel(run, home, LOCAL)
    actions.retry(run, home, someone("admin"))
    assert store.runs.get(run).actor == Actor("editor@example.org", "admin")
    assert store.runs.get(actions.submit(Recipe.model_validate(SWEEP), home, LOCAL)).actor == LOCAL
    old = replace(store.runs.get(run), settings={})
    assert old.actor.role == "editor", "of earlier versions only the least is certain"
    assert replace(old, started_by="").actor == LOCAL


ATTEMPTS = """
import json, sys
from pathlib import Path
from core.catalogue.contents import content_of
from core.catalogue.fetch import fetch_sample
from core.catalogue.references import resolve
from core.engine.data.corpora import load_texts
from core.engine.data.corpora import open_rows
from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.recipe.recipe import Corpus
from core.recipe.distil import TrainingData
from core.base.roles import Actor
from core.base.settings import Settings

settings, actor = Settings.load(sys.argv[1]), Actor("", sys.argv[2])
text = Corpus(data="hub:org/texts", split="train")
attempts = {
    "model": lambda: resolve("hub:org/name", settings, actor),
    "commit": lambda: content_of("hub:org/texts", settings, actor),
    "text": lambda: load_texts(text, settings, actor),
    "stream": lambda: open_rows("hub:org/texts", "train", settings, actor, streaming=True),
}
if sys.argv[2] != "admin":
    attempts["sample"] = lambda: fetch_sample("wiki", settings, actor, InMemoryReporter())
said = {}
for name, attempt in attempts.items():
    try:
        said[name] = str(attempt())
    except RetortError as error:
        said[name] = error.cause
print(json.dumps(said))
"""


@contextmanager
def counting_hub() -> Iterator[tuple[str, list[str]]]:
    """A hub that has nothing, and the paths it was asked for."""
    asked: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_where_the_download_would_happen_the_right_is_asked(home: Settings, tmp_path: Path, role: Role) -> None:
    with counting_hub() as (address, asked):
        env = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", ATTEMPTS, str(home.home), role], env=env, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    if role == "admin":
        assert asked and not [w for w in said.values() if "needs the role" in w]
        return
    assert asked == [], "nothing may leave this machine"
    assert "needs the role admin" in said["model"] and said["commit"] == "hub:org/texts"
    assert all("needs the role admin" in said[name] for name in ("text", "stream", "sample"))


@pytest.mark.jobs
def test_a_worker_downloads_no_more_than_who_started_its_run(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past every check at submission: the run stands in the store as an editor's."""
    monkeypatch.undo()
    with counting_hub() as (address, asked):
        for name, value in {"HF_ENDPOINT": address, "HF_HOME": str(home.home / "hf"), "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        for role, reached in (("editor", False), ("admin", True)):
            run_id = Store(home).runs.add("download", "Download", "hub:org/name", {}, Actor("a@b.c", role))
            actions.ensure_runner(home)
            run = actions.wait(run_id, home, timeout=300)
            assert run.state == "failed" and ("needs the role admin" in run.cause) is not reached, run
            assert bool(asked) is reached
