"""The soak: real studies, killed at hundreds of random moments, must end as if nobody had touched them.

python -m scripts.soak --kills 200 --seed 0

A study is a sweep and a recipe that prunes, distils and measures a tiny model; a real server with a page open
and the preview server run beside it. SIGKILL goes to one of them or to all; then what a user would start again is
started again. Lost, repeated or half-written work, a run without a process, a lock that stays, or a figure
that differs from an undisturbed run is a problem; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Limits, Settings
from core.jobs import actions
from core.jobs.executors import worker_lock
from core.jobs.locks import held
from core.recipe.recipe import Recipe
from core.store import TrialRow
from scripts import soak_study
from scripts.soak_world import World, leftover_bytes, whole_results

VICTIMS = ("worker", "worker", "all", "runner", "server")
"""Who is killed while runs are active; the preview server leaves by then. The worker has most to lose."""
MOMENTS = (0.02, 0.1, 0.3, 0.7)
"""A kill comes within such a share of an undisturbed run after the one before: during starts, and amid the work."""


@dataclass
class Soak:
    """The hunt: what was killed, and what was seen finished."""

    world: World
    dice: random.Random
    recipes: list[Recipe]
    expected: list[dict[str, Any]]
    wanted: int
    seconds: float
    """What an undisturbed run takes."""
    killed: Counter[str] = field(default_factory=Counter)
    finished: dict[tuple[str, int], TrialRow] = field(default_factory=dict)
    results: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Studies until there were enough kills; the last one is left to end in peace."""
        while self.killed.total() < self.wanted:
            before = self.killed.total()
            self._study()
            self.seen["studies"] += 1
            say(f"{self.killed.total()} kills, {self.seen['studies']} studies, {len(self.world.problems)} problems")
            if self.killed.total() == before:
                self.world.problems.append("nothing could be killed in a whole study")
                return

    def _study(self) -> None:
        world, settings = self.world, self.world.settings
        self.finished, self.results = {}, {}
        world.comes_back()
        runs = [actions.submit(recipe, settings, LOCAL) for recipe in self.recipes]
        while any(self._unfinished(r) for r in runs):
            self._wait()
            if self.killed.total() < self.wanted:
                self._strike(self.dice.choice(VICTIMS))
            self._brought_back(runs)
        self._nothing_lost(runs)
        self._as_expected(runs)
        self._between_runs()
        self.seen["bytes under temporary names"] = max(
            self.seen["bytes under temporary names"], leftover_bytes(settings.home)
        )
        for run_id in runs:
            actions.delete(run_id, settings, LOCAL)
        shutil.rmtree(settings.cache, ignore_errors=True)  # so that statistics are gathered anew

    def _unfinished(self, run_id: str) -> bool:
        """Active, or given up after too many deaths: a user would retry it, and so does `_brought_back`."""
        run, limits = self.world.store.runs.get(run_id), self.world.settings.limits
        return run.active or (run.state == "failed" and run.attempts >= limits.attempts)

    def _wait(self) -> None:
        time.sleep(self.dice.choice(MOMENTS) * self.dice.random() * self.seconds)

    def _strike(self, victim: str) -> None:
        if not self.world.kill(victim):
            return
        self.killed[victim] += 1
        if victim == "all":
            self.world.locks_are_free()

    def _brought_back(self, runs: list[str]) -> None:
        """The user opens the page again, and retries what was given up after too many deaths without progress."""
        world = self.world
        self._nothing_lost(runs)
        world.comes_back()
        for run_id in runs:
            run = world.store.runs.get(run_id)
            if run.state == "failed":
                if run.attempts < world.settings.limits.attempts:
                    world.problems.append(f"a run failed: {run.cause}")
                self.seen["retries by the user"] += 1
                actions.retry(run_id, world.settings, LOCAL)
        world.until(lambda: all(self._somebody_cares(r) for r in runs), "a run is 'running' and nobody works on it")

    def _somebody_cares(self, run_id: str) -> bool:
        """Not running, or a process works on it; or the runner is about to find out and says otherwise at once."""
        lock = worker_lock(self.world.settings, run_id)
        return self.world.store.runs.get(run_id).state != "running" or held(lock)

    def _nothing_lost(self, runs: list[str]) -> None:
        """What was finished at an earlier look is still so, untouched; every result file is whole."""
        world = self.world
        trials = {(r, t.index): t for r in runs for t in world.store.trials.of(r)}
        for place, before in self.finished.items():
            if trials.get(place) != before:
                world.problems.append(f"'{before.label}' was finished and is now {trials.get(place)}")
        self.finished = {place: t for place, t in trials.items() if t.state == "done"}
        try:
            now = whole_results(world.settings)
        except ValueError as error:
            world.problems.append(f"a half-written result: {error}")
            return
        for key, before_ in self.results.items():
            if now.get(key) != before_:
                world.problems.append(f"the result {key} was written again or lost")
        for place, t in self.finished.items():
            if t.key not in now:
                world.problems.append(f"trial {place} is finished and has no result file")
        self.results = now

    def _as_expected(self, runs: list[str]) -> None:
        world = self.world
        for run_id, expected in zip(runs, self.expected, strict=True):
            run = world.store.runs.get(run_id)
            if run.state != "done":
                world.problems.append(f"'{run.name}' is {run.state}: {run.cause}")
            for label, figures in soak_study.found(world.settings, run_id).items():
                odd = [name for name, value in figures.items() if expected.get(label, {}).get(name) != value]
                if odd or figures.keys() != expected[label].keys():
                    world.problems.append(f"'{label}' differs from an undisturbed run in {odd}")
                self.seen["candidates compared to the bit"] += 1
            self.seen["training resumed from a checkpoint"] += sum(
                "Resumed after step" in e.message for e in world.store.events.tail(run_id, limit=10_000)
            )
            self.seen["workers started"] += (
                (world.settings.run_folder(run_id) / "log.txt").read_text().count(" works on ")
            )

    def _between_runs(self) -> None:
        """The preview server answers, and is killed in the middle of it."""
        for _ in range(2):
            if self.killed.total() >= self.wanted:
                return
            asking = self.world.ask_preview_server(self.recipes[0].model)
            self._wait()
            self._strike(self.dice.choice(("preview server", "preview server", "all")))
            asking.join(120)
            if asking.is_alive():
                self.world.problems.append("somebody still waits for the preview server that was killed")
            self.world.comes_back()


