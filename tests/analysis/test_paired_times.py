"""Times are compared by their ratio to the dense model timed in turns, whatever milliseconds say. Literals by hand.

The case seen: the dense model took 120 ms in one moment; in another it took 49.45 ms beside a candidate's 49.6.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from core.analysis.differences import difference
from core.analysis.limits import Aside, within_limits
from core.analysis.paired_times import bounds, deciding, paired_ratio, ratio_of, stray
from core.analysis.promised_vs_measured import shares, verdict
from core.analysis.time_references import aligned, from_time, references
from core.figures.point import Point
from core.figures.points import points_of
from core.recipe.results import Result
from core.registry.measurement import Measurement, find_metric

PROMPT = {"prompt": 64, "new_tokens": 8, "batch": 1}


def time(value: float, metric: str = "decode_ms", **settings: Any) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        unit="ms",
        low=value * 0.97,
        high=value * 1.04,
        settings={**PROMPT, **settings},
        samples=[value] * 5,
    )


def paired(ratio: float, dense: float, half: float = 0.015, **settings: Any) -> Measurement:
    """A candidate's time whose rounds gave this ratio, while the dense model took `dense` ms."""
    turns = {"baseline_value": dense, "ratio": ratio, "ratio_low": ratio - half, "ratio_high": ratio + half}
    return time(ratio * dense, **turns, **settings)


def model(key: str, perplexity: float, decode: Measurement, megabytes: float = 270.0) -> Result:
    quality = Measurement(metric="perplexity", value=perplexity, unit="", low=perplexity - 0.1, high=perplexity + 0.1)
    size = Measurement(metric="disk_bytes", value=megabytes * 1e6, unit="B")
    return Result(
        key=key,
        label=key,
        model="sample:x",
        method="dense" if key.startswith("dense") else "wanda",
        baseline=key.startswith("dense"),
        baseline_key="dense",
        measurements=[quality, size, decode],
    )


DENSE = model("dense", 25.0, time(120.0))
WANDA = model("wanda", 25.5, paired(1.003, 49.45))
SHORT = model("short", 40.0, paired(0.8, 50.0), 230.0)
SEEN = [DENSE, WANDA, SHORT]


def on_chart(results: list[Result]) -> dict[str, Point]:
    return {p.key: p for p in points_of(aligned(results), "decode_ms", "perplexity")}


def decode_of(result: Result) -> Measurement:
    found = find_metric(result.measurements, "decode_ms")
    assert found is not None
    return found


def test_the_ratio_is_that_of_rounds_with_students_interval_of_its_logarithm() -> None:
    # Ratios 1, 2 and 4: their logarithms have mean and deviation ln 2, and t of two degrees is 4.302653.
    found = paired_ratio([10.0, 20.0, 40.0], [10.0, 10.0, 10.0], 3)
    assert found == pytest.approx((2.0, 0.357462, 11.189997), rel=1e-5)
    # Within a round the medians count: 30 and 10, then 30 and 15.
    rounds = paired_ratio([30.0, 1.0, 90.0, 30.0, 31.0, 29.0], [10.0, 9.0, 500.0, 15.0, 15.0, 15.0], 2)
    assert rounds.value == pytest.approx(math.sqrt(6.0))
    once = paired_ratio([11.0], [10.0], 1)
    assert once.value == pytest.approx(1.1) and not once.bounded and once.same, "one round shows no error"
    with pytest.raises(ValueError, match="do not fall into"):
        paired_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 2)


def test_a_machine_that_slows_down_between_rounds_changes_no_ratio() -> None:
    drift = [1.0, 1.7, 2.9, 5.0]
    found = paired_ratio([8.0 * d for d in drift], [10.0 * d for d in drift], 4)
    assert found == pytest.approx((0.8, 0.8, 0.8)) and not found.same


def test_results_of_earlier_versions_have_spreads_instead_of_an_interval() -> None:
    old = time(49.6, baseline_value=49.45, baseline_low=48.5, baseline_high=53.0).model_copy(
        update={"low": 48.0, "high": 54.0}
    )
    found = ratio_of(old)
    assert found is not None and found == pytest.approx((1.003033, 0.928984, 1.094401), rel=1e-5) and found.same
    flat = time(9.0, baseline_value=10.0, baseline_low=10.0, baseline_high=10.0)
    one_round = ratio_of(flat.model_copy(update={"low": 9.0, "high": 9.0}))
    assert one_round is not None and one_round.same, "the spread of a single timing is not known to be none"


