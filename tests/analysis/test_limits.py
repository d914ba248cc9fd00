"""Limits, against a plain loop over the candidates."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from core.analysis.limits import Aside, within_limits
from core.registry.measurement import Measurement


@dataclass(frozen=True)
class Model:
    key: str
    label: str
    x: Measurement
    y: Measurement


def model(name: str, megabytes: float, quality: float, error: float = 0.0, metric: str = "perplexity") -> Model:
    y = Measurement(metric=metric, value=quality, unit="", low=quality - error, high=quality + error)
    return Model(name, name, Measurement(metric="disk_bytes", value=megabytes * 1e6, unit="B"), y)


MODELS = [model("dense", 269, 20, 1), model("six", 226, 30, 1), model("two", 255, 23, 1), model("int8", 164, 20.5, 1)]


def test_the_best_inside_is_named_with_what_the_error_does_not_tell_apart() -> None:
    found = within_limits(MODELS, 260e6, None)
    assert (found.feasible, found.best) == (("six", "two", "int8"), ("int8",))
    assert found.sentence == "3 of 4 models are within the limits. Best by perplexity: int8 (20.5 at 164.0 MB)."
    tied = within_limits(MODELS, None, 25.0)
    assert tied.best == ("dense", "int8") and "does not tell apart from int8." in tied.sentence


def test_where_nothing_fits_the_closest_is_named_with_what_it_misses() -> None:
    found = within_limits(MODELS, 160e6, 20.2)
    assert found.best == () and found.sentence == (
        "No model is within these limits. "
        "The closest is int8, which misses weights on disk by 4.0 MB and perplexity by 0.3."
    )


def test_a_steady_difference_on_the_same_windows_is_no_tie_however_wide_the_intervals() -> None:
    windows = [2.0, 3.0, 4.0, 5.0, 2.5, 3.5, 4.5, 5.5]
    settings = {"corpus": "wiki", "window": 256}

    def judged(name: str, shift: float) -> Model:
        y = Measurement(
            metric="perplexity",
            value=40.0 + 10 * shift,
            unit="",
            low=10.0,
            high=90.0,
            settings=settings,
            samples=[w + shift for w in windows],
        )
        return Model(name, name, MODELS[0].x, y)

    assert within_limits([judged("dense", 0.0), judged("worse", 0.1)], 1e9, None).best == ("dense",)


def test_the_closest_to_a_limit_of_zero_is_the_one_that_misses_by_least() -> None:
    assert "closest is int8" in within_limits(MODELS, 0.0, None).sentence


def test_no_points_no_limits() -> None:
    assert within_limits([], 1.0, 1.0).sentence == ""
    assert len(within_limits(MODELS, None, None).feasible) == 4


values = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=8)


@given(values, st.none() | st.integers(0, 10), st.none() | st.integers(0, 10), st.booleans())
def test_against_a_plain_loop(
    values: list[tuple[int, int, int]], most: int | None, bound: int | None, higher: bool
) -> None:
    metric = "accuracy" if higher else "perplexity"
    models = [model(str(i), x, float(y), float(e), metric) for i, (x, y, e) in enumerate(values)]
    found = within_limits(models, None if most is None else most * 1e6, None if bound is None else float(bound))
    inside = []
    for m in models:
        cheap = most is None or m.x.value <= most * 1e6
        good = bound is None or (m.y.value >= bound if higher else m.y.value <= bound)
        if cheap and good:
            inside.append(m)
    assert found.feasible == tuple(m.key for m in inside)
    if inside:
        best = (max if higher else min)(inside, key=lambda m: m.y.value)
        assert next(m for m in models if m.key == found.best[0]).y.value == best.y.value
        assert set(found.best) <= set(found.feasible)
    else:
        assert found.best == () and "closest" in found.sentence


def test_a_limit_that_is_not_drawn_applies_and_says_how_many_it_rules_out() -> None:
    times = {"dense": 40.0, "six": 31.0, "int8": 55.0}  # that of 'two' was not measured
    found = within_limits(MODELS, 260e6, None, [Aside("decode_ms", 41.0, times)])
    assert found.feasible == ("six",) and found.aside == ("two", "int8")
    assert found.sentence == (
        "1 of 4 models are within the limits. Best by perplexity: six (30 at 226.0 MB). Latency per token at most 41 "
        "ms, which is not drawn, rules out 2 of 4, 1 of them because it was not measured."
    )
    none = within_limits(MODELS, None, None, [Aside("decode_ms", 30.0, times)])
    assert none.sentence == (
        "No model is within these limits. The closest is six, which misses latency per token by 1 ms. Latency per "
        "token at most 30 ms, which is not drawn, rules out 4 of 4, 1 of them because it was not measured."
    )


@given(values, st.integers(0, 10), st.lists(st.none() | st.integers(0, 10), min_size=8, max_size=8), st.integers(0, 10))
def test_limits_that_are_not_drawn_against_a_plain_loop(
    values: list[tuple[int, int, int]], most: int, times: list[int | None], longest: int
) -> None:
    models = [model(str(i), x, float(y), float(e)) for i, (x, y, e) in enumerate(values)]
    known = {str(i): float(t) for i, t in enumerate(times) if t is not None}
    found = within_limits(models, most * 1e6, None, [Aside("decode_ms", float(longest), known)])
    cheap = [m.key for m in models if m.x.value <= most * 1e6]
    quick = [m.key for m in models if m.key in known and known[m.key] <= longest]
    assert found.feasible == tuple(k for k in cheap if k in quick)
    assert found.aside == tuple(k for k in cheap if k not in quick)
    assert f"rules out {len(models) - len(quick)} of {len(models)}" in found.sentence
