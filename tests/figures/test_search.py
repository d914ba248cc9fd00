"""The curve of a search: steps that fall, a line for each search, and the same in words."""

from __future__ import annotations

from core.figures.search import alt, searches
from core.figures.theme import DARK, LIGHT

FOUND = {"A fifth": [(24.0, 0.5), (40.0, 0.25)], "A <b>third</b>": [(24.0, 0.75), (36.0, 0.625)]}


def test_each_search_is_a_line_of_steps_told_apart_by_dash_and_marker() -> None:
    for ground in (LIGHT, DARK):
        drawn = searches(FOUND, ground)
        assert [(list(t.x), list(t.y)) for t in drawn.data] == [([24, 40], [0.5, 0.25]), ([24, 36], [0.75, 0.625])]
        assert all(t.line.shape == "hv" for t in drawn.data) and drawn.layout.showlegend
        assert len({t.line.dash for t in drawn.data}) == len({t.marker.symbol for t in drawn.data}) == 2
        assert drawn.data[1].name == "A &lt;b&gt;third&lt;/b&gt;"


def test_it_is_said_in_words() -> None:
    assert "A fifth: KL from the dense model from 0.5 to 0.25 nats after 40 judged" in alt(FOUND)
    assert alt({}) == "The search has found nothing yet."
