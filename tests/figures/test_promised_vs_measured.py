"""Shares of the baseline, their bars and the sentence beside them."""

from __future__ import annotations

import pytest

from core.analysis.differences import difference
from core.analysis.promised_vs_measured import NOMINAL, Share, share_words, shares, verdict
from core.figures import promised_vs_measured
from core.figures.theme import LIGHT
from core.recipe.results import Result
from core.registry.measurement import Measurement

TURNS = {"baseline_value": 10.0, "baseline_low": 9.5, "baseline_high": 11.0}
"""What the dense model took in turns with a candidate, as earlier versions recorded it."""


def of(method: str, **values: float | tuple[float, float, float]) -> Result:
    measurements = [
        Measurement(
            metric=m,
            value=v[0],
            low=v[1],
            high=v[2],
            unit="",
            settings=dict(TURNS) if m.endswith("_ms") and method != "dense" else {},
        )
        if isinstance(v, tuple)
        else Measurement(metric=m, value=v, unit="")
        for m, v in values.items()
    ]
    return Result(key=method, label=method, model="sample:x", method=method, measurements=measurements)


DENSE = of("dense", disk_bytes=1000.0, decode_ms=(10.0, 9.5, 11.0), perplexity=(20.0, 18.0, 22.0))


def test_a_sparse_model_is_told_to_be_as_large_as_before() -> None:
    sparse = of("wanda", sparsity_pruned=50.0, disk_bytes=1000.0, decode_ms=(10.2, 9.8, 11.2))
    assert [(s.metric, s.value) for s in shares(sparse, DENSE)] == [
        (NOMINAL, 0.5),
        ("disk_bytes", 1.0),
        ("decode_ms", pytest.approx(1.02)),
    ]
    assert verdict(sparse, DENSE) == (
        "50 % sparse, yet the file is 100 % of the dense size and a token takes 102 % of the dense time "
        "(no difference beyond the error)."
    )


def test_zeros_that_rounding_made_are_no_sparsity() -> None:
    figures = {"disk_bytes": 300.0, "decode_ms": (20.0, 19.0, 21.0)}
    counted = of("quantise", sparsity_pruned=1.3, **figures)  # as versions before this one recorded it
    said = "With int8 weights the file is 30 % of the dense size and a token takes 200 % of the dense time."
    assert verdict(counted, DENSE) == said
    packed = of("quantise", sparsity_pruned=0.0, **figures)
    packed.measurements[0].settings["zeros_of_rounding_left_out"] = 1300
    assert verdict(packed, DENSE) == said
    assert [s.metric for s in shares(packed, DENSE)] == ["disk_bytes", "decode_ms"]
    pruned = of("quantise", sparsity_pruned=50.0, **figures)
    pruned.measurements[0].settings["zeros_of_rounding_left_out"] = 700
    assert verdict(pruned, DENSE) == f"50 % sparse: w{said[1:]}"


def test_a_smaller_model_is_told_to_be_smaller() -> None:
    short = of("block_influence", disk_bytes=880.0, decode_ms=(8.0, 7.9, 8.3))
    assert verdict(short, DENSE) == "The file is 88 % of the dense size and a token takes 80 % of the dense time."


def test_what_was_not_measured_is_not_claimed() -> None:
    assert shares(of("wanda"), DENSE) == []
    assert verdict(of("wanda"), DENSE) == "Neither size nor latency was measured for this candidate."


def test_an_estimate_stays_one_in_share_and_bar() -> None:
    guess = of("wanda", disk_bytes=500.0)
    guess.measurements[0].obtained = "estimated"
    found = shares(guess, DENSE)
    assert found[0].obtained == "estimated"
    fig = promised_vs_measured.bars(found, LIGHT, "#0072B2")
    assert fig.data[1].text == ("50 %, estimated",)
    assert fig.data[0].marker.color[0] == "rgba(0,0,0,0)", "hollow"


