"""Which candidate of a run its line in the list of runs names."""

from __future__ import annotations

from core.analysis.outcome import best, best_of_runs
from core.store.rows import Judgement


def judged(key: str, change: float | None, size: float | None, run: str = "r", base: bool = False) -> Judgement:
    return Judgement(run, key, key, base, 4.0 + (change or 0.0), change, size)


DENSE = judged("dense", 0.0, 100.0, base=True)  # 5 % of its loss are 0.2 nats


def test_the_smallest_within_five_percent_of_the_loss_is_the_best() -> None:
    found = [DENSE, judged("a", 0.01, 100.0), judged("b", 0.19, 80.0), judged("c", 0.21, 60.0)]
    assert best(found) == found[2]


def test_of_equal_files_the_one_that_lost_less() -> None:
    found = [DENSE, judged("a", 0.1, 100.0), judged("b", 0.02, 100.0)]
    assert best(found) == found[2]


def test_where_none_is_within_the_one_that_lost_least() -> None:
    found = [DENSE, judged("a", 3.0, 50.0), judged("b", 0.9, 90.0), judged("nan", float("nan"), 10.0)]
    assert best(found) == found[2]


def test_nothing_where_nothing_was_judged_and_each_run_by_itself() -> None:
    assert best([DENSE]) is None and best([DENSE, judged("a", None, 5.0)]) is None and best([]) is None
    other = judged("z", 0.0, 1.0, run="s")
    assert best_of_runs([DENSE, judged("a", 0.1, 90.0), other]) == {"r": judged("a", 0.1, 90.0), "s": other}
