"""The family as a figure: everybody has a row, lines run between the right rows, nothing is markup."""

from __future__ import annotations

from core.analysis.lineage import Lineage, LineageMember, Tie
from core.figures.lineage import MOST, alt, drawn, lineage
from core.figures.theme import DARK, LIGHT

FAMILY = Lineage(
    (
        LineageMember("sample:big", None, -2),
        LineageMember("a", "a", -1),
        LineageMember("b", "b", 0),
        LineageMember("c", "c", 1),
    ),
    (
        Tie("sample:big", "a", "model"),
        Tie("a", "b", "model"),
        Tie("sample:big", "b", "teacher"),
        Tie("b", "c", "model"),
    ),
)
NAMES = {"a": "Pruned", "b": "<img src=x>", "c": "Tuned"}


def test_rows_lines_and_names() -> None:
    for ground in (LIGHT, DARK):
        fig = lineage(FAMILY, "b", NAMES, ground)
        lines = {t.name: (list(t.x), list(t.y)) for t in fig.data if t.mode == "lines"}
        assert lines["Model"] == ([-2, -1, None, -1, 0, None, 0, 1, None], [0, 1, None, 1, 2, None, 2, 3, None])
        assert lines["Teacher"] == ([-2, -1.3, 0, None], [0, 1.3, 2, None]), "beside the lines of models, not on them"
        assert [t.line.dash for t in fig.data if t.mode == "lines"] == ["solid", "dash"]
        marks = {t.name: list(t.y) for t in fig.data if t.mode == "markers"}
        assert marks == {"This run": [2], "Run": [1, 3], "Model from elsewhere": [0]}
        texts = [a.text for a in fig.layout.annotations]
        assert texts == ["sample:big", "Pruned", "<b>&lt;img src=x&gt;</b>", "Tuned"]


def test_words_say_the_same() -> None:
    assert alt(FAMILY, "b", NAMES) == (
        "Family of <img src=x>: 4 runs and models. Built on Pruned as model, sample:big as teacher. "
        "Used by Tuned as model."
    )


def test_a_large_family_shows_the_nearest() -> None:
    many = Lineage(tuple(LineageMember(str(i), str(i), i) for i in range(MOST + 9)), ())
    assert [m.level for m in drawn(many)] == list(range(MOST))
