"""Two runs side by side, against what is written out by hand and a brute-force comparison of leaves."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.analysis.run_differences import ABSENT, RunChange, changes, figures, versions
from core.recipe.results import Result
from core.registry.measurement import Measurement

_DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 2),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=2)
            | st.dictionaries(st.sampled_from("xy"), inner, min_size=1, max_size=2)
        ),
        max_leaves=4,
    ),
)


def _walk(document: Any, path: str) -> Any:
    """The value at a path, read step by step; ABSENT where there is none."""
    for step in path.replace("[", ".").replace("]", "").split("."):
        try:
            document = document[int(step)] if isinstance(document, list) else document[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return ABSENT
    return ABSENT if isinstance(document, list | dict) else str(document)


@given(_DOCUMENTS, _DOCUMENTS)
def test_changes_name_what_differs_and_nothing_else(left: dict[str, Any], right: dict[str, Any]) -> None:
    found = changes(left, right)
    assert (found == []) == (left == right)
    for c in found:
        assert (_walk(left, c.path), _walk(right, c.path)) == (c.left, c.right) and c.left != c.right


def test_a_path_leads_into_lists() -> None:
    left = {"sweep": {"grid": [{"method": ["wanda", "magnitude"]}]}, "seed": 0, "steps": []}
    right = {"sweep": {"grid": [{"method": ["wanda"]}]}, "seed": 1, "steps": []}
    assert changes(left, right) == [
        RunChange("sweep.grid[0].method[1]", '"magnitude"', ABSENT),
        RunChange("seed", "0", "1"),
    ]


def _result(key: str, losses: list[float], evaluation: str = "a", **more: Any) -> Result:
    mean = sum(losses) / len(losses)
    loss = Measurement(metric="loss", value=mean, unit="nats", device="cpu", dtype="float32", samples=losses)
    return Result(
        key=key,
        label="Wanda 50 %",
        model="path:/m",
        method="wanda",
        prune={"sparsity": 0.5},
        measurements=[loss],
        recipe={"evaluation": {"data": evaluation}},
        versions={"torch": "2.13"},
        **more,
    )


def test_figures_are_compared_in_pairs_where_the_windows_are_the_same() -> None:
    windows = [3.0 + 0.5 * (i % 7) for i in range(40)]
    worse = [w + 0.01 + 0.001 * (i % 3) for i, w in enumerate(windows)]
    noisy = [w + (0.3 if i % 2 else -0.3) for i, w in enumerate(windows)]
    left = [_result("k1", windows)]
    assert figures(left, [_result("k2", worse)])[0].verdict.startswith("higher in the second")
    assert figures([_result("k2", worse)], left)[0].verdict.startswith("lower in the second")
    assert figures(left, [_result("k3", noisy)])[0].verdict == "no difference beyond the error"
    assert figures(left, left)[0].verdict == "the same candidate"
    assert figures(left, [_result("k2", worse, evaluation="b")])[0].verdict == "", "other texts cannot be paired"
    assert figures(left, [_result("k2", worse[:-1])])[0].verdict == "", "other windows cannot be paired"
    other = _result("k4", worse).model_copy(update={"prune": {"sparsity": 0.6}})
    assert figures(left, [other]) == []


def _timed(key: str, value: float, dense: float, half: float) -> Result:
    ratio = value / dense
    turns = {"baseline_value": dense, "ratio": ratio, "ratio_low": ratio - half, "ratio_high": ratio + half}
    time = Measurement(metric="decode_ms", value=value, unit="ms", settings=turns)
    return _result(key, [1.0]).model_copy(update={"measurements": [time]})


def test_times_of_two_runs_are_compared_by_their_ratios_to_the_dense_model_of_each() -> None:
    quiet, busy = _timed("a", 40.0, 50.0, 0.02), _timed("b", 98.4, 120.0, 0.02)  # 0.80 and 0.82
    (found,) = figures([quiet], [busy])
    assert (found.metric, found.verdict) == ("decode_ms_ratio", "no difference beyond the error")
    assert found.shown == ("80.0 % (78.0 to 82.0 %)", "82.0 % (80.0 to 84.0 %)")
    (apart,) = figures([quiet], [_timed("c", 96.0, 100.0, 0.02)])
    assert apart.verdict == "higher in the second" and apart.right == 0.96
    assert figures([_timed("c", 96.0, 100.0, 0.02)], [quiet])[0].verdict == "lower in the second"
    alone = quiet.model_copy(update={"measurements": [Measurement(metric="decode_ms", value=9.0, unit="ms")]})
    assert figures([quiet], [alone]) == [], "what was not timed in turns is not compared"


def test_versions_and_formats_that_differ_are_named() -> None:
    left, right = _result("a", [1.0]), _result("b", [1.0]).model_copy(update={"versions": {"torch": "2.9"}})
    assert versions([left], [right]) == [RunChange("torch", '"2.13"', '"2.9"')]
    assert versions([left], [left]) == []
