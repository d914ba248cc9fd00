"""Numbers as a person reads them: one way for pages, charts, reports and the command line."""

from __future__ import annotations

import math

import pytest

from core.registry.formatting import in_full, interval, show, shown
from core.registry.measurement import Measurement


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("disk_bytes", 269_030_016, "269.0 MB"),
        ("memory_bytes", 2_515_000_000, "2.5 GB"),
        ("disk_bytes", 999_960, "1.0 MB"),
        ("disk_bytes", 999_940, "999.9 kB"),
        ("kv_bytes_per_token", 960, "960 B"),
        ("disk_bytes", 2.5e15, "2,500 TB"),
        ("parameters", 134_515_008, "134.5 M"),
        ("parameters", 999_960_000, "1.0 B"),
        ("nonzero_parameters", 512, "512"),
        ("sparsity_pruned", 37.5, "37.5 %"),
        ("perplexity", 28.6249, "28.62"),
        ("perplexity", 12_345.6, "12,350"),
        ("perplexity", 999.97, "1,000"),
        ("perplexity", math.inf, "infinite"),
        ("perplexity", math.nan, "\u2013"),
        ("perplexity", None, "\u2013"),
        ("loss_change", -0.01234, "\u22120.0123 nats"),
        ("decode_ms", 33.84, "33.8 ms"),
        ("accuracy:piqa", 0.6125, "0.613"),
        ("reload_difference", 0.000021, "2.1e-05"),
        ("energy_kwh_per_mtok", 1.016, "1.02 kWh"),
    ],
)
def test_a_number_stands_with_its_unit_and_digits(metric: str, value: float | None, said: str) -> None:
    assert show(metric, value) == said


def test_money_stands_in_the_currency_it_was_given_in() -> None:
    cost = Measurement(metric="cost_per_mtok", value=32.714, unit="EUR", low=31.0, high=34.25, obtained="estimated")
    assert shown(cost) == "32.7 EUR" and in_full(cost) == "32.7 EUR (31 to 34.2 EUR), estimated"


@pytest.mark.parametrize(
    ("low", "high", "said"), [(28.0, 30.5, "28 to 30.5"), (None, 30.5, ""), (28.0, None, ""), (29.0, 29.0, "")]
)
def test_an_interval_stands_where_an_error_is_known(low: float | None, high: float | None, said: str) -> None:
    m = Measurement(metric="perplexity", value=29.0, unit="", low=low, high=high)
    assert interval(m) == said and in_full(m) == (f"29 ({said})" if said else "29")
