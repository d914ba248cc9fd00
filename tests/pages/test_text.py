"""Words of the pages: hostile text stays text, numbers keep their unit."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from pages.frame.text import about, duration, flat, md, plural, when, zone


@pytest.mark.parametrize(
    "text", ["**b**", "![x](http://e.invalid)", "<b>", ":red[x]", "$x$", "`c`", "# h", "a|b", "~s~"]
)
def test_markdown_is_escaped_mark_by_mark(text: str) -> None:
    escaped = md(text)
    kept = escaped.replace("\u2060", "")
    assert kept.replace("\\", "") == text
    for i, c in enumerate(kept):
        assert c.isalnum() or c in "\\ " or kept[i - 1] == "\\", f"{c} is not escaped in {kept}"


@pytest.mark.parametrize("text", ["https://e.invalid", "www.e.invalid", "me@e.invalid"])
def test_addresses_are_broken(text: str) -> None:
    assert "\u2060" in md(text)


def test_direction_marks_newlines_and_length() -> None:
    assert md("a\u202eb\nc\x07") == "ab c"
    assert flat("x\u2066y\n\n z", 3) == "xy\u2026"
    assert len(flat("x" * 1000)) == 160


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\u2013"),
        (0.2, "0 s"),
        (59.7, "1 min 00 s"),
        (130, "2 min 10 s"),
        (3599, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_estimates_do_not_pretend() -> None:
    assert (about(1), about(42), about(200), about(9000)) == ("about 5 s", "about 40 s", "about 3 min", "about 2.5 h")


def test_counts_and_times() -> None:
    assert (plural(1, "trial"), plural(1200, "trial")) == ("1 trial", "1,200 trials")
    noon = 1_764_072_000.0  # 25 November 2025, 12:00 UTC
    assert when(noon, zone("Europe/Berlin"), noon + 60) == "today 13:00"
    assert when(noon, zone("no/where"), noon + 86_400) == "25 Nov 12:00"
    assert when(noon, ZoneInfo("UTC"), noon + 400 * 86_400) == "25 Nov 2025"
    assert when(None, ZoneInfo("UTC")) == "\u2013"
