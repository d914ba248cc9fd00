"""One run's model, texts and instruments, opened once and shared by its parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from core.base import durable_files, json_io
from core.base.progress import Level, Reporter
from core.catalogue.contents import changed, contents_of, pinned
from core.catalogue.references import ResolvedModel, resolve
from core.engine.data.inputs import prepare
from core.engine.models.context import context_of
from core.engine.models.load import Loaded, compute_dtype, load_model
from core.engine.models.readable import refuse_unreadable
from core.engine.models.roundtrip import ReloadProcess
from core.engine.run.candidate import CandidateMeasurer
from core.recipe.hooks import Hooks
from core.recipe.recipe import Prune, Recipe
from core.recipe.results import Trial
from core.recipe.trial_keys import Identity
from core.registry.methods import METHODS

logger = logging.getLogger("retort")
INPUTS = "inputs.json"
"""In a run's folder: what identified the bytes of its inputs when it last began."""


@dataclass
class ScopedReporter:
    """A reporter that says which part of the run a message belongs to, and counts finished parts.

    The engine's functions each count from 0 to their own total; a run's progress is in trials.
    """

    base: Reporter
    total: int = 1
    done: int = 0
    label: str = ""

    def progress(self, done: float, total: float, message: str) -> None:
        self.base.progress(self.done, self.total, f"{self.label}: {message}" if self.label else message)

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.base.event(level, f"{self.label}: {message}" if self.label else message, **data)

    def series(self, name: str, step: int, value: float) -> None:
        self.base.series(name, step, value)

    def checkpoint(self) -> None:
        self.base.checkpoint()


@dataclass
class Session:
    """A recipe being executed."""

    recipe: Recipe
    hooks: Hooks
    reporter: ScopedReporter = field(init=False)

    def __post_init__(self) -> None:
        self.reporter = ScopedReporter(self.hooks.reporter)

    @cached_property
    def identity(self) -> Identity:
        """What the recipe stands for now. Asking for it pins the recipe's further hub references to commits.

        Raises:
            RetortError: a model or text it names is not there.
        """
        settings, actor = self.hooks.settings, self.hooks.actor
        self.recipe = pinned(self.recipe, settings, actor)
        contents = contents_of(self.recipe, settings, actor)
        model = self.resolved.fingerprint
        found = Identity(model, contents, str(compute_dtype(self.recipe.dtype)).removeprefix("torch."))
        self._say_what_changed(found.read)
        return found

    def _say_what_changed(self, now: dict[str, str]) -> None:
        """A run that goes on after one of its inputs was overwritten computes anew what depends on it, and says so."""
        note = self.hooks.run_folder / INPUTS
        try:
            before = {str(k): str(v) for k, v in json_io.load(note.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):
            before = {}
        for reference in changed(before, now):
            name = self.recipe.model if reference == "model" else reference
            self.reporter.event(
                "warning", f"{name} is not what it was when this run began: what depends on it is measured anew."
            )
        durable_files.write(note, json_io.dump(now))

    @cached_property
    def resolved(self) -> ResolvedModel:
        return resolve(self.recipe.model, self.hooks.settings, self.hooks.actor)

    @cached_property
    def loaded(self) -> Loaded:
        """The model the run works on; weight methods change it and put it back."""
        self.reporter.progress(0, 1, "Loading the model.")
        loaded = load_model(self.resolved.folder, self.recipe.dtype)
        refuse_unreadable(loaded.model)
        for remark in loaded.remarks:
            self.hooks.reporter.event("warning", remark)
        return loaded

    @property
    def weight_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.loaded.model.parameters())

    @contextmanager
    def bench(self, calibrated: bool) -> Iterator[CandidateMeasurer]:
        """The instruments: evaluation windows and a fresh process to reload candidates in."""
        loaded, settings, actor = self.loaded, self.hooks.settings, self.hooks.actor
        context = context_of(loaded.model)
        inputs = prepare(
            self.recipe, loaded.tokenizer, loaded.task, context, settings, actor, self.reporter, calibrated
        )
        with ReloadProcess() as fresh:
            yield CandidateMeasurer(self.recipe, inputs, self.hooks, self.reporter, fresh, read=self.identity.read)

    @contextmanager
    def part(self, trial: Trial, counts: bool = True) -> Iterator[None]:
        """Messages inside belong to this trial; afterwards one more trial counts as finished, with `counts`."""
        self.reporter.label = trial.label
        try:
            yield
        finally:
            self.reporter.label = ""
            self.reporter.done += int(counts)

    def keeps(self, prune: Prune) -> bool:
        """Whether a trial's model stays on disk, by the sweep's `keep`."""
        assert self.recipe.sweep is not None
        keep = self.recipe.sweep.keep
        return keep == "all" or (keep == "structured" and METHODS[prune.method].structured)
