"""The confusion matrix as a figure: one scale for all, text in cells, hostile class names as text."""

from __future__ import annotations

from core.figures.confusion import alt, confusion, percent
from core.figures.theme import DARK, LIGHT

HOSTILE = "<a href='http://evil.invalid'>x</a>\u202e"


def test_cells_bear_counts_and_row_shares_and_every_chart_has_the_same_scale() -> None:
    for matrix in (((3, 1), (0, 0)), ((40, 0), (5, 5))):
        heat = confusion(matrix, ("one", "two"), LIGHT).data[0]
        assert (heat.zmin, heat.zmax) == (0.0, 1.0)
    assert heat.text[0][0] == "40<br>100 %" and heat.text[0][1] == "" and heat.text[1][0] == "5<br>50 %"
    assert confusion(((3, 1), (0, 0)), ("one", "two"), DARK).data[0].z[1] == [None, None]


def test_many_classes_have_counts_only_and_very_many_nothing() -> None:
    for classes, text in ((20, "1"), (60, "")):
        matrix = tuple(tuple(int(i == j) for j in range(classes)) for i in range(classes))
        assert confusion(matrix, [str(i) for i in range(classes)], LIGHT).data[0].text[3][3] == text


def test_hostile_class_names_are_text() -> None:
    made = confusion(((1, 1), (0, 1)), (HOSTILE, "fine"), LIGHT)
    said = alt(HOSTILE, ((1, 1), (0, 1)), (HOSTILE, "fine"))
    assert "<a" not in made.to_json().replace("\\u003c", "<") and "<a" not in said
    assert "\u202e" not in str(made.to_dict()) + said


def test_the_matrix_in_words() -> None:
    assert alt("B", ((9, 1), (2, 8)), ("yes", "no")) == (
        "Confusion matrix of B: 17 of 20 texts in their true class. Most often confused: 2 no called yes, "
        "1 yes called no."
    )


def test_shares_have_no_more_digits_than_they_need() -> None:
    assert [percent(s) for s in (0.0, 0.004, 0.0951, 0.976, 1.0)] == ["0 %", "0.4 %", "10 %", "98 %", "100 %"]
