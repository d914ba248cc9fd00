"""What is recommended: the smallest within the limit, by the figures and their errors; against a plain loop as well."""

from __future__ import annotations

import math
import random

import pytest

from core.analysis.candidates import Brief
from core.analysis.recommendation import recommend
from core.analysis.recommendation_words import advice, sentence
from core.registry.measurement import Measurement

DENSE_LOSS = 2.0
DENSE_BYTES = 100e6


def candidate(
    name: str,
    change: float,
    bytes_: float = DENSE_BYTES,
    error: float = 0.001,
    *,
    method: str = "block_influence",
    ratio: tuple[float, float, float] | None = None,
    sparsity: float | None = None,
) -> Brief:
    """A candidate by the change of its loss, its bytes, and the ratio of its time with the ends of its interval."""
    found = [
        Measurement(metric="loss", value=DENSE_LOSS + change, unit="nats"),
        Measurement(metric="loss_change", value=change, unit="nats", low=change - error, high=change + error),
        Measurement(metric="disk_bytes", value=bytes_, unit="B"),
    ]
    if ratio is not None:
        value, low, high = ratio
        said = {"ratio": value, "ratio_low": low, "ratio_high": high, "reference_ms": 40.0, "reference": "one timing"}
        times = {"value": 40.0 * value, "low": 40.0 * low, "high": 40.0 * high}
        found.append(Measurement(metric="decode_ms", unit="ms", settings=said, **times))
    if sparsity is not None:
        found.append(Measurement(metric="sparsity_pruned", value=sparsity, unit="%"))
    return Brief(name, name, method, tuple(found))


DENSE = Brief(
    "dense",
    "Dense",
    "dense",
    (
        Measurement(metric="loss", value=DENSE_LOSS, unit="nats"),
        Measurement(metric="disk_bytes", value=DENSE_BYTES, unit="B"),
        Measurement(metric="decode_ms", value=40.0, unit="ms", settings={"reference_ms": 40.0, "reference": "one"}),
    ),
)
THREE = candidate("Remove 3 layers", 0.078, 92e6, ratio=(0.91, 0.9, 0.92))  # loss +3.9 %
SIX = candidate("Remove 6 layers", 0.186, 84e6, ratio=(0.83, 0.82, 0.84))  # loss +9.3 %
ONE = candidate("Remove 1 layer", 0.02, 97e6)
ZEROS = candidate("Wanda 30 %", 0.05, method="wanda", sparsity=30.0)


def said(*candidates: Brief, **wanted: object) -> str:
    told = recommend(candidates, DENSE, **wanted)  # type: ignore[arg-type]
    return "" if told is None else sentence(told)


def test_the_smallest_within_five_percent_comes_first_and_then_what_more_would_cost() -> None:
    assert said(ZEROS, SIX, ONE, THREE) == (
        "Within +5 % loss: Remove 3 layers (file \u22128 %, token \u22129 %, loss +3.9 %). "
        "Smaller still: Remove 6 layers (file \u221216 %, token \u221217 %, loss +9.3 %). "
        "Nothing here is smaller at no loss."
    )


def test_the_order_of_the_candidates_says_nothing() -> None:
    assert said(SIX, THREE, ONE, ZEROS) == said(ONE, ZEROS, THREE, SIX)


def test_another_limit_gives_another_answer() -> None:
    assert said(SIX, THREE, ONE, share=0.1).startswith("Within +10 % loss: Remove 6 layers (file \u221216 %")
    assert said(SIX, THREE, ONE, share=0.01).startswith("Within +1 % loss: Remove 1 layer (file \u22123 %, loss +1 %).")


def test_where_nothing_qualifies_the_closest_is_named_and_training_it_is_proposed() -> None:
    told = recommend([SIX, ZEROS], DENSE)
    assert told is not None and told.best is None
    assert sentence(told) == (
        "Nothing here is smaller within +5 % loss. "
        "The closest is Remove 6 layers (file \u221216 %, token \u221217 %, loss +9.3 %). "
        "The sparsest within +5 % loss is Wanda 30 % (30 % zeros, loss +2.5 %); zeros save no room."
    )
    next_step = advice(told)
    assert next_step is not None and (next_step.kind, next_step.key) == ("recover", "Remove 6 layers")


def test_zeros_are_not_called_smaller() -> None:
    told = recommend([ZEROS, candidate("Wanda 60 %", 0.6, method="wanda", sparsity=60.0)], DENSE)
    assert told is not None and told.best is None
    assert sentence(told) == (
        "Nothing here is smaller than the original (weights on disk). "
        "The sparsest within +5 % loss is Wanda 30 % (30 % zeros, loss +2.5 %); zeros save no room."
    )
    next_step = advice(told)
    assert next_step is not None and next_step.kind == "remove"