def test_the_reference_is_the_median_of_the_quiet_timings_of_the_dense_model() -> None:
    (ref,) = references(SEEN).values()  # 120, 49.45 and 50
    assert (ref.value, ref.timings, ref.quiet) == (50.0, 3, True)
    disturbed = model("dense", 25.0, time(120.0, contended=True))
    (ref,) = references([disturbed, WANDA, SHORT]).values()
    assert ref.value == 49.45 and ref.timings == 2, "of two in the middle the faster: disturbance only adds"
    busy = [model("dense", 25.0, time(120.0, contended=True)), model("w", 26.0, paired(1.0, 90.0, contended=True))]
    (ref,) = references(busy).values()
    assert (ref.value, ref.quiet) == (90.0, False) and "all of them on a busy machine" in ref.sentence
    assert (
        "times 50 ms, the time of the dense model (the median of its 3 timings)"
        in references(SEEN)[("decode_ms", 64, 8, 1)].sentence
    )


def test_what_was_asked_for_differently_has_a_reference_of_its_own() -> None:
    long = model("long", 25.0, paired(0.5, 400.0, prompt=512))
    refs = references([*SEEN, long])
    assert {what[1]: ref.value for what, ref in refs.items()} == {64: 50.0, 512: 400.0}
    here, there = "EPYC", "Xeon"
    apart = [
        model("dense", 25.0, time(90.0, machine=here)),
        model("a", 26.0, paired(0.9, 80.0, machine=here)),
        model("b", 27.0, paired(0.9, 20.0, machine=there)),
    ]
    (ref,) = references(apart).values()
    assert (ref.value, ref.machine) == (80.0, here) and "on EPYC" in ref.sentence


def test_the_seen_case_is_a_tie_in_time_and_the_slow_moment_is_no_advantage() -> None:
    dense, wanda, short = aligned(SEEN)
    assert decode_of(dense).value == 50.0 and decode_of(dense).low is None
    assert decode_of(wanda).value == pytest.approx(50.15)
    assert (decode_of(wanda).low, decode_of(wanda).high) == pytest.approx((49.4, 50.9))
    assert decode_of(wanda).settings["measured_ms"] == pytest.approx(1.003 * 49.45) and wanda is not WANDA
    assert decode_of(short).value == pytest.approx(40.0)
    assert decode_of(WANDA).value == pytest.approx(49.6, rel=1e-3), "what was measured is not changed"
    again = aligned(aligned(SEEN))
    assert [decode_of(r).model_dump() for r in again] == [decode_of(r).model_dump() for r in (dense, wanda, short)]


def test_the_front_takes_the_ratio_and_its_ties() -> None:
    points = on_chart(SEEN)
    assert points["dense"].front and points["short"].front
    # By milliseconds of their moments, 49.6 against 120, the worse of two equally fast models would be on the front.
    assert not points["wanda"].front and not points["wanda"].tied
    faster = on_chart([DENSE, model("wanda", 25.5, paired(0.99, 49.45)), SHORT])["wanda"]
    assert faster.tied and not faster.front, "1 % is inside the error of 1.5 %, and its quality is worse"
    real = on_chart([DENSE, model("wanda", 25.5, paired(0.97, 49.45)), SHORT])["wanda"]
    assert real.front, "3 % is beyond it"


def test_two_studies_whose_baselines_ran_in_different_moments_are_ranked_by_ratio() -> None:
    slow = [model("dense-2", 25.0, time(200.0)), model("b", 30.0, paired(0.7, 210.0, 0.01))]
    fast = [model("dense-1", 25.0, time(50.0)), model("a", 30.0, paired(0.9, 52.0, 0.01))]
    points = on_chart([*slow, *fast])
    assert points["b"].x.value < points["a"].x.value and points["b"].front and not points["a"].front
    assert points["dense-1"].x.value == points["dense-2"].x.value == 52.0  # of 50, 52, 200 and 210
    other_order = on_chart([*fast, *slow])
    assert {k: (p.x.value, p.front) for k, p in points.items()} == {
        k: (p.x.value, p.front) for k, p in other_order.items()
    }


