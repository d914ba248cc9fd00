"""Counted and estimated energy never stand on one chart, in one front or under one limit. Literals by hand.

The case: of four nodes three have a counter, so four of six models were counted and two estimated.
"""

from __future__ import annotations

from core.analysis.limits import judged
from core.analysis.one_kind import one_kind
from core.analysis.run_differences import figures
from core.figures.points import points_of
from core.figures.theme import LIGHT
from core.figures.tradeoff import tradeoff
from core.recipe.results import Result
from core.registry.measurement import Measurement, Obtained


def energy(value: float, obtained: Obtained) -> Measurement:
    told = {"counter": "RAPL"} if obtained == "measured" else {"watts": 20.0, "ratio": 0.5, "ratio_low": 0.4}
    return Measurement(
        metric="energy_j_per_token", value=value, unit="J", obtained=obtained, settings={**told, "ratio_high": 0.6}
    )


def model(key: str, perplexity: float, joules: float, obtained: Obtained) -> Result:
    quality = Measurement(metric="perplexity", value=perplexity, unit="", low=perplexity - 0.1, high=perplexity + 0.1)
    size = Measurement(metric="disk_bytes", value=perplexity * 1e6, unit="B")
    return Result(
        key=key,
        label=key,
        model="sample:x",
        method="dense" if key == "dense" else "wanda",
        baseline=key == "dense",
        measurements=[quality, size, energy(joules, obtained)],
    )


DENSE = model("dense", 25.0, 2.0, "measured")
A, B, C = model("a", 26.0, 1.8, "measured"), model("b", 27.0, 1.9, "measured"), model("c", 30.0, 1.2, "measured")
LOW, LOWER = model("low", 25.5, 0.02, "estimated"), model("lower", 28.0, 0.01, "estimated")
MIXED = [DENSE, A, LOW, B, C, LOWER]


def joules(results: list[Result]) -> dict[str, Measurement]:
    return {r.key: m for r in results for m in r.measurements if m.metric == "energy_j_per_token"}


def test_the_chart_has_the_kind_most_models_have_and_its_front_is_of_that_kind() -> None:
    points = {p.key: p for p in points_of(MIXED, "energy_j_per_token", "perplexity")}
    assert set(points) == {"dense", "a", "b", "c"}
    assert [k for k, p in points.items() if p.front] == ["dense", "a", "c"], (
        "no estimate of 0.02 J beats what is counted"
    )
    marks = [x for trace in tradeoff(list(points.values()), LIGHT).data for x in (trace.x or ()) if x is not None]
    assert min(marks) == 1.2


def test_it_says_which_kind_and_how_many_are_left_out() -> None:
    assert one_kind(joules(MIXED)).sentence({"dense"}) == (
        "Energy per token is shown where it was measured. Left out are 2 candidates, where it was estimated: "
        "measured and estimated energy cannot be compared."
    )
    few = [DENSE, A, LOW, LOWER, model("x", 29.0, 0.03, "estimated")]
    assert set(one_kind(joules(few)).figures) == {"low", "lower", "x"}
    assert one_kind(joules(few)).sentence({"dense"}) == (
        "Energy per token is shown where it was estimated. Left out are 1 candidate and the dense baseline, where it "
        "was measured: measured and estimated energy cannot be compared."
    )


def test_equally_many_are_shown_as_measured_and_of_one_kind_nothing_is_left_out() -> None:
    assert set(one_kind(joules([DENSE, A, LOW, LOWER])).figures) == {"dense", "a"}
    assert one_kind(joules([DENSE, A])).sentence() == "" == one_kind({}).sentence()
    sizes = {
        r.key: r.measurements[1].model_copy(update={"obtained": o}) for r, o in ((A, "estimated"), (B, "measured"))
    }
    assert one_kind(sizes).figures == sizes, "only energy is obtained in two ways that say nothing about each other"


def test_a_limit_of_energy_that_is_not_drawn_holds_for_one_kind() -> None:
    points = points_of(MIXED, "disk_bytes", "perplexity")
    outcome = judged(points, {"energy_j_per_token": 1.85}, lambda _: joules(MIXED))
    assert set(outcome.feasible) == {"a", "c"}
    assert (
        "rules out 4 of 6, 2 of them because it was not obtained as for the others (one measured, one estimated)."
        in outcome.sentence
    )
    assert "not measured" not in outcome.sentence


def test_two_runs_set_no_measured_energy_against_an_estimate() -> None:
    for left, right in (("measured", "estimated"), ("estimated", "measured")):
        (change,) = [
            c
            for c in figures([model("a", 26.0, 1.8, left)], [model("a2", 26.0, 0.02, right)])
            if c.metric == "energy_j_per_token"
        ]
        assert change.verdict == "cannot be compared: one was measured and the other estimated"
