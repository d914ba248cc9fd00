"""A report as one HTML file that needs nothing else: no network, no server, no second file, no script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.analysis.promised_vs_measured import NOMINAL
from core.base.text import visible
from core.figures.theme import LIGHT
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.metrics import metric
from core.report import charts
from core.report.bars import bars
from core.report.model import Report
from core.report.picture import Picture
from core.report.said import LEGEND
from core.report.svg import to_svg
from core.report.text import plain

_TEMPLATES = Path(__file__).parent / "templates"


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


def to_html(report: Report) -> str:
    """The whole document.

    Its policy allows no request and no script at all, and one style, named by its SHA-256 (CSP level 2, "Usage of
    hashes"). Texts are escaped; charts are SVG in the page itself, in the colours of its style.
    """
    points = charts.points(report)
    drawn = [charts.drawn(report, points, LIGHT, size) for size in (charts.WIDE, charts.NARROW)] if points else []
    style = _file("report.css")
    policy = f"default-src 'none'; style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            cards=[_card(report, candidate, f"bars{i}") for i, candidate in enumerate(report.chosen)],
            points=points,
            x=metric(points[0].x.metric) if points else None,
            y=metric(points[0].y.metric) if points else None,
            show=show,
            legend=LEGEND,
            # Ours from here on, or escaped already: a policy, a style and a drawing.
            tradeoff=_both("tradeoff", drawn),
            policy=Markup(policy),
            style=Markup(style),
        )
    )


def _card(report: Report, candidate: Result, chart: str) -> Card:
    shares = charts.promised(report, candidate)
    drawn = [bars(shares, candidate.label, candidate.method, w, LIGHT) for w in (800.0, 340.0)] if shares else []
    return Card(
        candidate,
        report.letters[candidate.key],
        report.quality_sentence(candidate),
        report.verdict(candidate),
        chart,
        _both(chart, drawn),
        any(s.metric == NOMINAL for s in shares),
    )


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