def test_the_bar_of_a_time_bears_its_interval() -> None:
    fast = of("block_influence", disk_bytes=880.0, decode_ms=(8.0, 7.9, 8.3))
    found = shares(fast, DENSE)  # 0.8; down by the root of ln(8/7.9)^2 + ln(11/10)^2, up of ln(8.3/8)^2 + ln(10/9.5)^2
    assert (found[1].low, found[1].high) == pytest.approx((0.72667, 0.85214), rel=1e-4)
    fig = promised_vs_measured.bars(found, LIGHT, "#0072B2")
    assert fig.data[1].text == ("88 %", "80.0 %<br>(72.7 to 85.2 %)")
    assert "(72.7 to 85.2 %)" in fig.data[0].hovertext[1]
    assert "latency per token 80.0 % (72.7 to 85.2 %)" in promised_vs_measured.alt("Layers", found)


def test_bars_are_the_shares_and_only_the_promise_is_hatched() -> None:
    sparse = of("wanda", sparsity_pruned=60.0, disk_bytes=1000.0)
    fig = promised_vs_measured.bars(shares(sparse, DENSE), LIGHT, "#0072B2")
    assert list(fig.data[0].x) == pytest.approx([40.0, 100.0])
    assert list(fig.data[0].marker.pattern.shape) == ["/", ""]
    assert "weights left where pruned 40 %" in promised_vs_measured.alt("Wanda", shares(sparse, DENSE))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.5, "50 %"),
        (1.0, "100 %"),
        (0.9961, "99.6 %"),
        (1.004, "100.4 %"),
        (0.88, "88 %"),
        (0, "0 %"),
        (0.003, "0.3 %"),
        (0.0092, "0.9 %"),
        (0.0004, "0.04 %"),
        (0.125, "13 %"),
        (float("inf"), "infinite"),
    ],
)
def test_percent_neither_hides_nor_invents(share: float, text: str) -> None:
    assert share_words(share) == text


def test_differences_claim_nothing_inside_the_error() -> None:
    close = of("wanda", perplexity=(20.5, 18.4, 22.7), decode_ms=(10.4, 9.9, 11.5), disk_bytes=900.0)
    quality, latency, size = (difference(close, DENSE, m) for m in ("perplexity", "decode_ms", "disk_bytes"))
    assert quality is not None and quality.better is None
    assert latency is not None and latency.better is None
    assert size is not None and size.better is True and size.change == "\u221210 %"
    assert difference(close, DENSE, "energy_j_per_token") is None


def test_a_paired_comparison_wins_over_overlapping_intervals() -> None:
    worse = of("wanda", perplexity=(21.0, 19.0, 23.0), loss_change=(0.05, 0.03, 0.07))
    found = difference(worse, DENSE, "perplexity")
    assert found is not None and found.better is False and found.change == "+1"


def test_a_time_is_compared_with_the_baseline_timed_in_turns_not_with_what_it_took_alone() -> None:
    busy = of("dense", disk_bytes=1000.0, decode_ms=(1000.0, 900.0, 1100.0))
    candidate = of("wanda", sparsity_pruned=50.0, disk_bytes=1000.0, decode_ms=(10.2, 9.8, 11.2))
    assert "102 % of the dense time (no difference beyond the error)" in verdict(candidate, busy)
    found = difference(candidate, busy, "decode_ms")
    assert found is not None and found.better is None


def test_bars_carry_their_intervals_and_a_difference_inside_the_error_is_not_drawn() -> None:
    sure = Share("decode_ms", "Latency per token", 0.8, 0.78, 0.82, "8 ms", "10 ms", "measured", same=False)
    noise = Share("prefill_ms", "Prefill latency", 1.03, 0.97, 1.09, "103 ms", "100 ms", "measured", same=True)
    size = Share("disk_bytes", "Weights on disk", 0.9, None, None, "90 MB", "100 MB", "measured", same=False)
    bar = promised_vs_measured.bars([sure, noise, size], LIGHT, "#0072B2").data[0]
    assert list(bar.x) == pytest.approx([80.0, 100.0, 90.0]), "3 % more is within 97 to 109 %"
    assert list(bar.error_x.array) == pytest.approx([2.0, 9.0, 0.0])
    assert list(bar.error_x.arrayminus) == pytest.approx([2.0, 3.0, 0.0])
    assert promised_vs_measured.bars([size], LIGHT, "#0072B2").data[0].error_x.visible is False
