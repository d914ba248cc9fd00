"""A report as one HTML file that needs nothing else: no network, no server, no second file."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from core.analysis.promised_vs_measured import NOMINAL
from core.figures import promised_vs_measured as bars
from core.figures.theme import DARK, LIGHT
from core.figures.tradeoff import alt
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.metrics import metric
from core.report import charts
from core.report.model import Report
from core.report.text import plain

_TEMPLATES = Path(__file__).parent / "templates"
Figures = dict[str, dict[str, go.Figure]]
"""Charts by the id of their place, each on light and dark ground."""


@dataclass(frozen=True)
class Card:
    """One chosen candidate as the page shows it."""

    candidate: Result
    letter: str
    quality: str
    verdict: str
    chart: str
    """The id of its bars' place."""
    alt: str
    """Its bars in words; empty where it has none."""
    zeros: bool
    """Whether a share of it counts zeros only."""


def to_html(report: Report) -> str:
    """The whole document.

    Its policy allows no request at all and no script but plotly.js and `report.js`, named by their SHA-256
    (CSP level 2, "Usage of hashes"). Texts are escaped; figures travel as data, not as script.
    """
    points = charts.points(report)
    figures: Figures = {}
    if points:
        figures["tradeoff"] = {t.name: charts.chart(report, points, t) for t in (LIGHT, DARK)}
    cards = [_card(report, candidate, f"bars{i}", figures) for i, candidate in enumerate(report.chosen)]
    data = {i: {name: json.loads(str(f.to_json())) for name, f in pair.items()} for i, pair in figures.items()}
    script = _file("report.js")
    policy = (
        f"default-src 'none'; script-src {_hash(_plotly())} {_hash(script)}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            cards=cards,
            points=points,
            alt=alt(points),
            x=metric(points[0].x.metric) if points else None,
            y=metric(points[0].y.metric) if points else None,
            show=show,
            # Ours from here on, and no text from outside: a policy, a style, two scripts, and data without a "<".
            policy=Markup(policy),
            style=Markup(_file("report.css")),
            script=Markup(script),
            plotly=Markup(_plotly()),
            data=Markup(json.dumps(data).replace("<", "\\u003c")),
        )
    )


def _card(report: Report, candidate: Result, chart: str, figures: Figures) -> Card:
    """A card; its bars join the `figures`."""
    shares = charts.promised(report, candidate)
    if shares:
        figures[chart] = {t.name: charts.bars(candidate, shares, t) for t in (LIGHT, DARK)}
    return Card(
        candidate,
        report.letters[candidate.key],
        report.quality_sentence(candidate),
        report.verdict(candidate),
        chart,
        bars.alt(candidate.label, shares) if shares else "",
        any(s.metric == NOMINAL for s in shares),
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
    return made


@lru_cache(maxsize=1)
def _plotly() -> str:
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


@lru_cache(maxsize=4)
def _file(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
