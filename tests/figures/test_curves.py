"""Training curves: every series is there, told apart by more than colour, and says itself in words."""

from __future__ import annotations

from core.figures.curves import Level, alt, curves, term_label
from core.figures.theme import DARK, LIGHT
from core.registry.losses import LOSSES
from core.store.rows import SeriesPoint


def points(*values: float) -> list[SeriesPoint]:
    return [SeriesPoint(step=i, value=v, low=v, high=v) for i, v in enumerate(values)]


SERIES = {"loss/soft_labels": points(3, 2, 1), "loss/soft_labels 2": points(5, 4, 3), "loss/total": points(8, 6, 4)}


def test_each_series_is_a_line_of_its_own_dash_and_marker() -> None:
    for ground in (LIGHT, DARK):
        drawn = curves(SERIES, ground).data
        assert [list(t.y) for t in drawn] == [[3, 2, 1], [5, 4, 3], [8, 6, 4]]
        assert len({t.line.dash for t in drawn}) == len({t.marker.symbol for t in drawn}) == 3


def test_names_are_what_the_registry_calls_the_losses() -> None:
    assert term_label("loss/soft_labels") == LOSSES["soft_labels"].label
    assert term_label("held_out/soft_labels 2") == f"{LOSSES['soft_labels'].label} 2"
    assert term_label("loss/total") == "Weighted sum"
    assert term_label("loss/from_a_newer_version") == "from_a_newer_version"


def test_markup_in_a_name_is_shown_as_text() -> None:
    drawn = curves({"loss/<b>x</b>": points(1, 2), "loss/total": points(1, 2)}, LIGHT)
    assert drawn.data[0].name == "&lt;b&gt;x&lt;/b&gt;"


def test_shares_are_percentages_of_a_whole() -> None:
    axis = curves({"gradient_share/soft_labels": points(0.25, 0.75)}, LIGHT, share=True).layout.yaxis
    assert axis.tickformat == ".0%" and tuple(axis.range) == (0, 1.05)


def test_a_level_is_a_line_across_in_the_colour_of_its_series() -> None:
    drawn = curves(SERIES, LIGHT, levels=[Level("loss/total", "Teacher", 2.5)]).data
    line = drawn[-1]
    assert list(line.x) == [0, 2] and list(line.y) == [2.5, 2.5] and list(line.text) == ["", "Teacher"]
    assert line.line.color == drawn[2].line.color and not line.showlegend
    said = alt({"loss/total": points(8, 4)}, "Loss", [Level("loss/total", "Teacher", 2.5)])
    assert said == "Loss by step: Weighted sum from 8 to 4; Teacher, Weighted sum: 2.5."


def test_the_sentence_gives_first_and_last_value() -> None:
    said = alt({"loss/total": points(8, 6, 4)}, "Loss of each step")
    assert said == "Loss of each step by step: Weighted sum from 8 to 4."
    assert alt({}, "Loss") == "Loss by step: no point yet."
