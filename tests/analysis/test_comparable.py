"""Studies stand on one chart only where the same model was judged and timed in the same way."""

from __future__ import annotations

from typing import Any

from core.analysis.comparable import why_apart
from core.recipe.results import Result
from core.registry.measurement import Measurement

AXES = ("disk_bytes", "perplexity")


def dense(key: str, value: float = 20.0, model: str = "sample:a", dtype: str = "bfloat16", **settings: Any) -> Result:
    quality = Measurement(
        metric="perplexity", value=value, unit="", dtype=dtype, settings={"corpus": "wiki", "window": 512, **settings}
    )
    size = Measurement(metric="disk_bytes", value=1e8, unit="B", dtype=dtype)
    time = Measurement(metric="decode_ms", value=30.0, unit="ms", dtype=dtype, settings={"prompt": 64, "batch": 1})
    return Result(
        key=key, label="Dense", model=model, method="dense", baseline=True, measurements=[quality, size, time]
    )


def test_the_same_baseline_or_one_measured_alike_is_comparable() -> None:
    assert why_apart(dense("a"), dense("a"), AXES) == []
    assert why_apart(dense("a"), dense("b", value=20.01, batch=8, min=3.0), AXES) == []


def test_what_differs_is_named() -> None:
    assert why_apart(dense("a"), dense("b", model="sample:b"), AXES) == ["its model is sample:b and not sample:a"]
    assert why_apart(dense("a"), dense("b", window=256), AXES) == [
        "the window in tokens of perplexity is 256 and not 512"
    ]
    assert "the dtype of perplexity is float32 and not bfloat16" in why_apart(
        dense("a"), dense("b", dtype="float32"), AXES
    )
    assert why_apart(dense("a"), dense("b", tokens=8192), AXES) == [
        "the number of tokens of perplexity was recorded in one of the two only"
    ]


def test_settings_of_a_metric_that_is_not_drawn_do_not_matter() -> None:
    other = dense("b")
    other.measurements[2].settings["batch"] = 8
    assert why_apart(dense("a"), other, AXES) == []
    assert why_apart(dense("a"), other, ("decode_ms", "perplexity")) == [
        "the batch of latency per token is 8 and not 1"
    ]


def test_other_files_behind_the_same_name_are_found_by_their_quality() -> None:
    (why,) = why_apart(dense("a"), dense("b", value=22.0), AXES)
    assert "22 and not 20" in why and "files behind the name differ" in why


def test_without_a_baseline_nothing_can_be_compared() -> None:
    assert why_apart(dense("a"), None, AXES) == ["no dense baseline is measured yet"]
    alone = dense("b").model_copy(update={"measurements": dense("b").measurements[1:]})
    assert why_apart(dense("a"), alone, AXES) == ["perplexity was measured in one of the two only"]
