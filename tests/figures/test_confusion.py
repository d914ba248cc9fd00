"""The confusion matrix as a figure: one scale for all, text in cells, hostile class names as text."""

from __future__ import annotations

import pytest
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

from core.figures.confusion import alt, confusion, ink_on, percent
from core.figures.theme import DARK, LIGHT, SHADES, Theme

HOSTILE = "<a href='http://evil.invalid'>x</a>\u202e"


def test_cells_bear_counts_and_row_shares_and_every_chart_has_the_same_scale() -> None:
    for matrix in (((3, 1), (0, 0)), ((40, 0), (5, 5))):
        heat, words = confusion(matrix, ("one", "two"), LIGHT).data
        assert (heat.zmin, heat.zmax) == (0.0, 1.0)
    told = dict(zip(zip(words.y, words.x, strict=True), words.text, strict=True))
    assert told == {(0, 0): "40<br>100 %", (1, 0): "5<br>50 %", (1, 1): "5<br>50 %"}, "empty cells stay empty"
    assert confusion(((3, 1), (0, 0)), ("one", "two"), DARK).data[0].z[1] == [None, None]


def test_many_classes_have_counts_only_and_very_many_nothing() -> None:
    for classes, text in ((20, "1"), (60, "")):
        matrix = tuple(tuple(int(i == j) for j in range(classes)) for i in range(classes))
        assert set(confusion(matrix, [str(i) for i in range(classes)], LIGHT).data[1].text) == {text}


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_numbers_are_read_on_every_shade(ground: Theme) -> None:
    def channel(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    def luminance(color: str) -> float:
        red, green, blue = (channel(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for share in (i / 200 for i in range(1, 201)):
        scale = [[at, f"rgb{hex_to_rgb(shade)}"] for at, shade in SHADES[ground.name]]
        parts = unlabel_rgb(sample_colorscale(scale, [share])[0])
        behind = luminance("#" + "".join(f"{round(part):02x}" for part in parts))
        ink = luminance(ink_on(share, ground))
        assert (max(ink, behind) + 0.05) / (min(ink, behind) + 0.05) >= 4.5, share


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
