"""Confusion matrices, pairs and changes against counting one by one; what runs stored is used only where it fits."""

from __future__ import annotations

from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.confusion import change, counts, judged, mistaken, row_shares, stored
from core.recipe.results import Result
from core.registry.measurement import Measurement

CLASSES = 4
Triples = list[tuple[int, int, int]]
triples = st.lists(st.tuples(*[st.integers(0, CLASSES - 1)] * 3), min_size=1, max_size=40)


def result(gold: list[int], given: list[int], labels: list[str], *, answers: bool = True, data: str = "a") -> Result:
    right = [float(a == b) for a, b in zip(gold, given, strict=True)]
    told: dict[str, Any] = {"confusion": [[0] * len(labels) for _ in labels], "labels": labels, "corpus": data}
    for a, b in zip(gold, given, strict=True):
        told["confusion"][a][b] += 1
    told |= {"answers": given} if answers else {}
    measured = [
        Measurement(
            metric="accuracy", value=sum(right) / len(right), unit="", samples=right, settings={"corpus": data}
        ),
        Measurement(metric="f1", value=0.5, unit="", settings=told),
    ]
    return Result(key="k", label="l", model="m", method="finetune", measurements=measured)


@given(triples)
def test_counts_shares_and_mistakes_are_those_of_counting_one_by_one(items: Triples) -> None:
    gold, predicted = [g for g, _, _ in items], [p for _, p, _ in items]
    matrix, shares = counts(gold, predicted, CLASSES), row_shares(counts(gold, predicted, CLASSES))
    for i in range(CLASSES):
        for j in range(CLASSES):
            expected = sum(g == i and p == j for g, p, _ in items)
            assert matrix[i][j] == expected
            share = shares[i][j]
            assert share == (pytest.approx(expected / gold.count(i)) if i in gold else None)
    wrong = mistaken(matrix)
    assert sum(n for n, _, _ in wrong) == sum(g != p for g, p, _ in items)
    assert wrong == sorted(wrong, key=lambda w: -w[0]) and all(i != j for _, i, j in wrong)


@given(triples)
def test_every_change_is_one_of_four_and_fixed_and_broken_are_the_pairs_of_mcnemar(items: Triples) -> None:
    gold, first, other = (list(x) for x in zip(*items, strict=True))
    changes = [change(*item) for item in items]
    labels = [str(i) for i in range(CLASSES)]
    together = stored([result(gold, first, labels), result(gold, other, labels)])
    assert together is not None and together.items == len(items)
    paired = together.paired(1)
    assert paired.fixed == changes.count("fixed") == sum(f != g == o for g, f, o in items)
    assert paired.broken == changes.count("broken") == sum(f == g != o for g, f, o in items)
    assert changes.count("same") == sum(f == o for _, f, o in items)
    n, k = paired.fixed + paired.broken, min(paired.fixed, paired.broken)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert paired.p == pytest.approx(min(1.0, 2 * tail) if n else 1.0)
    assert together.models[1] == judged(gold, other, CLASSES)
    assert f"{paired.fixed} fixed, {paired.broken} broken" in paired.sentence()


@given(triples, st.permutations(range(CLASSES)))
def test_classes_in_another_order_are_put_in_the_first_models_order(items: Triples, order: list[int]) -> None:
    gold, first, other = (list(x) for x in zip(*items, strict=True))
    labels = [f"class {i}" for i in range(CLASSES)]
    place = [order.index(i) for i in range(CLASSES)]  # where the second model has each class
    elsewhere = result([place[g] for g in gold], [place[o] for o in other], [labels[i] for i in order])
    assert stored([result(gold, first, labels), elsewhere]) == stored(
        [result(gold, first, labels), result(gold, other, labels)]
    )


def test_what_was_measured_on_other_texts_or_classes_is_not_put_together() -> None:
    one = result([0, 1, 1], [0, 1, 0], ["x", "y"])
    assert stored([one, one]) is not None
    assert stored([one, None]) is None and stored([]) is None
    assert stored([one, result([0, 1, 1], [0, 1, 0], ["x", "y"], data="b")]) is None
    assert stored([one, result([0, 1], [0, 1], ["x", "y"])]) is None
    assert stored([one, result([0, 1, 1], [0, 1, 0], ["x", "z"])]) is None
    damaged = one.model_copy(deep=True)
    damaged.measurements[1].settings["confusion"] = [[3, 0], [0, 0]]
    assert stored([damaged]) is None, "its diagonal is not the number of right answers"


def test_without_kept_answers_right_and_wrong_still_pair() -> None:
    found = stored([result([0, 1], [0, 0], ["x", "y"], answers=False), result([0, 1], [0, 1], ["x", "y"])])
    assert found is not None and found.models[0].answers == () and found.models[1].answers == (0, 1)
    assert found.paired(1).fixed == 1
