"""The table of candidates holds what the results say, and nothing that was not measured."""

from __future__ import annotations

import math

import pytest

from core.analysis.candidates import frame
from core.metrics import Measurement
from core.results import Result


def result(key: str, method: str, baseline: bool, *measurements: Measurement) -> Result:
    return Result(
        key=key, label=key.upper(), model="sample:smollm2-135m", source="sample:smollm2-135m", method=method,
        baseline=baseline, baseline_key="dense", measurements=list(measurements),
    )  # fmt: skip


def disk(value: float, obtained: str = "measured") -> Measurement:
    return Measurement.model_validate({"metric": "disk_bytes", "value": value, "unit": "B", "obtained": obtained})


def test_one_row_a_candidate_with_intervals_and_ratios() -> None:
    loss = Measurement(metric="loss", value=3.0, unit="nats", low=2.9, high=3.1)
    table = frame(
        [
            result("dense", "dense", True, loss, disk(200)),
            result("half", "block_influence", False, disk(100, "estimated")),
        ]
    )
    assert table["key"].tolist() == ["dense", "half"]
    assert table["disk_bytes_relative"].tolist() == [1.0, 0.5]
    assert table["disk_bytes_obtained"].tolist() == ["measured", "estimated"]
    assert (table.loc[0, "loss_low"], table.loc[0, "loss"], table.loc[0, "loss_high"]) == (2.9, 3.0, 3.1)
    assert math.isnan(table.loc[1, "loss"]) and math.isnan(table.loc[1, "loss_relative"])
    assert table["structured"].tolist() == [False, True]


def test_without_its_baseline_a_candidate_has_no_ratio() -> None:
    table = frame([result("half", "wanda", False, disk(100))])
    assert math.isnan(table.loc[0, "disk_bytes_relative"])


@pytest.mark.parametrize("count", [0, 1])
def test_a_table_without_measurements_still_says_what_the_candidates_are(count: int) -> None:
    table = frame([result("half", "unheard_of", False)] * count)
    assert len(table) == count and "method_label" in table.columns
