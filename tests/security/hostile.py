"""What a hostile file may hold, as strategies of hypothesis: whole documents with a few places spoiled."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("RETORT_FUZZ_EXAMPLES", "100"))
"""Examples a test; `RETORT_FUZZ_EXAMPLES=20000` for a long run."""
SAME = "RETORT_FUZZ_EXAMPLES" not in os.environ
"""Whether every run takes the same examples: where all tests run, a change fails for what it changed; a long run
looks for what nobody has seen."""
SECONDS = 60
"""No reader may take longer over one file, even on a busy machine. (They take milliseconds.)"""

HARMLESS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize=SAME, suppress_health_check=HARMLESS)
fuzz_slowly = settings(fuzz, max_examples=max(1, EXAMPLES // 5))

RAW = (
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "1e308",
    "-1e999",
    "NaN",
    "Infinity",
    "1" + "0" * 30,
    "9" * 4_000,
    "9" * 5_000,
    str(1 << 62),
    str((1 << 63) - 1),
    str(1 << 64),
    "10000000000",
    '""',
    "[]",
    "{}",
    "[[]]",
    '[""]',
    "[null]",
    "[1, 2, 3]",
    '{"a": 1}',
    '{"a": 1, "a": 2}',
    "[" * 100_000,
    "[" * 900 + "]" * 900,
    '{"a":' * 990 + "1" + "}" * 990,
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"a\\u0000b"',
    '"\\u202e\\u2066x"',
    '"\\u001b[31mred"',
    '"a\\nb\\r\\tc"',
    '"../../x"',
    '"/etc/passwd"',
    '"' + "x" * 300 + '"',
    '"' + "x" * 20_000 + '"',
    '"' + "\u0301" * 50 + '"',
    '"\u7121\U0001f600"',
    '"layers.' + "9" * 5_000 + '.x"',
    '"model.safetensors"',
    '"=1+1"',
    '"<script>alert(1)</script>"',
)
"""JSON values as text: Python could not hold some of them, and would not write others."""

TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\u2028",
    "\u202e\u2066evil\u2069",
    "\u200b\u200d\ufeff\u061c",
    "\ud800",
    "x\udcffy",
    "\x1b[2J\x1b]0;title\x07",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "a;=1+1",
    "a\t=1+1",
    "x\r\n=1",
    "\uff1d1+1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]>",
    "</script>",
    "&lt;",
    "<!--",
    "'\"><svg/onload=1>",
    "javascript:alert(1)",
    "[x](http://evil.example)",
    "$\\frac{1}{2}$",
    ":material/delete:",
    "{{7*7}}",
    "%s%n",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x",
    "~root",
    "~nobody-of-that-name",
    "." * 300,
    "a/" * 3_000,
    "x" * 300,
    "x" * 5_000,
    "\U0001f600" * 90,
    "\u0301" * 100,
    "9" * 5_000,
    "NaN",
    "Infinity",
    "1e999",
    "null",
)
"""Names, titles and paths that somebody might choose to harm."""

names = (
    st.sampled_from(TEXTS) | st.text(max_size=40) | st.tuples(st.sampled_from(TEXTS), st.text(max_size=9)).map("".join)
)
_PLACE = re.compile(r'"@@(\d+)@@"')


@st.composite
def spoiled(draw: st.DrawFn, whole: Any, most: int = 3) -> str:
    """JSON text of `whole` with up to `most` places replaced, removed, doubled or renamed."""
    document = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, most))):
        document = _spoil(draw, document)
    text = json.dumps(document)
    text = _PLACE.sub(lambda found: RAW[int(found[1])], text)
    if draw(st.integers(0, 9)) == 0:  # the same key twice, which a dictionary cannot say
        key = draw(st.sampled_from(sorted(whole))) if isinstance(whole, dict) and whole else "a"
        text = text.replace("{", f"{{{json.dumps(key)}: {draw(st.sampled_from(RAW))}, ", 1)
    return text


def _spoil(draw: st.DrawFn, document: Any) -> Any:
    place = f"@@{draw(st.integers(0, len(RAW) - 1))}@@"
    path = draw(st.sampled_from(list(_paths(document))))
    if not path:
        return place if draw(st.integers(0, 9)) == 0 else document
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "wrap"]))
    if what == "remove":
        del holder[path[-1]]
    elif what == "wrap":
        holder[path[-1]] = [holder[path[-1]]]
    elif what == "rename" and isinstance(holder, dict):
        holder[draw(names.filter(lambda n: not any("\ud800" <= c <= "\udfff" for c in n)))] = holder.pop(path[-1])
    else:
        holder[path[-1]] = place
    return document


def _paths(document: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield so_far
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from _paths(value, (*so_far, key))


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, most: int = 4) -> bytes:
    """`whole` with bytes changed, cut out, put in or repeated."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, most))):
        at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
        fresh = draw(
            st.binary(max_size=12) | st.sampled_from([b"\x00", b"\xff\xff\xff\xff", b'"', b"\n", b"{", b"[" * 3_000])
        )
        content[at : at + draw(st.sampled_from([0, 1, len(fresh), length]))] = fresh
    return bytes(content[: draw(st.sampled_from([len(content), len(content), draw(st.integers(0, len(content)))]))])


@contextmanager
def in_time(seconds: int = SECONDS) -> Iterator[None]:
    """Fails where what is inside hangs (a pipe nobody writes to) or takes far longer than it may."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def said_plainly(*sentences: str) -> None:
    """A cause and a remedy, as a page, a terminal and a database can take them."""
    for sentence in sentences:
        assert sentence and len(sentence) < 60_000 and "\n" not in sentence, sentence[:200]
        sentence.encode("utf-8")
