"""What a reader finds on each surface, read back from the finished document and from nothing else.

A reader gives, for each candidate by its label and each figure by its label, the cells that stand beside it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from pptx import Presentation

Cells = dict[str, str]
"""Head of a column -> what stands in the cell."""
Table = dict[str, Cells]
"""Figure -> its cells."""
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"


@dataclass
class Drawing:
    """What a chart of the page says to those who point at its marks."""

    marks: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    """Key -> cost, quality and words of each point."""
    bars: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Name -> length in percent and words of each bar."""
    words: dict[str, list[str]] = field(default_factory=dict)
    """Titles of the axes and lines of the legend, by what they are."""


class Page(HTMLParser):
    """Tables by their caption, lists, headings, and the marks of the charts."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.items: list[str] = []
        self.said: list[str] = []
        self.headline = ""
        self.alts: dict[str, str] = {}
        self.charts: dict[str, Drawing] = {}
        self._open: list[str] = []
        self._caption = ""
        self._place = ""
        self._told: dict[str, str | None] = {}
        self._part = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("meta", "link", "br", "img"):
            return
        self._open.append(tag)
        if told.get("class") == "chart":
            self._place = told["id"] or ""
            self.charts[self._place], self.alts[self._place] = Drawing(), ""
        if told.get("class") == "mark":
            self._told = told
        if tag == "text":
            self._part = told.get("class") or ""
        if tag == "tr":
            self.tables[self._caption].append([])
        elif tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        elif tag == "li":
            self.items.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        here = set(self._open)
        if "svg" in here:
            self._drawn(data, here)
        elif "caption" in here:
            self._caption = data
            self.tables[data] = []
        elif here & {"td", "th"}:
            self.tables[self._caption][-1][-1] += data
        elif "li" in here:
            self.items[-1] += data
        elif "p" in here:
            self.said.append(data)
        elif "h1" in here:
            self.headline += data

    def _drawn(self, data: str, here: set[str]) -> None:
        """A word of a chart; the drawing for phones says the same as the one for screens."""
        chart = self.charts[self._place]
        if "desc" in here:
            assert self.alts[self._place] in ("", data)
            self.alts[self._place] = data
        elif "title" in here and "g" in here:
            if "data-key" in self._told:
                x, y = (float(self._told[f"data-{a}"] or "") for a in "xy")
                chart.marks[self._told["data-key"] or ""] = (x, y, data)
            else:
                length, said = self._told["data-share"], self._told["data-said"]
                chart.bars[self._told["data-name"] or ""] = (float(length or ""), said or "")
        elif "text" in here and self._part:
            known = chart.words.setdefault(self._part, [])
            if data not in known:
                known.append(data)

    def figures(self, candidate: str) -> Table:
        """The table of a candidate."""
        head, *rows = next(t for name, t in self.tables.items() if name.startswith(f"Figures of {candidate},"))
        return {row[0]: dict(zip(head, row, strict=True)) for row in rows}

    def points(self) -> dict[str, tuple[str, str]]:
        """The table of the chart: both figures of each candidate."""
        _, *rows = next(t for name, t in self.tables.items() if name.startswith("All points of the chart"))
        return {row[0]: (row[1], row[2]) for row in rows}


class Deck:
    """A PowerPoint file: its slides by title, their tables, charts and words."""

    def __init__(self, data: bytes) -> None:
        self.slides = list(Presentation(io.BytesIO(data)).slides)

    def titled(self, start: str) -> list[Any]:
        return [s for s in self.slides if s.shapes.title.text_frame.text.startswith(start)]

    def figures(self, letter: str) -> Table:
        """The tables of a candidate's slides."""
        found: Table = {}
        for slide in self.titled(f"{letter}. "):
            for table in (s.table for s in slide.shapes if s.has_table):
                head, *rows = [[c.text_frame.text for c in row.cells] for row in table.rows]
                found |= {row[0]: dict(zip(head, row, strict=True)) for row in rows}
        return found

    def words(self, slide: Any) -> str:
        return "\n".join(s.text_frame.text for s in slide.shapes if s.has_text_frame)

    def shares(self, letter: str) -> dict[str, str]:
        """The bars of a candidate as PowerPoint writes them beside each: the number in the format of its label."""
        (chart,) = [s.chart for slide in self.titled(f"{letter}. ") for s in slide.shapes if s.has_chart]
        (plot,) = chart.plots
        (series,) = plot.series
        formats = _label_formats(series)
        usual = series.data_labels.number_format
        return {
            str(name): formatted(value, formats.get(i, usual))
            for i, (name, value) in enumerate(zip(plot.categories, series.values, strict=True))
        }

    def scatter(self) -> dict[str, list[tuple[float, float]]]:
        """The points of the trade-off chart, by series."""
        chart = self.scatter_chart()
        return {s.name: list(zip(_numbers(s, "xVal"), _numbers(s, "yVal"), strict=True)) for s in chart.plots[0].series}

    def scatter_chart(self) -> Any:
        return next(
            s.chart for slide in self.slides for s in slide.shapes if s.has_chart and len(s.chart.plots[0].series)
        )

    def errors(self, series: str, axis: str) -> list[tuple[float, float]]:
        """Below and above each point of a series of the trade-off chart, where it has error bars on an axis."""
        one = next(s for s in self.scatter_chart().plots[0].series if s.name == series)
        for bars in one._element.iter(f"{C}errBars"):
            if bars.find(f"{C}errDir").get("val") == axis:
                down, up = (
                    [float(v.text) for v in bars.find(f"{C}{side}").iter(f"{C}v")] for side in ("minus", "plus")
                )
                return list(zip(down, up, strict=True))
        return []