def test_what_loses_nothing_beyond_the_error_is_said() -> None:
    free = candidate("Remove 2 words", 0.0005, 98e6)
    assert said(free, THREE).endswith("At no loss beyond the error: Remove 2 words (file \u22122 %).")
    assert said(free).endswith("Its loss of quality is within the error.")


def test_an_interval_that_crosses_the_limit_names_the_one_that_keeps_it_for_sure() -> None:
    unsure = candidate("Narrower", 0.096, 90e6, error=0.02)  # +4.8 %, 3.8 to 5.8 %
    assert "Its interval reaches +5.8 %; Remove 3 layers (file \u22128 %, token \u22129 %, loss +3.9 %) keeps" in said(
        THREE, unsure, SIX
    )


def test_a_time_inside_the_error_is_not_faster() -> None:
    slow = candidate("As slow", 0.01, 80e6, ratio=(0.99, 0.97, 1.01))
    assert said(slow, THREE, cost="decode_ms").startswith(
        "Within +5 % loss: Remove 3 layers (token \u22129 %, file \u22128 %"
    )
    assert said(slow, cost="decode_ms").startswith("Nothing here is faster than the original (latency per token).")


def test_times_the_error_does_not_tell_apart_are_decided_by_quality() -> None:
    rival = candidate("Rival", 0.06, 95e6, ratio=(0.915, 0.905, 0.925))
    told = recommend([THREE, rival], DENSE, cost="decode_ms")
    assert told is not None and told.best is not None and told.best.key == "Rival"


def test_a_limit_of_megabytes_asks_for_the_best_quality_within_it() -> None:
    assert said(THREE, SIX, ONE, limits={"disk_bytes": 95e6}).startswith(
        "Within your limits (Weights on disk at most 95.0 MB): Remove 3 layers (file \u22128 %"
    )
    assert said(THREE, SIX, ONE, limits={"disk_bytes": 10e6}).startswith(
        "Nothing here is smaller within your limits (Weights on disk at most 10.0 MB). The closest is Remove 6 layers"
    )
    told = recommend([THREE, SIX, ONE], DENSE, limits={"disk_bytes": 10e6})
    assert told is not None and (next_step := advice(told)) is not None and next_step.kind == "more"


def test_a_limit_of_milliseconds_counts_only_what_was_timed() -> None:
    assert said(THREE, SIX, ONE, limits={"decode_ms": 35.0}).startswith(
        "Within your limits (Latency per token at most 35 ms): Remove 6 layers"
    )


def accuracy(name: str, right: float, bytes_: float, p: float) -> Brief:
    test = {"p": p, "only_baseline_right": 9, "only_candidate_right": 3}
    found = Measurement(metric="accuracy", value=right, unit="", settings={"paired": test})
    return Brief(name, name, "distil", (found, Measurement(metric="disk_bytes", value=bytes_, unit="B")))


def test_a_classifier_is_decided_by_its_accuracy() -> None:
    dense = Brief(
        "dense",
        "Dense",
        "dense",
        (
            Measurement(metric="accuracy", value=0.9, unit=""),
            Measurement(metric="disk_bytes", value=DENSE_BYTES, unit="B"),
        ),
    )
    told = recommend([accuracy("Half", 0.895, 50e6, 0.4), accuracy("Third", 0.82, 33e6, 0.001)], dense)
    assert told is not None
    assert sentence(told) == (
        "Within \u22121 point of accuracy: Half (file \u221250 %, accuracy \u22120.5 points). "
        "Smaller still: Third (file \u221267 %, accuracy \u22128 points). Its loss of quality is within the error."
    )
    assert advice(told) is not None


def test_without_an_original_nothing_is_recommended() -> None:
    assert recommend([THREE], None) is None
    assert recommend([Brief("x", "X", "wanda", ())], DENSE) is None


@pytest.mark.parametrize("seed", range(30))
def test_against_a_plain_loop_over_the_figures(seed: int) -> None:
    draw = random.Random(seed)
    rows = [(f"c{i}", draw.uniform(0.0, 0.3), draw.choice([60, 70, 80, 90, 100]) * 1e6) for i in range(12)]
    told = recommend([candidate(n, change, size) for n, change, size in rows], DENSE)
    assert told is not None
    best, least = None, (math.inf, math.inf)
    for name, change, size in rows:
        if size < DENSE_BYTES and change <= 0.05 * DENSE_LOSS and (size, change) < least:
            best, least = name, (size, change)
    assert (told.best.key if told.best else None) == best