def undisturbed(settings: Settings, recipes: list[Recipe]) -> list[dict[str, Any]]:
    """What each recipe finds where nobody kills anything."""
    found = []
    for recipe in recipes:
        run = actions.wait(actions.submit(recipe, settings, LOCAL), settings)
        if run.state != "done":
            raise RetortError(f"The undisturbed run is {run.state}: {run.cause}", run.remedy)
        found.append(soak_study.found(settings, run.id))
    return found


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def soak(folder: Path, kills: int, seed: int) -> list[str]:
    """Runs the soak in an empty folder and says what it did; returns the problems."""
    given = folder / "given"
    soak_study.build(given)
    began = time.monotonic()
    recipes = soak_study.studies(given)
    limits = Limits(runner_idle_seconds=3.0)
    calm, hunted = (Settings(home=folder / n / "home", roots=(given,), limits=limits) for n in ("calm", "hunted"))
    expected = undisturbed(calm, recipes)
    seconds = time.monotonic() - began
    say(f"an undisturbed study took {seconds:.0f} s")
    world = World(hunted)
    hunt = Soak(world, random.Random(seed), recipes, expected, kills, seconds / len(recipes))
    try:
        hunt.run()
    finally:
        world.leaves_nothing()
        World(calm).leaves_nothing()
    say(f"kills: {dict(hunt.killed)}; seen: {dict(hunt.seen)}; {time.monotonic() - began:.0f} s")
    return world.problems


def main(arguments: list[str] | None = None) -> int:
    """Reads the options and runs it."""
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description="Kill a study at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where its homes lie; it stays (default: a temporary folder)")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same sums in the same order, however many cores
    with contextlib.ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retort-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        problems = soak(folder.resolve(), chosen.kills, chosen.seed)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("Nothing was lost, repeated, stuck or different." if not problems else f"{len(problems)} problems.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
