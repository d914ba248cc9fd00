"""A report as one HTML file that needs nothing else: no network, no server, no second file."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.analysis.promised_vs_measured import NOMINAL
from core.figures import promised_vs_measured as bars
from core.figures.point import Point
from core.figures.theme import DARK, LIGHT
from core.figures.tradeoff import alt
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.metrics import metric
from core.report import charts
from core.report.look import SCRIPT, STYLE
from core.report.model import Report
from core.report.text import escaped, plain


def to_html(report: Report) -> str:
    """The whole document.

    Its policy allows no request at all and no script but plotly.js and `look.SCRIPT`, named by their SHA-256
    (CSP level 2, "Usage of hashes"). Texts are escaped; figures travel as data, not as script.
    """
    points = charts.points(report)
    figures: dict[str, dict[str, go.Figure]] = {}
    body = [_head(report), "<main>", _summary(report)]
    if points:
        figures["tradeoff"] = {t.name: charts.chart(report, points, t) for t in (LIGHT, DARK)}
        body.append(_chart_section(report, points))
    body.append("<h2>The candidates</h2>")
    for i, candidate in enumerate(report.chosen):
        found = charts.promised(report, candidate)
        if found:
            figures[f"bars{i}"] = {t.name: charts.bars(candidate, found, t) for t in (LIGHT, DARK)}
        text = bars.alt(candidate.label, found) if found else ""
        body.append(_card(report, candidate, i, text))
    notes = "".join(f"<li>{escaped(n, 400)}</li>" for n in report.notes())
    body.append(f"<h2>How this was found out, and its limits</h2><ul>{notes}</ul></main>")
    body.append(f"<footer>Made with Retort from run {escaped(report.run.id)}.</footer>")
    data = {i: {name: json.loads(str(f.to_json())) for name, f in pair.items()} for i, pair in figures.items()}
    return _document(report, "".join(body), json.dumps(data).replace("<", "\\u003c"))


@lru_cache(maxsize=1)
def _plotly() -> str:
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _document(report: Report, body: str, data: str) -> str:
    policy = (
        f"default-src 'none'; script-src {_hash(_plotly())} {_hash(SCRIPT)}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{escaped(report.run.name, 80)}</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body>{body}"
        f'<script type="application/json" id="figures">{data}</script>'
        f"<script>{_plotly()}</script><script>{SCRIPT}</script></body></html>\n"
    )


def _head(report: Report) -> str:
    long = ' class="long"' if len(report.headline) > 120 else ""
    return (
        f'<header><p class="quiet">{escaped(report.run.name, 120)} \u00b7 {escaped(report.run.model, 120)}</p>'
        f"<h1{long}>{escaped(report.headline, 600)}</h1></header>"
    )


def _summary(report: Report) -> str:
    said = "".join(
        f"<li><strong>{letter}. {escaped(c.label)}.</strong> {escaped(report.quality_sentence(c), 400)} "
        f"{escaped(report.verdict(c), 400)}</li>"
        for c, letter in zip(report.chosen, report.letters.values(), strict=True)
    )
    zeros = any(s.metric == NOMINAL for c in report.chosen for s in charts.promised(report, c))
    told = "<p>Zeros alone do not make a dense file smaller or a dense kernel faster.</p>" if zeros else ""
    return f"<h2>In short</h2><ul>{said}</ul>{told}"


def _chart_section(report: Report, points: list[Point]) -> str:
    x, y = points[0].x.metric, points[0].y.metric
    rows = "".join(
        f'<tr><th scope="row">{escaped(p.label)}</th><td class="n">{show(x, p.x.value)}</td>'
        f'<td class="n">{show(y, p.y.value)}</td></tr>'
        for p in points
    )
    run = f"run {report.run.id}"
    table = _table(f"All points of the chart, {run}", ("Candidate", metric(x).label, metric(y).label), rows)
    return (
        '<h2>Quality against cost</h2><figure><div id="tradeoff" class="chart" role="img" '
        f'aria-label="{escaped(alt(points), 2000)}"></div>'
        f"<figcaption>The candidates of {escaped(run)}. {escaped(report.caption, 400)}</figcaption></figure>"
        f"{_limits(report)}<details><summary>The chart as a table</summary>{table}</details>"
    )


def _limits(report: Report) -> str:
    said = report.outcome.sentence
    return f"<p>{escaped(said, 900)}</p>" if said else ""


def _card(report: Report, candidate: Result, index: int, chart: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escaped(f.label)}</th><td class="n">{escaped(f.value)}</td>'
        f'<td class="n">{escaped(f.spread)}</td><td class="n">{escaped(f.original)}</td>'
        f"<td>{escaped(f.against, 300)}</td>"
        f"<td>{escaped(f.obtained, 300)}; run {escaped(report.run.id)}</td></tr>"
        for f in report.figures(candidate)
    )
    letter, run = report.letters[candidate.key], f"run {report.run.id}"
    figure = (
        f'<figure><div id="bars{index}" class="chart" role="img" aria-label="{escaped(chart, 1000)}"></div>'
        f"<figcaption>Shares of the original, {escaped(run)}.</figcaption></figure>"
        if chart
        else ""
    )
    head = ("Figure", "Value", "Range", "Original", "Against the baseline", "How it was obtained")
    return (
        f'<section class="card"><h3>{letter}. {escaped(candidate.label)}</h3>'
        f"<p>{escaped(report.quality_sentence(candidate), 400)} {escaped(report.verdict(candidate), 400)}</p>"
        f"{figure}{_table(f'Figures of {plain(candidate.label, 100)}, {run}', head, rows)}</section>"
    )


def _table(caption: str, head: tuple[str, ...], rows: str) -> str:
    columns = "".join(f'<th scope="col">{escaped(h)}</th>' for h in head)
    label = escaped(caption, 160)
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
