"""Tokens of a text as HTML: each one a span that can be focused, marked by how far two models are apart there.

Every piece goes through `html.escape`, and what would not be seen or would turn text around is written out.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from core.analysis.texts_apart import parting
from core.registry.formatting import percent

LONGEST = 60
"""Characters of one token that are shown."""
_ACCENT = "213,94,0"
_LEGEND = (0.02, 0.2, 1.0, 3.0)  # nats


def visible(text: str, lines: bool = False) -> str:
    """Text in which every control, direction and unassigned character is written out, as in '[U+202E]'.

    Args:
        lines: True keeps line breaks and tabs as they are; otherwise they become an arrow each.
    """
    return "".join(_shown(c, lines) for c in text)


def _shown(character: str, lines: bool) -> str:
    if character in "\n\t":
        return character if lines else {"\n": "\u21b5", "\t": "\u21e5"}[character]
    return character if character.isprintable() else f"[U+{ord(character):04X}]"


def option(number: int, token: Mapping[str, Any]) -> str:
    """A token as one option of a list: its number among those compared, its text and divergence."""
    split = ", differs" if token["differs"] else ""
    return f"{number}. {quoted(str(token['text']))}: {token['kl']:.3f} nats{split}"


def strip(tokens: Sequence[Mapping[str, Any]], split: int | None, label: str) -> str:
    """The whole text as one block of HTML.

    Args:
        tokens: as `core.engine.live.forced.Compared` in JSON; those of a list of prompts come without alternatives.
        split: index of the first token where the models part, marked with words; None for none.
        label: what this is, for those who do not see it.
    """
    parts, number = [], 0
    for place, token in enumerate(tokens):
        number += token["kl"] is not None
        if place == split:
            parts.append(_FLAG)
        parts.append(_span(number, token))
        if "\n" in token["text"]:
            parts.append("<br>")
    return (
        f'<div role="group" aria-label="{html.escape(label)}" dir="ltr" style="line-height:2.1;'
        f'white-space:pre-wrap;overflow-wrap:anywhere;font-size:1rem">{"".join(parts)}</div>'
    )


def parted(text: str, beside: str, label: str) -> str:
    """A text as one block of HTML, marked from where it leaves another one.

    Args:
        label: as in `strip`.
    """
    at = parting(text, beside)
    same, rest = (html.escape(visible(part, lines=True)) for part in (text[:at], text[at:]))
    mark = f'<mark style="color:inherit;background-color:rgba({_ACCENT},0.2)">{rest}</mark>' if rest else ""
    return (
        f'<div role="group" aria-label="{html.escape(label)}" dir="ltr" style="white-space:pre-wrap;'
        f'overflow-wrap:anywhere;unicode-bidi:isolate">{same}{mark}</div>'
    )


def legend() -> str:
    """What background and underline mean, drawn with the same marks."""
    marks = "&ensp;".join(_marked(f"&nbsp;{kl:g}&nbsp;", kl, False) for kl in _LEGEND)
    twice = _marked("double", 0.2, True)
    return (
        '<div style="line-height:2.1;font-size:0.875rem">KL in nats: '
        f"{marks}&ensp; {twice} underline: the candidate would have written another token.</div>"
    )


_FLAG = (
    '<strong style="border:1px solid currentColor;border-radius:3px;padding:0 0.3em;margin:0 0.2em;'
    'font-size:0.8125rem;white-space:nowrap">First split &#9656;</strong>'
)


def _span(number: int, token: Mapping[str, Any]) -> str:
    text = html.escape(_piece(token["text"]))
    if token["kl"] is None:
        return f'<span style="opacity:0.75;unicode-bidi:isolate">{text}</span>'
    expected = (
        f" First model: {_alternatives(token['teacher'])}. This model: {_alternatives(token['student'])}."
        if "teacher" in token
        else ""
    )
    said = html.escape(
        f"Token {number}, KL {token['kl']:.3f} nats"
        + ("; this model would write another" if token["differs"] else "")
        + f".{expected}"
    )
    more = f' tabindex="0" role="note" aria-label="{text}. {said}" title="{said}"'
    return _marked(text, token["kl"], token["differs"], more)


def _marked(escaped: str, kl: float, differs: bool, attributes: str = "") -> str:
    """A span whose background and underline grow with `kl`; a double line where another token is likeliest."""
    strength = 1.0 - math.exp(-kl) if math.isfinite(kl) else 1.0
    line, width = ("double", 3 + round(2 * strength)) if differs else ("solid", round(4 * strength))
    return (
        f'<span{attributes} style="background-color:rgba({_ACCENT},{0.42 * strength:.2f});'
        f'border-bottom:{width}px {line} rgb({_ACCENT});margin-right:1px;unicode-bidi:isolate">{escaped}</span>'
    )


def _alternatives(pairs: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"{quoted(str(text))} {percent(share, 1)}" for text, share in pairs)


def quoted(text: str) -> str:
    """A token in quotation marks, so that a leading space is seen."""
    return f"\u201c{_piece(text)}\u201d"


def _piece(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "\u2026"
