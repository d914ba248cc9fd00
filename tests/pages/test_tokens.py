"""The strip of tokens as HTML: hostile text stays text, nothing invisible stays invisible, marks follow the figures."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from pages.frame import tokens

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](http://evil.invalid)",
    '"><b onclick="x">',
    "javascript:alert(1)",
    "\u202eabc\u202c",
    "\u05d0\u05d1\u05d2",
    "\x00\x1b[31m\x7f",
    "&lt;i&gt;",
    "'",
    "\u200b\ufeff",
)


class Reads(HTMLParser):
    """What a browser makes of it: elements with attributes, and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def token(text: str, kl: float | None = 0.5, differs: bool = False) -> dict[str, Any]:
    pairs = [[text, 0.75], ["other", 0.25]] if kl is not None else []
    return {"text": text, "kl": kl, "differs": differs, "teacher": pairs, "student": pairs}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    found = Reads(tokens.strip([token(text, None), token(text), token(text, 2.0, True)], 2, text))
    assert {tag for tag, _ in found.elements} <= {"div", "span", "strong", "br"} and not found.open
    allowed = {"role", "aria-label", "dir", "style", "tabindex", "title"}
    assert all(set(attributes) <= allowed for _, attributes in found.elements)
    assert found.text.count(tokens.visible(text)) == 3
    for _, attributes in found.elements:
        assert "evil" not in (attributes.get("style") or "") and "alert" not in (attributes.get("style") or "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202e", "[U+202E]"),
        ("\u200b", "[U+200B]"),
        ("\x00", "[U+0000]"),
        ("\n", "\u21b5"),
        ("\t", "\u21e5"),
        ("\u2066", "[U+2066]"),
        ("\U000e0041", "[U+E0041]"),
        (" caf\u00e9 \u05d0", " caf\u00e9 \u05d0"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, shown: str) -> None:
    assert tokens.visible(text) == shown


def test_lines_can_stay_lines() -> None:
    assert tokens.visible("a\nb\tc\r\u202e", lines=True) == "a\nb\tc[U+000D][U+202E]"


def test_marks_grow_with_divergence_and_the_split_is_named() -> None:
    rows = [token("given", None), token("same", 0.0), token("near", 0.3), token("far", 4.0, True), token("more", 9.0)]
    found = Reads(tokens.strip(rows, 3, "The text"))
    spans = [a for tag, a in found.elements if tag == "span"]
    assert "tabindex" not in spans[0] and all(a["tabindex"] == "0" for a in spans[1:])
    alphas = [float((a["style"] or "").split("rgba(")[1].split(")")[0].split(",")[-1]) for a in spans[1:]]
    widths = [int((a["style"] or "").split("border-bottom:")[1].split("px")[0]) for a in spans[1:]]
    assert alphas == sorted(alphas) and alphas[0] == 0 and alphas[1] > 0
    assert widths[0] == 0 and widths[1] == 1 and widths[2] == 5 and "double" in (spans[3]["style"] or "")
    assert "First split" in found.text and found.text.index("First split") < found.text.index("far")
    assert "KL 4.000 nats; this model would write another" in (spans[3]["title"] or "")
    assert "\u201cfar\u201d 75.0 %" in (spans[3]["aria-label"] or "")


def test_an_infinite_divergence_and_a_huge_token_are_bounded() -> None:
    source = tokens.strip([token("x" * 100_000, float("inf"))], None, "y")
    assert len(source) < 3_000 and "rgba(213,94,0,0.42)" in source
