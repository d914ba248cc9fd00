"""A picture as SVG that stands in a page: no script, no style of its own, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from core.base.text import one_line, whole
from core.figures.theme import LIGHT
from core.report.picture import Area, Line, Mark, Picture, Place, Word

_VARIABLES = {LIGHT.ink: "--ink", LIGHT.muted: "--muted", LIGHT.grid: "--line", LIGHT.ground: "--ground"}
_LONGEST = 2000


def to_svg(picture: Picture, name: str, *, variables: bool = False, keys: bool = True, css: str = "") -> str:
    """The picture; `variables`: ink, muted, grid and ground are those of the page, so that it follows its theme.

    Args:
        name: an id that is unique in the page.
        keys: whether points carry the key of their candidate.
        css: a class of the page.
    """
    about = f'<title id="{name}-t">{_text(picture.title)}</title><desc id="{name}-d">{_text(picture.told)}</desc>'
    parts = "".join(_parts(picture.parts, variables, keys))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class={quoteattr(css)} viewBox="0 0 {_n(picture.width)} '
        f'{_n(picture.height)}" role="img" aria-labelledby="{name}-t {name}-d" '
        f'font-family="Source Sans, Source Sans Pro, system-ui, sans-serif">{about}{parts}</svg>'
    )


def _parts(parts: Iterable[Line | Area | Word | Mark], variables: bool, keys: bool) -> Iterable[str]:
    for part in parts:
        if isinstance(part, Mark):
            data = "".join(f" data-{k}={quoteattr(_plain(v))}" for k, v in part.data if keys or k != "key")
            said = "\n".join(_text(line) for line in part.said.split("\n"))
            yield f'<g class="mark"{data}><title>{said}</title>{"".join(_parts(part.parts, variables, keys))}</g>'
        elif isinstance(part, Line):
            dash = f' stroke-dasharray="{" ".join(map(_n, part.dash))}"' if part.dash else ""
            stroke = _paint(part.color, variables)
            yield (
                f'<polyline points="{_places(part.places)}" fill="none" stroke="{stroke}" '
                f'stroke-width="{_n(part.width)}"{dash}{_opacity(part.opacity)}/>'
            )
        elif isinstance(part, Area):
            edge = f' stroke="{_paint(part.edge, variables)}" stroke-width="{_n(part.width)}"' if part.edge else ""
            fill = _paint(part.fill, variables) if part.fill else "none"
            yield f'<polygon points="{_places(part.places)}" fill="{fill}"{edge}{_opacity(part.opacity)}/>'
        else:
            yield _word(part, variables)


def _word(word: Word, variables: bool) -> str:
    turned = f' transform="rotate(-90 {_n(word.x)} {_n(word.y)})"' if word.upright else ""
    bold = ' font-weight="700"' if word.bold else ""
    part = f' class="{word.part}"' if word.part else ""
    return (
        f'<text x="{_n(word.x)}" y="{_n(word.y)}" fill="{_paint(word.color, variables)}" font-size="{_n(word.size)}" '
        f'text-anchor="{word.anchor}"{bold}{turned}{part}>{_text(word.text)}</text>'
    )


def _paint(color: str, variables: bool) -> str:
    name = _VARIABLES.get(color.upper()) if variables else None
    return f"var({name})" if name else escape(color)


def _opacity(value: float) -> str:
    return "" if value == 1.0 else f' opacity="{_n(value)}"'


def _places(places: Sequence[Place]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in places)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _plain(text: str) -> str:
    return one_line(whole(text), _LONGEST)


def _text(text: str) -> str:
    return escape(_plain(text))
