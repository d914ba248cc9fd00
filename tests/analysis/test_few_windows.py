"""Below four windows of text: no interval and no claim, with the reason, wherever a figure is shown."""

from __future__ import annotations

import pytest

from core.analysis.differences import difference
from core.analysis.given_up import LOSS, given_up
from core.analysis.pareto import statuses
from core.analysis.recommendation import recommend
from core.analysis.recommendation_words import sentence
from core.analysis.run_differences import figures
from core.base.settings import Settings
from core.commands.show import show_results
from core.preflight.notes import beforehand
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.registry.formatting import in_full, interval, spread
from core.registry.measurement import Measurement

WHY = "no interval: 2 windows, and it takes 4"


def of(key: str, samples: list[float], windows: int, disk: float, bounds: tuple[float, float] | None = None) -> Result:
    """`bounds`: what an earlier version found by resampling two windows."""
    low, high = bounds or (None, None)
    told = {"windows": windows, "corpus": "c"}
    value = sum(samples) / len(samples)
    found = [Measurement(metric="loss", value=value, unit="nats", low=low, high=high, samples=samples, settings=told)]
    if key != "dense":
        gaps = [s - 3.0 for s in samples]
        change = Measurement(metric=LOSS, value=value - 3.0, unit="nats", samples=gaps, settings=told)
        found.append(change)
    found.append(Measurement(metric="disk_bytes", value=disk, unit="B"))
    method = "dense" if key == "dense" else "magnitude"
    return Result(
        key=key,
        label=key,
        model="sample:m",
        method=method,
        baseline=key == "dense",
        baseline_key="dense",
        measurements=found,
    )


DENSE = of("dense", [3.0, 3.0], 2, 100.0)
WORSE = of("worse", [3.5, 3.6], 2, 80.0, bounds=(3.5, 3.6))


def test_a_figure_says_why_it_has_no_interval() -> None:
    loss = WORSE.measurements[0]
    assert interval(loss) == "" and spread(loss) == WHY
    assert in_full(loss) == f"3.55 nats ({WHY})"
    assert spread(loss.model_copy(update={"settings": {"windows": 4}})) == "3.5 to 3.6 nats"


def test_no_difference_is_claimed() -> None:
    found = difference(WORSE, DENSE, "loss")
    assert found is not None
    assert (found.change, found.better, found.evidence) == ("too few windows to tell", None, WHY)
    lost = given_up(WORSE, DENSE, LOSS)
    assert lost is not None and not lost.none and lost.interval == "" and lost.untold == WHY
    assert lost.words == "loss +18.3 %, too few windows to tell"


def test_on_the_chart_nothing_is_beaten() -> None:
    better, worse = DENSE.measurements[0], WORSE.measurements[0]
    disk = [DENSE.measurements[-1]] * 2
    assert statuses([better, worse], [disk]) == ["front", "tie"]
    four = [
        m.model_copy(update={"samples": 2 * (m.samples or []), "settings": {"windows": 4}}) for m in (better, worse)
    ]
    assert statuses(four, [disk]) == ["front", "dominated"]


def test_the_recommendation_says_so() -> None:
    told = recommend([WORSE], DENSE, share=0.5)
    assert told is not None and told.free is None and told.safe is None
    assert f"Whether quality was lost cannot be told ({WHY})." in sentence(told)


def test_two_runs_are_not_told_apart() -> None:
    later = WORSE.model_copy(update={"key": "later", "measurements": [WORSE.measurements[0].model_copy()]})
    assert [f.verdict for f in figures([WORSE], [later])] == [f"too few windows to tell ({WHY})"]


def test_the_terminal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_results([DENSE, WORSE])
    shown = " ".join(capsys.readouterr().out.split())
    assert WHY in shown and "tie" not in shown


def test_it_is_said_before_the_start(home: Settings) -> None:
    sweep = {"grid": [{"method": ["magnitude"], "sparsity": [0.5]}]}
    few: dict[str, object] = {
        "name": "n",
        "model": "sample:smollm2-135m",
        "evaluation": {"tokens": 256, "window": 128},
        "sweep": sweep,
    }
    assert beforehand(Recipe.model_validate(few), home) == [
        "Quality is measured on 2 windows of 128 tokens. Below 4 windows a loss has no interval and no difference is "
        "claimed: ask for at least 512 evaluation tokens, or for shorter windows."
    ]
    few["evaluation"] = {"tokens": 512, "window": 128}
    assert beforehand(Recipe.model_validate(few), home) == []
