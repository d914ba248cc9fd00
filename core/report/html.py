"""A report as one HTML file that needs nothing else: no network, no server, no second file, no script."""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.analysis.promised_vs_measured import NOMINAL
from core.base.text import visible
from core.figures.theme import DARK, LIGHT
from core.recipe.results import Result
from core.report import charts
from core.report.bars import bars
from core.report.brand import Brand, readable
from core.report.classes import ClassTable, class_table
from core.report.model import Report
from core.report.picture import Picture
from core.report.presented import presented
from core.report.said import LEGEND, PLAIN_LEGEND
from core.report.slide import Slide
from core.report.story import dated, question, source, story
from core.report.svg import to_svg
from core.report.text import plain

_TEMPLATES = Path(__file__).parent / "templates"
_OWN = {k: k for k in ("chart", "choice", "costs", "texts", "method")} | {"votes": "texts"}
"""Kinds of slides that have a form of their own on the page."""


@dataclass(frozen=True)
class Card:
    """One chosen candidate as the page shows it."""

    candidate: Result
    letter: str
    quality: str
    verdict: str
    chart: str
    """The id of its bars' place."""
    bars: Markup
    """Its bars; empty where it has none."""
    zeros: bool
    """Whether a share of it counts zeros only."""
    classes: ClassTable | None


@dataclass(frozen=True)
class Section:
    """Slides of the story that stand together on the page."""

    kind: str
    slides: list[Slide]


def to_html(report: Report) -> str:
    """The whole document.

    Its policy allows no request and no script at all, and one style, named by its SHA-256 (CSP level 2, "Usage of
    hashes"). Texts are escaped; charts are SVG in the page itself, in the colours of its style.
    """
    report = presented(report)
    points = charts.points(report)
    drawn = [charts.drawn(report, points, LIGHT, size) for size in (charts.WIDE, charts.NARROW)] if points else []
    style = _file("report.css") + _colours(report.brand)
    policy = f"default-src 'none'; style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            sections=_sections(report),
            question=question(report),
            source=source(report),
            dated=dated(report),
            logo=f"data:image/png;base64,{base64.b64encode(report.brand.logo).decode()}" if report.brand.logo else "",
            cards=[_card(report, candidate, f"bars{i}") for i, candidate in enumerate(report.chosen)],
            points=points,
            legend=LEGEND if report.audience == "engineers" else PLAIN_LEGEND,
            titles=charts.titles(report, points) if points else (),
            rows=charts.written(report, points),
            # Ours from here on, or escaped already: a policy, a style and a drawing.
            tradeoff=_both("tradeoff", drawn),
            policy=Markup(policy),
            style=Markup(style),
        )
    )


def _card(report: Report, candidate: Result, chart: str) -> Card:
    shares = charts.promised(report, candidate)
    if report.audience == "executives":
        shares = []  # a slide a figure says it
    drawn = [bars(shares, candidate.label, candidate.method, w, LIGHT) for w in (800.0, 340.0)] if shares else []
    return Card(
        candidate,
        report.letters[candidate.key],
        report.quality_sentence(candidate),
        report.verdict(candidate),
        chart,
        _both(chart, drawn),
        any(s.metric == NOMINAL for s in shares),
        class_table(candidate, report.baseline),
    )


def _sections(report: Report) -> list[Section]:
    """The story; its headline is the heading of the page."""
    found = story(report)[1:]
    grouped = itertools.groupby(found, lambda s: _OWN.get(s.kind, "story"))
    return [Section(kind, list(some)) for kind, some in grouped]


def _colours(brand: Brand) -> str:
    """The author's colour, and what can be read on it and in it on either ground."""
    dark = f"@media (prefers-color-scheme:dark){{:root{{--strong:{readable(brand.accent, DARK.ground)}}}}}"
    light = f":root{{--accent:{brand.accent};--on:{brand.ink};--strong:{readable(brand.accent, LIGHT.ground)}}}"
    return f"{light}{dark}"


def _both(name: str, drawn: list[Picture]) -> Markup:
    """A drawing for screens and one for phones; the style shows one of them."""
    kinds = ("wide-only", "narrow-only")
    return Markup(
        "".join(to_svg(d, f"{name}-{kind}", variables=True, css=kind) for d, kind in zip(drawn, kinds, strict=False))
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = plain
    made.filters["shown"] = visible
    return made


@lru_cache(maxsize=4)
def _file(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
