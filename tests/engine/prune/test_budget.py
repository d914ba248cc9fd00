"""Shapes under a budget: the choice against a brute-force search, the sizes against saved files, a whole run."""

from __future__ import annotations

import itertools
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.engine.measure.layer_table import LayerTable, split
from core.engine.models.architectures import adapter_for
from core.engine.models.load import load_model
from core.engine.models.save import save_model
from core.engine.pipeline import execute
from core.engine.prune.budget import Option, choose, options
from core.engine.prune.structured import prune_structure
from core.engine.prune.targets import Question
from core.engine.run.budget import PLAN, Megabytes
from core.recipe.budget import Budget
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.recipe import Prune, Recipe, Sizes, Target
from core.recipe.results import Result, Trial


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_that_of_a_brute_force_search(seed: int) -> None:
    draw = random.Random(seed)
    layers, widths = range(1, 7), [8, 16, 24, 32]
    shapes = list(itertools.product(layers, widths))
    cost = {(n, w): {"megabytes": n * w / 10 + draw.random(), "decode_ms": n * 2 + w / 20} for n, w in shapes}
    loss = {k: draw.choice([0.1, 0.2, 0.3, 0.5, 0.8]) + draw.random() / 4 for k in cost}
    megabytes, decode = draw.uniform(3, 15), draw.uniform(5, 13)
    budget = Budget(megabytes=megabytes, decode_ms=decode, keep=2)
    found = options(layers, widths, lambda n, w: cost[n, w], lambda n, w: loss[n, w])
    fit = [k for k in cost if cost[k]["megabytes"] <= megabytes and cost[k]["decode_ms"] <= decode]
    best = min(
        (pair for pair in itertools.combinations(fit, 2) if pair[0][0] != pair[1][0]),
        key=lambda pair: sum(loss[k] for k in pair),
    )
    chosen = [(o.layers, o.neurons) for o in choose(found, budget)]
    assert set(chosen) == set(best), "the least total loss of two shapes of different depth"
    assert loss[chosen[0]] <= loss[chosen[1]] and loss[chosen[0]] == min(loss[k] for k in fit)


def test_an_impossible_budget_names_the_nearest() -> None:
    found = [Option(n, 8, {"megabytes": 10.0 * n, "decode_ms": 5.0 / n}, 1.0) for n in (1, 2, 3)]
    with pytest.raises(RetortError, match="at most 12 MB with tokenizer and 2.5 ms a token") as refused:
        choose(found, Budget(megabytes=12, decode_ms=2.5))
    assert "20 MB with tokenizer and 2.5 ms a token, with 2 layers" in refused.value.remedy, (
        "1.67 times over, not 2 times"
    )


def test_times_are_those_of_two_depths() -> None:
    rest, layer = split(3.0, [7.0, 13.0], 6)  # rest 1, layers of 1 and 2
    assert rest == pytest.approx(1.0) and layer == pytest.approx([1.0, 2.0])
    table = LayerTable(widths=[8, 16], layer={"decode_ms": layer}, rest={"decode_ms": rest}, settings={})
    assert table.time("decode_ms", 4, 12) == pytest.approx(1 + 4 * 1.5)


def test_a_budget_needs_a_limit_and_reads_back() -> None:
    with pytest.raises(ValidationError, match="at least one"):
        Budget(keep=2)
    with pytest.raises(RetortError, match="give 'grid', or a 'budget'"):
        load_recipe("name: a\nmodel: sample:x\nsweep: {keep: all}\n")
    recipe = load_recipe(Path("examples/budget.yaml"))
    assert recipe.sweep is not None and recipe.sweep.trials() == []
    assert load_recipe(dump_recipe(recipe)) == recipe


@pytest.mark.parametrize(("layers", "neurons"), [(4, 64), (2, 40), (3, 16)])
def test_megabytes_are_those_of_the_saved_model(layers: int, neurons: int, tiny_llama: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_llama, "float32")
    question = Question(loaded.model, loaded.tokenizer, adapter_for(loaded.model), ("layers",), (), 8)
    step = Prune(method="width_norm", target=Target(sizes=Sizes(layers=layers, intermediate=neurons)))
    windows = torch.randint(3, 380, (2, 16), generator=torch.Generator().manual_seed(0))
    smaller, _ = prune_structure(loaded, step, None, windows, InMemoryReporter())
    save_model(smaller, loaded.tokenizer, tmp_path / "model", {})
    real = sum(f.stat().st_size for f in (tmp_path / "model").rglob("*") if f.is_file()) / 1e6
    save_model(loaded.model, loaded.tokenizer, tmp_path / "dense", {})
    dense = sum(f.stat().st_size for f in (tmp_path / "dense").rglob("*") if f.is_file()) / 1e6
    counted = Megabytes(question)
    assert counted.of(layers, neurons) >= real, "never less than it takes"
    saved = counted.of(4, 64) - counted.of(layers, neurons)
    assert saved == pytest.approx(dense - real, abs=0.005), "headers and config are the rest"