def test_limits_hold_a_tie_against_the_dense_models_time() -> None:
    points = list(on_chart([DENSE, model("wanda", 24.0, paired(0.99, 49.45)), SHORT]).values())  # 49.5 ms
    found = within_limits(points, 49.7, None)
    assert found.best[0] == "short" and set(found.feasible) == {"short"} and found.aside == ("wanda",)
    assert "1 model lies within it by less than the error" in found.sentence
    assert "Best by perplexity: short" in found.sentence
    wide = within_limits(points, 50.0, None)
    assert set(wide.feasible) == {"dense", "wanda", "short"} and wide.best[0] == "wanda"
    slower = list(on_chart([DENSE, model("wanda", 24.0, paired(1.01, 49.45)), SHORT]).values())  # 50.5 ms
    beyond = within_limits(slower, 50.2, None)
    assert beyond.best[0] == "wanda" and "1 model lies beyond it by less than the error" in beyond.sentence


def test_a_limit_that_is_not_drawn_decides_in_the_same_way() -> None:
    results = aligned([DENSE, model("wanda", 24.0, paired(0.99, 49.45)), SHORT])
    points = points_of(results, "disk_bytes", "perplexity")
    aside = Aside("decode_ms", 49.7, {r.key: deciding(decode_of(r)) for r in results})
    assert within_limits(points, None, None, [aside]).feasible == ("short",)


def test_cards_and_sentences_take_the_ratio_of_raw_and_of_comparable_times() -> None:
    for dense, wanda, short in (SEEN, aligned(SEEN)):
        found = difference(wanda, dense, "decode_ms")
        assert found is not None and found.better is None and found.change == "no difference beyond the error"
        assert found.evidence == "100.3 % (98.8 to 101.8 %) of the dense model's, timed in turns"
        assert "a token takes 100.3 % of the dense time (no difference beyond the error)" in verdict(wanda, dense)
        share = next(s for s in shares(wanda, dense) if s.metric == "decode_ms")
        assert (share.value, share.low, share.high) == pytest.approx((1.003, 0.988, 1.018)) and share.same
        gain = difference(short, dense, "decode_ms")
        assert gain is not None and gain.better is True and gain.change == "\u221220 %"
        assert "80 % of the dense time." in verdict(short, dense)


def test_a_time_without_turns_is_left_out_and_that_is_said() -> None:
    alone = model("alone", 24.0, time(10.0))
    elsewhere = model("elsewhere", 24.0, time(10.0, baseline_value=50.0, baseline_timed="on the same machine"))
    assert set(on_chart([*SEEN, alone, elsewhere])) == {"dense", "wanda", "short"}
    for one in (alone, elsewhere):
        assert all(s.metric != "decode_ms" for s in shares(one, DENSE))
        assert "Its time cannot be compared: it was not taken in turns" in verdict(one, DENSE)
        found = difference(one, DENSE, "decode_ms")
        assert found is not None and (found.change, found.better) == ("not comparable", None)
    (made,) = (r for r in aligned([*SEEN, alone]) if r.key == "alone")
    assert stray(decode_of(made)) and decode_of(made).value == 10.0


def test_where_no_error_is_known_nothing_is_claimed() -> None:
    once = time(30.0, baseline_value=50.0, ratio=0.6)
    made = aligned([DENSE, model("once", 26.0, once)])
    assert bounds(decode_of(made[1])) == (-math.inf, math.inf) and decode_of(made[1]).low is None
    found = difference(made[1], made[0], "decode_ms")
    assert found is not None and found.better is None and "one round: no error known" in found.evidence
    assert bounds(decode_of(made[0])) == (decode_of(made[0]).value,) * 2, (
        "the dense model is exact: all is relative to it"
    )
    assert bounds(Measurement(metric="disk_bytes", value=3.0, unit="B")) == (3.0, 3.0)


def test_energy_estimated_from_a_time_follows_it_and_measured_energy_stays() -> None:
    energy = Measurement(
        metric="energy_j_per_token", value=2.4, unit="J", obtained="estimated", settings={"watts": 20.0}
    )
    dense, wanda = aligned(SEEN)[:2]
    assert from_time(energy, decode_of(dense)).value == pytest.approx(20.0 * 0.050)
    derived = from_time(energy, decode_of(wanda))
    assert derived.value == pytest.approx(20.0 * 0.05015) and derived.low == pytest.approx(20.0 * 0.0494)
    ratio = ratio_of(derived)
    assert ratio is not None and ratio.same
    counted = energy.model_copy(update={"obtained": "measured"})
    assert from_time(counted, decode_of(wanda)) is counted
    assert stray(from_time(energy, None))