def _numbers(series: Any, axis: str) -> list[float]:
    found = series._element.find(f"{C}{axis}")
    return [float(v.text) for v in found.iter(f"{C}v")]


def _label_formats(series: Any) -> dict[int, str]:
    """Formats of the data labels that have one of their own, by the number of the point."""
    return {
        int(label.find(f"{C}idx").get("val")): label.find(f"{C}numFmt").get("formatCode")
        for label in series._element.iter(f"{C}dLbl")
    }


def formatted(value: float, code: str) -> str:
    """A number in the few formats of spreadsheets that are used: '0.0" %"'. Halves go up, as spreadsheets do it."""
    found = re.fullmatch(r'(0(?:\.(0+))?)(?:"([^"]*)")?', code)
    assert found is not None, code
    scale = 10.0 ** len(found[2] or "")
    return f"{int(value * scale + 0.5) / scale:.{len(found[2] or '')}f}{found[3] or ''}"


def csv_tables(text: str) -> dict[str, Table]:
    """Candidate -> its figures, every cell of their rows."""
    found: dict[str, Table] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        plain = {head: cell.removeprefix("'") for head, cell in row.items()}  # what keeps it from being a formula
        found.setdefault(plain["candidate"], {})[plain["label"]] = plain
    return found


def json_tables(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Candidate -> its figures, by label."""
    document = json.loads(text)
    known = [*([document["baseline"]] if document["baseline"] else []), *document["candidates"]]
    return {c["label"]: {f["label"]: f for f in c["figures"]} for c in known}


def bars(spec: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """The bars of shares in plotly's figure: length in percent, and the words beside each."""
    solid = next(t for t in spec["data"] if t["type"] == "bar")
    words = next(t for t in spec["data"] if t["type"] == "scatter")
    lengths = dict(zip(solid["y"], numbers(solid["x"]), strict=True))
    return {
        name: (lengths[name], text.replace("<br>", " ")) for name, text in zip(words["y"], words["text"], strict=True)
    }


def marks(spec: dict[str, Any]) -> Iterator[tuple[str, float, float, str]]:
    """Key, cost, quality and the words on hover of each candidate on plotly's trade-off chart."""
    for trace in spec["data"]:
        if trace.get("hovertext"):
            yield from zip(
                trace["customdata"], numbers(trace["x"]), numbers(trace["y"]), trace["hovertext"], strict=True
            )


def numbers(values: Any) -> list[float]:
    """Plotly's numbers: a list, or an array that is packed."""
    if isinstance(values, dict):
        import base64

        import numpy as np

        return [float(v) for v in np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"]))]
    return [float(v) for v in values]


def terminal(text: str) -> dict[str, list[str]]:
    """The command line's table: candidate -> its cells. Columns are two blanks apart."""
    rows = [re.split(r"  +", line) for line in text.splitlines() if "  " in line]
    return {row[0]: row[1:] for row in rows}