@dataclass
class Memory:
    """Hooks over a dictionary."""

    settings: Settings
    run_folder: Path
    actor: Actor = LOCAL
    reporter: InMemoryReporter = field(default_factory=InMemoryReporter)
    results: dict[str, Result] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)

    def register_trials(self, trials: list[Trial]) -> None:
        self.trials = trials

    def finished(self, key: str) -> Result | None:
        return self.results.get(key)

    def trial_started(self, index: int) -> None:
        return None

    def trial_done(self, index: int, result: Result) -> None:
        self.results[result.key] = result

    def trial_failed(self, index: int, error: RetortError) -> None:
        raise error

    def candidate_folder(self, key: str) -> Path:
        return self.settings.home / "candidates" / key


@pytest.mark.slow
def test_a_run_builds_and_measures_the_shapes(tiny_llama: Path, tiny_text: str, home: Settings) -> None:
    base = home.home / "models"
    shutil.copytree(tiny_llama, base / "tiny")
    (base / "a.txt").write_text(tiny_text)
    (base / "b.txt").write_text(" ".join(f"number {i} follows {i - 1} and precedes {i * i}." for i in range(900)))
    data: dict[str, Any] = {
        "name": "budget",
        "model": f"path:{base / 'tiny'}",
        "dtype": "float32",
        "calibration": {"data": f"path:{base / 'a.txt'}", "split": None, "sequences": 4, "length": 32},
        "evaluation": {"data": f"path:{base / 'b.txt'}", "split": None, "tokens": 128, "window": 32},
        "latency": {"prompt": 8, "new_tokens": 3, "repeats": 2},
        "sweep": {"budget": {"megabytes": 0.15, "decode_ms": 1e6, "keep": 2}},
    }
    hooks = Memory(home, home.home)
    execute(Recipe.model_validate(data), hooks)
    assert (home.home / PLAN).is_file() and len(list((home.home / "latency-tables").glob("[!.]*"))) == 1
    assert [t.dense for t in hooks.trials] == [True, False, False]
    for trial in hooks.trials[1:]:
        result = hooks.results[trial.key]
        disk = next(m for m in result.measurements if m.metric == "disk_bytes")
        assert disk.settings["with_tokenizer_and_config"] <= 0.15e6 * 1.05
        assert result.round_trip is not None and result.round_trip.max_logit_difference < 1e-3
    said = [message for _, message, _ in hooks.reporter.events]
    assert sum("measured" in m and "MB" in m for m in said) == 2
    keys = [t.key for t in hooks.trials]
    again = Memory(home, home.home, results=hooks.results)
    execute(Recipe.model_validate(data), again)
    assert [t.key for t in again.trials] == keys, "a run that goes on keeps its shapes"


def test_the_verdict_on_a_time_takes_the_ratio_not_the_milliseconds_of_a_moment() -> None:
    from types import SimpleNamespace

    from core.base.progress import InMemoryReporter
    from core.engine.run.budget import report_verdicts
    from tests.analysis.test_paired_times import model, paired, time

    told = InMemoryReporter()
    dense = model("dense", 25.0, time(50.0))
    shapes = [
        model("slow moment", 30.0, paired(0.8, 100.0)),  # 80 ms then; 40 beside a dense model of 50
        model("quick moment", 30.0, paired(0.96, 30.0, 0.01)),  # 28.8 ms then; 48
        model("no faster", 30.0, paired(0.99, 50.0, 0.02)),  # a tie, so the dense model's 50 decides
        model("alone", 30.0, time(9.0)),
    ]
    session = SimpleNamespace(reporter=told)
    report_verdicts(session, Budget(decode_ms=45.0), dense, shapes)  # type: ignore[arg-type]
    assert [(level, message) for level, message, _ in told.events] == [
        ("info", "slow moment: measured 40 ms a token, in the budget."),
        ("warning", "quick moment: measured 48 ms a token, over the budget of 45 ms a token."),
        ("warning", "no faster: measured 50 ms a token, over the budget of 45 ms a token."),
        (
            "warning",
            "alone: measured no time, not shown to be in the budget, as it was not timed in turns with the "
            "dense model.",
        ),
    ]
