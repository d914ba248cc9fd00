"""The table of candidates holds what was measured, and nothing that was not."""

from __future__ import annotations

import math

import pytest

from core.analysis.candidates import Brief, briefs, frame
from core.registry.measurement import Measurement


def disk(value: float) -> Measurement:
    return Measurement(metric="disk_bytes", value=value, unit="B")


CANDIDATES = [Brief("dense", "Dense", "dense", ()), Brief("half", "Half", "block_influence", ())]
FIGURES = {
    "disk_bytes": {"dense": disk(200e6), "half": disk(100e6), "other": disk(1.0)},
    "loss": {"dense": Measurement(metric="loss", value=3.0, unit="nats")},
}


def test_one_row_a_candidate_in_the_given_order() -> None:
    table = frame(CANDIDATES, FIGURES)
    assert table["key"].tolist() == ["dense", "half"] and table["label"].tolist() == ["Dense", "Half"]
    assert table["disk_bytes"].tolist() == [200e6, 100e6]
    assert table.loc[0, "loss"] == 3.0 and math.isnan(table.loc[1, "loss"])


def test_briefs_have_the_figures_that_were_measured() -> None:
    dense, half = briefs(CANDIDATES, FIGURES)
    assert [m.metric for m in dense.measurements] == ["disk_bytes", "loss"]
    assert [m.value for m in half.measurements] == [100e6]


@pytest.mark.parametrize("count", [0, 1])
def test_without_figures_a_table_still_says_which_candidates_there_are(count: int) -> None:
    table = frame(CANDIDATES[:count], {"loss": {}})
    assert len(table) == count and list(table.columns) == ["key", "label", "loss"]
