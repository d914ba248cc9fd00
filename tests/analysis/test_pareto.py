"""The front against its definition, applied pair by pair; ties against paired intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.analysis.pareto import best_feasible, feasible, front, statuses
from core.analysis.statistics import paired_interval
from core.registry.measurement import Measurement

DIRECTIONS = st.sampled_from(["lower", "higher"])


def by_definition(values: np.ndarray, better: list[Any]) -> list[bool]:
    """No other point at least as good on every axis and better on one."""

    def good(a: float, b: float, direction: str) -> bool:
        return a <= b if direction == "lower" else a >= b

    kept = []
    for i, p in enumerate(values):
        dominated = any(
            all(good(q[k], p[k], d) for k, d in enumerate(better)) and any(q[k] != p[k] for k in range(len(better)))
            for j, q in enumerate(values)
            if j != i and not np.isnan(q).any()
        )
        kept.append(not dominated and not np.isnan(p).any())
    return kept


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_front_is_the_set_nobody_dominates(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 4))
    coarse = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, float("inf"), float("-inf"), float("nan")])
    values = data.draw(arrays(float, (data.draw(st.integers(0, 14)), axes), elements=coarse))
    better = data.draw(st.lists(DIRECTIONS, min_size=axes, max_size=axes))
    assert front(values, better).tolist() == by_definition(values, better)


def test_hundreds_of_points_give_the_same_front_as_the_definition() -> None:
    values = np.random.default_rng(0).normal(size=(400, 3))
    assert front(values, ["lower", "higher", "lower"]).tolist() == by_definition(values, ["lower", "higher", "lower"])


def loss(samples: list[float], **settings_: Any) -> Measurement:
    return Measurement(
        metric="loss",
        value=float(np.mean(samples)),
        unit="nats",
        samples=samples,
        settings={"corpus": "c", **settings_},
    )


def disk(value: float) -> Measurement:
    return Measurement(metric="disk_bytes", value=value, unit="B")


def ms(value: float, low: float, high: float) -> Measurement:
    return Measurement(metric="decode_ms", value=value, unit="ms", low=low, high=high)


BASE = np.random.default_rng(1).normal(3.0, 0.4, size=24)
NOISE = np.random.default_rng(2).normal(0.0, 0.02, size=24)
NOISE -= NOISE.mean()


def shifted(by: float) -> list[float]:
    return [float(v) for v in BASE + NOISE + by]


def test_a_candidate_inside_the_error_of_the_front_is_a_tie_and_one_beyond_it_is_dominated() -> None:
    base = [float(v) for v in BASE]
    assert paired_interval(shifted(0.001), base).includes_zero
    assert not paired_interval(shifted(0.05), base).includes_zero
    found = statuses([loss(base), loss(shifted(0.001)), loss(shifted(0.05))], [[disk(100), disk(100), disk(100)]])
    assert found == ["front", "tie", "dominated"]


def test_a_tie_with_one_front_member_does_not_excuse_losing_to_another() -> None:
    base = [float(v) for v in BASE]
    much_better = [v - 0.5 for v in base]
    quality = [loss(much_better), loss(base), loss(shifted(0.001))]
    assert statuses(quality, [[disk(100), disk(90), disk(100)]]) == ["front", "front", "dominated"]
    assert statuses(quality[1:], [[disk(90), disk(100)]]) == ["front", "tie"]


def test_the_same_answers_at_a_higher_cost_are_no_tie() -> None:
    base = [float(v) for v in BASE]
    assert statuses([loss(base), loss(base)], [[disk(90), disk(100)]]) == ["front", "dominated"]
    assert statuses([loss(base), loss(base)], [[disk(90), disk(90)]]) == ["front", "front"]


def test_a_gain_in_latency_inside_its_spread_does_not_put_a_worse_model_on_the_front() -> None:
    base = [float(v) for v in BASE]
    quality = [loss(base), loss(shifted(0.5))]
    assert statuses(quality, [[ms(41.0, 39, 43), ms(40.5, 39, 43)]]) == ["front", "tie"]
    assert statuses(quality, [[ms(41.0, 39, 43), ms(30.0, 29, 32)]]) == ["front", "front"]


def test_higher_is_better_where_the_metric_says_so() -> None:
    def accuracy(right: int) -> Measurement:
        samples = [1.0] * right + [0.0] * (400 - right)
        return Measurement(metric="accuracy", value=right / 400, unit="", samples=samples)

    found = statuses([accuracy(300), accuracy(299), accuracy(200)], [[disk(1), disk(1), disk(1)]])
    assert found == ["front", "tie", "dominated"]


def test_other_windows_are_not_paired() -> None:
    """The same shift is beyond doubt in pairs, and inside the error of two separate texts."""
    base = [float(v) for v in BASE]
    wide = {"low": float(BASE.mean()) - 0.2, "high": float(BASE.mean()) + 0.3}
    first, other = loss(base).model_copy(update=wide), loss(shifted(0.05), corpus="other").model_copy(update=wide)
    assert statuses([first, other], [[disk(1), disk(1)]]) == ["front", "tie"]


def test_without_any_error_values_decide_and_what_is_no_number_is_unknown() -> None:
    def kl(value: float) -> Measurement:
        return Measurement(metric="kl_to_teacher", value=value, unit="nats")

    found = statuses([kl(0.1), kl(0.2), kl(float("nan")), kl(float("inf"))], [[disk(2), disk(3), disk(1), disk(4)]])
    assert found == ["front", "dominated", "unknown", "dominated"]
    assert statuses([kl(0.1), kl(0.1)], [[disk(2), disk(3)]]) == ["front", "dominated"]
    assert statuses([], []) == []


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 25))
def test_statuses_follow_paired_intervals_of_every_pair(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    text = generator.normal(3.0, 0.5, size=12)
    samples = [[float(v) for v in text + generator.normal(generator.uniform(0, 0.1), 0.05, size=12)] for _ in range(n)]
    cost = [float(c) for c in generator.integers(1, 5, size=n)]
    found = statuses([loss(s) for s in samples], [[disk(c) for c in cost]])
    means = [float(np.mean(s)) for s in samples]
    on_front = by_definition(np.array([means, cost]).T, ["lower", "lower"])
    for i in range(n):
        if on_front[i]:
            assert found[i] == "front"
            continue
        rivals = [g for g in range(n) if on_front[g] and means[g] <= means[i] and cost[g] <= cost[i]]
        beaten = any(paired_interval(samples[i], samples[g]).low > 0 for g in rivals)
        assert found[i] == ("dominated" if beaten else "tie")


def test_limits_are_kept_and_what_was_not_measured_is_infeasible() -> None:
    values: dict[str, list[float | None]] = {"disk_bytes": [10, 20, 30, None], "accuracy": [0.2, 0.5, 0.9, 0.9]}
    assert feasible(values, {"disk_bytes": (None, 20)}).tolist() == [True, True, False, False]
    assert feasible(values, {"disk_bytes": (None, 30), "accuracy": (0.5, None)}).tolist() == [False, True, True, False]
    assert feasible(values, {"decode_ms": (None, 5)}).tolist() == [False] * 4
    assert feasible(values, {}).tolist() == [True] * 4


def test_the_best_feasible_candidate() -> None:
    assert best_feasible([3.0, 2.0, 1.0], "lower", [True, True, False]) == 1
    assert best_feasible([3.0, 2.0, float("nan")], "higher", [True, True, True]) == 0
    assert best_feasible([3.0, 2.0], "lower", [False, False]) is None
    assert best_feasible([], "lower", []) is None


def test_a_cost_may_be_several() -> None:
    base = [float(v) for v in BASE]
    quality = [loss(base), loss(shifted(0.5)), loss(shifted(0.6))]
    found = statuses(quality, [[disk(3), disk(2), disk(3)], [ms(5, 5, 5), ms(6, 6, 6), ms(6, 6, 6)]])
    assert found == ["front", "front", "dominated"]


@pytest.mark.slow
def test_thousands_of_candidates_are_classified() -> None:
    generator = np.random.default_rng(0)
    text = generator.normal(3.0, 0.5, size=64)
    cost = generator.uniform(1, 2, size=3_000)
    samples = [[float(v) for v in text + 2 - c + generator.normal(0.05, 0.05, size=64)] for c in cost]
    found = statuses([loss(s) for s in samples], [[disk(float(c)) for c in cost]])
    assert {"front", "tie", "dominated"} == set(found)


def measured_on(corpus: str, samples: list[float], spread: float) -> Measurement:
    value = float(np.mean(samples))
    m = loss(samples).model_copy(update={"low": value - spread, "high": value + spread})
    return m.model_copy(update={"settings": {"corpus": corpus}, "samples": samples if corpus else None})


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_candidates_of_several_texts_follow_the_definition_pair_by_pair(seed: int, n: int) -> None:
    """Some are paired on one text, some on another, some have an interval only; costs have spreads."""
    generator = np.random.default_rng(seed)
    text = generator.normal(3.0, 0.5, size=10)
    corpora = [("a", "b", "")[i] for i in generator.integers(0, 3, size=n)]
    samples = [[float(v) for v in text + generator.normal(generator.uniform(0, 0.2), 0.05, size=10)] for _ in range(n)]
    quality = [measured_on(c, s, 0.05) for c, s in zip(corpora, samples, strict=True)]
    cost = [float(c) for c in generator.integers(1, 6, size=n)]
    found = statuses(quality, [[ms(c, c - 0.6, c + 0.6) for c in cost]])
    means = [m.value for m in quality]
    on_front = by_definition(np.array([means, cost]).T, ["lower", "lower"])

    def surely_worse(i: int, g: int) -> bool:
        if corpora[i] and corpora[i] == corpora[g]:
            return paired_interval(samples[i], samples[g]).low > 0
        return means[i] - means[g] > float(np.hypot(0.05, 0.05))

    for i in range(n):
        if on_front[i]:
            rivals = [g for g in range(n) if on_front[g] and means[g] < means[i] and cost[g] - 0.6 <= cost[i] + 0.6]
            assert found[i] == ("tie" if any(surely_worse(i, g) for g in rivals) else "front")
            continue
        rivals = [g for g in range(n) if on_front[g] and means[g] <= means[i] and cost[g] <= cost[i]]
        assert found[i] == ("dominated" if any(surely_worse(i, g) for g in rivals) else "tie")
