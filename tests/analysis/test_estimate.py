"""What a run is said to take: counted by hand from the machine's rates."""

from __future__ import annotations

import pytest

from core.analysis.estimate import MachineProbe, ModelSize, Past, estimate, measuring_seconds, past, probe_path
from core.base.settings import Settings
from core.recipe.prune import Prune
from core.recipe.recipe import Calibration, Evaluation, Grid, Recipe, Sweep, Target
from core.recipe.results import Result
from core.registry.methods import METHODS

SIZE = ModelSize(parameters=1000, active_parameters=1000, block_parameters=800, layers=10, disk_bytes=2000)
FLOPS = 1e6


@pytest.fixture
def timed(home: Settings) -> Settings:
    """A home whose machine was timed: a million operations a second, everything else at once."""
    probe = MachineProbe(
        dtype="float32",
        threads=1,
        forward_flops=FLOPS,
        decode_seconds_per_layer=0.0,
        rank_weights_per_second=1e18,
        write_bytes_per_second=1e18,
    )
    probe_path(home).write_text(probe.model_dump_json())
    return home


def seconds(home: Settings, method: str, target: Target, sequences: int = 32) -> float:
    recipe = Recipe(
        name="a",
        model="sample:a",
        calibration=Calibration(sequences=sequences, length=100),
        latency=None,
        sweep=Sweep(grid=(Grid(method=(method,), target=(target,)),)),
    )
    found = estimate(recipe, SIZE, home).seconds
    assert found is not None
    return found


@pytest.mark.parametrize(
    "target",
    [Target(remove_layers=3), Target(block_fraction=0.3), Target(total_fraction=0.24), Target(megabytes=0.00152)],
)
def test_searching_for_layers_costs_a_pass_for_every_layer_left(timed: Settings, target: Target) -> None:
    windows = METHODS["loss_ablation"].search_windows
    ordered = seconds(timed, "block_influence", target)
    searched = seconds(timed, "loss_ablation", target)
    tries = 10 + 9 + 8
    operations = 2 * (800 / 2 + 200) * windows * 100  # half of the blocks, and everything else
    assert searched - ordered == pytest.approx(tries * operations / FLOPS)


def test_no_more_windows_are_searched_than_there_are(timed: Settings) -> None:
    target = Target(remove_layers=1)
    gap = [
        seconds(timed, "loss_ablation", target, n) - seconds(timed, "block_influence", target, n) for n in (2, 8, 64)
    ]
    assert gap[0] == pytest.approx(gap[1] / 4) and gap[2] == pytest.approx(gap[1])


def sweep_of(tokens: int) -> Recipe:
    """Magnitude at 50 %, which reads no calibration text, judged on so many tokens, not timed."""
    return Recipe(
        name="a",
        model="sample:a",
        evaluation=Evaluation(tokens=tokens, window=16),
        latency=None,
        sweep=Sweep(grid=(Grid(method=("magnitude",), sparsity=(0.5,)),)),
    )


def test_what_candidates_took_here_stretches_every_size_alike(timed: Settings) -> None:
    # A trial reads its tokens at 2 x 1000 operations each, a million a second, and is reloaded in 2 s.
    plain, large = (estimate(sweep_of(tokens), SIZE, timed).seconds for tokens in (1_000, 50_000))
    assert (plain, large) == (pytest.approx(12 + 2 * (2 + 2)), pytest.approx(12 + 2 * (100 + 2)))
    took = [Past(sweep_of(1_000), None, 12.0), Past(sweep_of(1_000), Prune(method="magnitude", sparsity=0.5), 12.0)]
    told = estimate(sweep_of(50_000), SIZE, timed, took)
    assert told.seconds == pytest.approx(12 + 3 * 2 * (100 + 2)) and told.basis.startswith("from 2 finished candidates")
    assert measuring_seconds(sweep_of(1_000), (SIZE, SIZE), timed) == pytest.approx(8.0)


def test_only_durations_of_known_recipes_of_sweeps_count() -> None:
    of = sweep_of(1_000).model_dump(mode="json")
    pruned = {"method": "magnitude", "prune": {"method": "magnitude", "sparsity": 0.5}}
    rows = [
        ({"method": "dense", "baseline": True}, of, 5.0),
        (pruned, of, 7.0),
        (pruned, of, 0.0),
        (pruned, {"of": "another version"}, 9.0),
        ({"method": "distil"}, of, 900.0),
    ]
    found = [
        Result(key=f"k{i}", label="", model="m", recipe=r, seconds=s, **what) for i, (what, r, s) in enumerate(rows)
    ]
    assert [(p.prune is None, p.seconds) for p in past(found)] == [(True, 5.0), (False, 7.0)]


def test_healing_costs_passes_over_the_calibration_text(timed: Settings) -> None:
    """The dense model reads it once, the smaller one up to twice, and the solves are reckoned as much again."""
    recipe = Recipe.model_validate(
        {
            "model": "sample:a",
            "calibration": {"sequences": 5, "length": 100},
            "latency": None,
            "sweep": {"grid": [{"method": ["block_influence"], "target": [{"remove_layers": 1}]}]},
        }
    )
    block = recipe.sweep.grid[0] if recipe.sweep else None
    assert block is not None
    healed = recipe.model_copy(update={"sweep": Sweep(grid=(block.model_copy(update={"heal": "closed-form"}),))})
    times = [estimate(r, SIZE, timed).seconds or 0.0 for r in (recipe, healed)]
    assert times[1] - times[0] == pytest.approx(6 * 2 * 1000 * 500 / FLOPS)
