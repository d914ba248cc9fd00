"""A run without jobs or store: its hooks keep everything in memory, its models lie in the test's own home."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter, Level
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.engine.models.roundtrip import ReloadProcess
from core.engine.pipeline import execute
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from tests.jobs.tiny_study import text

JUDGED = "\n\n".join(f"Line {i} is of boats, {i * 3} nets and {i % 7} men who went to sea." for i in range(300))


@dataclass
class Memory(InMemoryReporter):
    """Hooks over dictionaries; also the reporter, which keeps the events."""

    settings: Settings
    actor: Actor = LOCAL
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def reporter(self) -> Memory:
        return self

    @property
    def run_folder(self) -> Path:
        folder = self.settings.home / "runs" / "r1"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.events.append((message, data))

    def register_trials(self, trials: list[Trial]) -> None:
        self.trials = trials

    def finished(self, key: str) -> Result | None:
        return self.results.get(key)

    def trial_started(self, index: int) -> None:
        self.started.append(index)

    def trial_done(self, index: int, result: Result) -> None:
        self.results[result.key] = result

    def trial_failed(self, index: int, error: RetortError) -> None:
        self.failed[index] = error.cause

    def candidate_folder(self, key: str) -> Path:
        return self.settings.home / "candidates" / key


@pytest.fixture
def run(home: Settings, tiny_text: str) -> Callable[..., Memory]:
    """Executes a recipe of these steps over a model folder under the home, on a small text."""
    text = home.roots[0] / "text.txt"
    text.write_text(tiny_text)
    judged = home.roots[0] / "judged.txt"  # no text that anything learns from
    judged.write_text(JUDGED)

    def start(
        model: Path, *steps: dict[str, Any], hooks: Memory | None = None, evaluation: dict[str, Any] | None = None
    ) -> Memory:
        corpus = {"data": f"path:{text}", "split": None}
        recipe = Recipe.model_validate(
            {
                "name": "test",
                "model": f"path:{model}",
                "dtype": "float32",
                "evaluation": {"data": f"path:{judged}", "tokens": 512, "window": 64, **(evaluation or {})},
                "calibration": {**corpus, "sequences": 2, "length": 32},
                "latency": {"prompt": 8, "new_tokens": 2, "repeats": 1, "warmup": 0},
                "steps": list(steps),
            }
        )
        hooks = hooks or Memory(home)
        execute(recipe, hooks)
        return hooks

    return start


@pytest.fixture(scope="session")
def loud(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with matrices four times as large: what is done to it shows in its loss."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(tiny_llama, tmp_path_factory.mktemp("models") / "loud"))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4.0)
    model.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Study:
    """A model and two texts that share nothing, and runs over them, each in a home of its own."""

    folder: Path
    model: Path
    calibration: Path
    evaluation: Path

    def recipe(self, **what: Any) -> Recipe:
        """`steps` or a `sweep` over 4 calibration windows of 64 tokens and 16 evaluation windows of 64; untimed."""
        texts = {k: {"data": f"path:{getattr(self, k)}", "split": None} for k in ("calibration", "evaluation")}
        recipe = {
            "name": "study",
            "model": f"path:{self.model}",
            "dtype": "float32",
            "latency": None,
            "calibration": {**texts["calibration"], "sequences": 4, "length": 64},
            "evaluation": {**texts["evaluation"], "tokens": 1024, "window": 64},
            **what,
        }
        return Recipe.model_validate(recipe)

    def hooks(self, name: str) -> Memory:
        """An empty home called `name`."""
        home = self.folder / name
        home.mkdir()
        return Memory(Settings(home=home, roots=(self.folder,)))

    def run(self, name: str, **what: Any) -> Memory:
        """Executes in the empty home `name`."""
        hooks = self.hooks(name)
        execute(self.recipe(**what), hooks)
        return hooks


@pytest.fixture(scope="session")
def reloader() -> Iterator[ReloadProcess]:
    """The real process that reloads candidates, started once for all runs of the tests: its imports take seconds."""
    with ReloadProcess() as fresh:
        yield fresh


@pytest.fixture
def study(tmp_path: Path, loud: Path, reloader: ReloadProcess, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Over the loud Llama."""
    monkeypatch.setattr("core.engine.run.session.ReloadProcess", lambda: nullcontext(reloader))
    folder = tmp_path.resolve()
    texts = [folder / "a.txt", folder / "b.txt"]
    for seed, path in enumerate(texts):
        text(path, seed)
    return Study(folder, Path(shutil.copytree(loud, folder / "model")), *texts)


@pytest.fixture
def model(home: Settings, tiny_llama: Path) -> Path:
    """The tiny Llama where a recipe may read it."""
    return Path(shutil.copytree(tiny_llama, home.roots[0] / "llama"))
