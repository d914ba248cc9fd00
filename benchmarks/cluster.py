"""How much faster a sweep is on several devices of a Ray cluster, and what limits it on a hundred nodes.

    RETORT_RAY_ADDRESS=HOST:PORT python -m benchmarks.cluster [--model sample:smollm2-135m] [--at-once 1 2]

The same sweep runs once for each number of devices, each time with another calibration seed so that nothing is
found again. From the times of the last one the schedule of 1 to 100 nodes is worked out: a simulation, not a
measurement. Devices that share processors (two nodes on one machine) show less than separate machines would.
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.cluster.sweep import measure_on_cluster
from core.engine.measure.devices import cpu_name, usable_cores
from core.engine.run.session import Session
from core.engine.run.sweep import run_sweep
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
NODES = (1, 2, 5, 10, 20, 50, 100)
BYTES_A_SECOND = 1e9 / 8  # a network of 1 Gbit/s, where the model leaves its machine once for each node


class Stopwatch:
    """The hooks of a run, with the time at which each trial was sent and came back."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.run_folder = settings, folder
        self.reporter, self.actor = InMemoryReporter(), LOCAL
        self.results: dict[str, Result] = {}
        self.sent: dict[int, float] = {}
        self.came: dict[int, float] = {}

    def register_trials(self, trials: list[Trial]) -> None:
        return None

    def finished(self, key: str) -> Result | None:
        return self.results.get(key)

    def trial_started(self, index: int) -> None:
        self.sent[index] = time.perf_counter()

    def trial_done(self, index: int, result: Result) -> None:
        self.came[index] = time.perf_counter()
        self.results[result.key] = result

    def trial_failed(self, index: int, error: RetortError) -> None:
        raise error

    def candidate_folder(self, key: str) -> Path:
        return self.run_folder / "candidates" / key


@dataclass(frozen=True)
class Times:
    """Seconds of one sweep. `serial`: until the first pruned trial was sent; `trials`: each one's own work."""

    wall: float
    serial: float
    trials: list[float]
    overhead: float
    """Mean seconds between a trial's own work and its way there and back, the first of each process left out."""


def main() -> None:
    """Runs, prints the speed-up, then the simulation and its bottleneck."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--calibration", default="sample:wiki")
    parser.add_argument("--evaluation", default="sample:wiki")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--window", type=int, default=512)
    args = parser.parse_args()
    settings = Settings.load()
    print(f"{args.model}, {2 * len(SPARSITIES)} trials; this machine: {cpu_name()}, {usable_cores()} usable cores")
    first = times = None
    size = 0
    for number in args.at_once:
        times, size = measured(args, settings, number)
        first = first or times.wall
        print(
            f"{number:3} at once: {times.wall:7.1f} s, {first / times.wall:5.2f}x; before the first pruned trial "
            f"{times.serial:.1f} s; a trial {sum(times.trials) / len(times.trials):.2f} s and "
            f"{times.overhead:.2f} s on its way"
        )
    assert times is not None
    print("\nSimulated, 500 trials like those measured, each node with one device, model sent at 1 Gbit/s:")
    for nodes in NODES:
        wall, bottleneck = simulated(times, nodes, 500, size)
        alone, _ = simulated(times, 1, 500, size)
        print(f"{nodes:4} nodes: {wall:8.1f} s, {alone / wall:5.1f}x; most of the loss: {bottleneck}")


def measured(args: argparse.Namespace, settings: Settings, at_once: int) -> tuple[Times, int]:
    """One sweep with `at_once` devices, and the bytes that went to each node."""
    split = {} if args.calibration.startswith("sample:") else {"split": None}
    recipe = Recipe.model_validate(
        {
            "name": "Benchmark",
            "model": args.model,
            "latency": None,
            "executor": "ray",
            "seed": at_once,
            "calibration": {"data": args.calibration, "sequences": 16, "length": args.window, "seed": at_once, **split},
            "evaluation": {"data": args.evaluation, "tokens": args.tokens, "window": args.window, **split},
            "sweep": {"grid": [{"method": ["magnitude", "wanda"], "sparsity": SPARSITIES}], "keep": "none"},
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        if settings.samples.is_dir():
            (home / "samples").symlink_to(settings.samples)
        hooks = Stopwatch(replace(settings, home=home), Path(scratch))
        session = Session(recipe, hooks)
        started = time.perf_counter()
        run_sweep(session, partial(measure_on_cluster, most=at_once))
        wall = time.perf_counter() - started
        size = sum(p.stat().st_size for p in session.resolved.folder.iterdir() if p.is_file())
    pruned = sorted(i for i in hooks.came if i > 0)
    own = [r.seconds for r in hooks.results.values() if not r.baseline]
    ways = [hooks.came[i] - hooks.sent[i] for i in pruned][at_once:]
    overhead = max(0.0, sum(ways) / len(ways) - sum(own) / len(own))
    return Times(wall, min(hooks.sent[i] for i in pruned) - started, own, overhead), size


def simulated(times: Times, nodes: int, trials: int, size: int) -> tuple[float, str]:
    """Seconds of a sweep on paper, and what costs most beside the trials' own work divided by the nodes.

    Calibration and baseline come first, alone. The model leaves one machine for each node in turn. Then each node
    takes the next trial when it is free (greedy list scheduling, Graham 1966).
    """
    dice = random.Random(0)
    work = [dice.choice(times.trials) + times.overhead for _ in range(trials)]
    sending = size / BYTES_A_SECOND
    free = [times.serial + sending * (i + 1) for i in range(nodes)]
    heapq.heapify(free)
    for seconds in work:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    wall = max(free)
    ideal = sum(work) / nodes
    losses = {
        "calibration and baseline, which run before all others": times.serial,
        "the model leaving one machine for every node": sending * (nodes + 1) / 2,
    }
    losses["waiting for the last trials"] = max(0.0, wall - ideal - sum(losses.values()))
    return wall, max(losses, key=lambda k: losses[k])


if __name__ == "__main__":
    main()
