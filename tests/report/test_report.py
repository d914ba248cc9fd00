"""The forms of a report: right figures, hostile text shown as text, files that open again."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pptx import Presentation

from core.base.errors import RetortError
from core.base.settings import Settings
from core.commands.parser import main
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.report import charts
from core.report.costs import Prices, energy_per_million, money_per_million
from core.report.csv import to_csv
from core.report.html import to_html
from core.report.json import to_json
from core.report.model import Report, build
from core.report.pptx import to_pptx
from core.report.story import story
from core.store import Store
from tests.pages.study import finished_study

HOSTILE = '</script><img src=x onerror=alert(1)><a href="http://evil.example">x</a>\u202e\x00\x07=1+1' + "A" * 100_000


def made(home: Settings, *, label: str = "", headline: str = "", prices: Prices | None = None) -> Report:
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    if label:
        results = [r if r.baseline else r.model_copy(update={"label": label, "notes": [label]}) for r in results]
    keys = [r.key for r in results if not r.baseline][:4]
    return build(run, results, keys, headline=headline, audience="engineers", prices=prices)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href") or k.startswith("on")]


def test_hostile_text_is_text_in_html_which_runs_no_script_and_asks_for_nothing(home: Settings) -> None:
    document = to_html(made(home, label=HOSTILE, headline=HOSTILE[:300]))
    seen = _Tags()
    seen.feed(document)
    assert not {"img", "a", "script", "image", "use", "foreignobject"} & set(seen.tags)
    assert seen.addresses == ["data:,"] and "style=" not in document
    assert "\u202e" not in document and "\x00" not in document
    (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    named = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', document)
    assert policy is not None
    wanted = f"default-src 'none'; style-src 'sha256-{named}'; img-src data:; base-uri 'none'; form-action 'none'"
    assert policy[1] == wanted
    assert len(document) < 1_500_000


BREAKS_OUT = '" onload="alert(1)"><svg onload=alert(2)> \' {{ 7 * 191 }} {% raw %} &lt;b&gt; {{ report.run.id }}'


def test_hostile_names_of_run_model_and_candidates_break_out_of_no_attribute_and_no_template(home: Settings) -> None:
    report = made(home, label=BREAKS_OUT, headline=BREAKS_OUT)
    page = to_html(replace(report, run=replace(report.run, name=BREAKS_OUT[:100], model=BREAKS_OUT[:100])))
    seen = _Tags()
    seen.feed(page)
    assert "b" not in seen.tags and seen.addresses == ["data:,"]
    assert seen.tags.count("svg") == 2 * 5, "the chart and the bars of four, for screens and for phones"
    assert "1337" not in page and "{{ 7 * 191 }}" in page, "text is no template"
    assert "&#34; onload=&#34;alert(1)&#34;&gt;&lt;svg onload=alert(2)&gt; &#39;" in page
    assert "&amp;lt;b&amp;gt;" in page, "what was escaped already is shown as it stood"
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
    assert heading is not None and html.unescape(heading[1]) == BREAKS_OUT


def test_slides_open_again_with_native_charts_inside_the_slide_and_apart(home: Settings) -> None:
    report = made(home, label=HOSTILE, headline=HOSTILE[:300])
    deck = Presentation(io.BytesIO(to_pptx(report)))
    assert len(deck.slides) >= len(report.chosen) + 3
    assert sum(s.has_chart for slide in deck.slides for s in slide.shapes) == len(report.chosen) + 1
    for slide in deck.slides:
        assert report.run.id in slide.notes_slide.notes_text_frame.text
        boxes = [(s.left, s.top, s.left + s.width, s.top + s.height) for s in slide.shapes]
        assert all(a >= 0 and b >= 0 and c <= deck.slide_width and d <= deck.slide_height for a, b, c, d in boxes)
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize(
    ("start", "safe"),
    [("=", "'="), ("+", "'+"), ("-", "'-"), ("@", "'@"), (" =", "' ="), ("\t", " "), ("\r@", "' @"), ("a;=", "a;'=")],
)
def test_no_cell_of_text_is_a_formula_and_numbers_stay_numbers(home: Settings, start: str, safe: str) -> None:
    report = made(home, label=f"{start}1+1")
    rows = list(csv.DictReader(io.StringIO(to_csv(report), newline="")))
    assert f"{safe}1+1" in {r["candidate"] for r in rows}
    assert not any(str(cell).startswith(("=", "+", "@", "\t", "\r")) for r in rows for cell in r.values())
    told = [float(r["value"]) for r in rows if r["candidate_key"] == report.chosen[0].key]
    assert told == [m.value for m in report.chosen[0].measurements]


def test_every_form_says_why_few_windows_have_no_interval(home: Settings) -> None:
    whole = made(home)
    few = []
    for r in whole.results:
        found = [m.model_copy(update={"settings": {**m.settings, "windows": 2}}) for m in r.measurements]
        few.append(r.model_copy(update={"measurements": found}))
    report = build(whole.run, few, [c.key for c in whole.chosen], audience="engineers")
    why, untold = "no interval: 2 windows, and it takes 4", "too few windows to tell"
    rows = [r for r in csv.DictReader(io.StringIO(to_csv(report), newline="")) if r["metric"] == "perplexity"]
    assert {r["range"] for r in rows} == {why}
    assert {r["change"] for r in rows if r["candidate_key"] in {c.key for c in whole.chosen}} == {untold}
    figures = [f for c in json.loads(to_json(report))["candidates"] for f in c["figures"]]
    assert {(f["range"], f["change"]) for f in figures if f["metric"] == "perplexity"} == {(why, untold)}
    assert why in html.unescape(to_html(report))
    slides = Presentation(io.BytesIO(to_pptx(report))).slides
    assert any(why in slide.notes_slide.notes_text_frame.text for slide in slides)
    assert untold in report.quality_sentence(report.chosen[0])


def test_json_holds_the_figures_and_where_they_come_from(home: Settings) -> None:
    report = made(home)
    document = json.loads(to_json(report))
    assert document["schema"] == "retort-report/1" and len(document["candidates"]) == 4
    for told, candidate in zip(document["candidates"], report.chosen, strict=True):
        assert [f["value"] for f in told["figures"]] == [m.value for m in candidate.measurements]
        assert all(f["obtained"] in ("measured", "estimated") and f["run"] == report.run.id for f in told["figures"])


def test_money_and_energy_of_a_million_tokens_are_estimates_from_the_measured_time() -> None:
    decode = Measurement(metric="decode_ms", value=36.0, unit="ms", low=18.0, high=72.0)
    prices = Prices(per_hour=2.0, watts=100.0)
    money, energy = money_per_million(decode, prices), energy_per_million(decode, None, prices)
    assert money is not None and energy is not None
    hours = 1e6 * 0.036 / 3600  # ten hours
    assert money.value == pytest.approx(2.0 * hours) and (money.low, money.high) == pytest.approx((10.0, 40.0))
    assert energy.value == pytest.approx(0.1 * hours) and energy.unit == "kWh"
    assert money.obtained == energy.obtained == "estimated"
    assert money_per_million(decode, Prices()) is None and energy_per_million(decode, None, Prices()) is None
    counted = Measurement(metric="energy_j_per_token", value=7.2, unit="J", low=3.6, high=36.0)
    energy = energy_per_million(decode, counted, prices)
    assert energy is not None and energy.obtained == "measured", "what was counted goes before an estimate"
    assert (energy.value, energy.low, energy.high) == pytest.approx((2.0, 1.0, 10.0))


def with_energy(report: Report, prices: Prices, **how: object) -> Report:
    """The report anew, every candidate with an energy of 3.6 J."""
    energy = Measurement(metric="energy_j_per_token", value=3.6, unit="J", **how)  # type: ignore[arg-type]
    results = [r.model_copy(update={"measurements": [*r.measurements, energy]}) for r in report.results]
    return build(report.run, results, audience="engineers", prices=prices)


@pytest.mark.parametrize("watts", [None, 65.0])
def test_a_counted_energy_is_said_to_be_measured_whatever_the_power(home: Settings, watts: float | None) -> None:
    report = with_energy(made(home), Prices(watts=watts), settings={"counter": "RAPL"})
    figures = {f.measurement.metric: f for f in report.every_figure(report.chosen[0])}
    assert figures["energy_j_per_token"].value == "3.6 J" and figures["energy_kwh_per_mtok"].value == "1 kWh"
    notes = [n for n in report.notes() if "nergy" in n]
    assert len([n for n in notes if "measured by the machine's counter (RAPL)" in n]) == 1
    assert not any("estimated" in n or "Not measured" in n for n in notes)
    page = to_html(report)
    assert "3.6 J" in page and "measured by the machine" in page


def test_an_estimated_energy_rests_on_the_power_of_the_reader_and_says_so_once(home: Settings) -> None:
    how = {"obtained": "estimated", "settings": {"watts": 20.0, "watts_from": "assumed: 10 W for each of 2 threads"}}
    assumed = with_energy(made(home), Prices(), **how)
    assert any("estimated, not measured: watts x seconds, at 20 W (assumed" in n for n in assumed.notes())
    report = with_energy(made(home), Prices(watts=65.0), **how)
    for candidate in report.chosen:
        found = {m.metric: m for f in report.every_figure(candidate) for m in [f.measurement]}
        joules, decode = found["energy_j_per_token"], found["decode_ms"]
        assert joules.obtained == "estimated" and joules.value == pytest.approx(65 * decode.value / 1e3)
        assert found["energy_kwh_per_mtok"].value == pytest.approx(joules.value / 3.6)
    notes = [n for n in report.notes() if "nergy" in n]
    assert any("at 65 W (given)" in n for n in notes) and not any("20 W" in n for n in notes)
    assert not any("Not measured" in n for n in notes)


def test_times_are_compared_with_the_baseline_timed_in_turns(home: Settings) -> None:
    report = made(home)
    one = report.chosen[0]
    timed = [
        m.model_copy(
            update={
                "settings": {
                    "baseline_value": m.value * 2,
                    "baseline_low": m.value * 1.9,
                    "baseline_high": m.value * 2.1,
                }
            }
        )
        if m.metric == "decode_ms"
        else m
        for m in one.measurements
    ]
    assert "a token takes 50 % of the dense time" in report.verdict(one.model_copy(update={"measurements": timed}))


def test_an_unknown_pick_is_refused(home: Settings) -> None:
    report = made(home)
    with pytest.raises(RetortError, match="names no candidate"):
        build(report.run, report.results, ["0" * 12])


@pytest.mark.parametrize("form", ["html", "pptx", "pdf", "csv", "json"])
def test_the_command_writes_the_file(home: Settings, tmp_path: Path, form: str) -> None:
    run, out = finished_study(home), tmp_path / f"report.{form}"
    assert main(["report", run, "--format", form, "--out", str(out), "--home", str(home.home)]) == 0
    assert out.stat().st_size > 1000 and [p for p in tmp_path.iterdir() if p.name.endswith(".partial")] == []


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a.html", b"<!doctype html>"),
        ("a.HTM", b"<!doctype html>"),
        ("a.pptx", b"PK"),
        ("a.pdf", b"%PDF-"),
        ("a.csv", b"run,candidate_key,"),
        ("a.b.json", b"{"),
    ],
)
def test_the_name_of_the_file_says_what_is_written(home: Settings, tmp_path: Path, name: str, begins: bytes) -> None:
    run, out = finished_study(home), tmp_path / name
    assert main(["report", run, "--out", str(out), "--home", str(home.home)]) == 0
    assert out.read_bytes().removeprefix(b"\xef\xbb\xbf").lower().startswith(begins.lower())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--out", "a.docx"],
            "'a.docx' does not say which kind of report to write. "
            "Let its name end in .html, .pptx, .pdf, .csv or .json.",
        ),
        (
            ["--out", "report"],
            "'report' does not say which kind of report to write. "
            "Let its name end in .html, .pptx, .pdf, .csv or .json.",
        ),
        (
            ["--format", "csv", "--out", "a.json"],
            "'--format csv' and the name 'a.json' say different things. Leave "
            "'--format' out, or let the name end in .csv.",
        ),
    ],
)
def test_a_name_that_says_something_else_is_refused(
    home: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", finished_study(home), *words, "--home", str(home.home)]) == 2
    assert capsys.readouterr().err == f"{said}\n" and list(tmp_path.glob("a.*")) == []
    plain = ["report", finished_study(home), "--format", "json", "--out", "plain", "--home", str(home.home)]
    assert main(plain) == 0 and json.loads((tmp_path / "plain").read_text())


def test_every_chart_and_table_of_the_page_names_its_run(home: Settings) -> None:
    report = made(home)
    document = to_html(report)
    body = document.split("<main>")[1].split("</main>")[0]
    charts = re.findall(r"<figure>.*?</figure>", body, re.DOTALL)
    tables = re.findall(r"<caption>(.*?)</caption>", body)
    assert len(charts) == body.count('class="chart"') == 5 and len(tables) == body.count("<table>") == 5
    assert all(report.run.id in named for named in (*charts, *tables))


def test_slides_name_the_run_where_it_is_seen(home: Settings) -> None:
    report = made(home)
    deck = Presentation(io.BytesIO(to_pptx(report)))
    for slide in deck.slides:
        assert any(s.has_text_frame and f"Run {report.run.id}" in s.text_frame.text for s in slide.shapes)


def test_price_and_power_of_the_command_are_those_of_the_report(home: Settings, tmp_path: Path) -> None:
    run, out = finished_study(home), tmp_path / "report.json"
    options = ["--price", "1.5", "--currency", "EUR", "--watts", "65"]
    command = ["report", run, "--format", "json", "--out", str(out), "--home", str(home.home)]
    assert main([*command, *options]) == 0
    document = json.loads(out.read_text("utf-8"))
    assert document["prices"] == {"per_hour": 1.5, "currency": "EUR", "watts": 65.0, "mtok_per_month": None}
    figures = {f["metric"]: f for f in document["candidates"][0]["figures"]}
    decode = figures["decode_ms"]["value"]
    assert figures["cost_per_mtok"]["value"] == pytest.approx(1.5 * decode / 3.6)
    assert figures["cost_per_mtok"]["unit"] == "EUR"
    assert figures["energy_kwh_per_mtok"]["value"] == pytest.approx(65 * decode / 3600)


@pytest.mark.parametrize(
    "wrong", [["--price", "0"], ["--price", "nan"], ["--watts", "x"], ["--watts", "1e9"], ["--currency", "<b>"]]
)
def test_a_price_that_cannot_be_is_refused_in_a_sentence(
    home: Settings, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    assert main(["report", "r", "--out", "x", "--home", str(home.home), *wrong]) != 0
    said = capsys.readouterr().err
    assert "Traceback" not in said and wrong[1] in said and "_amount" not in said


def seen(home: Settings) -> Report:
    """The dense model took 120 ms alone; beside the candidates 49.45 ms and 50 ms, with ratios 1.004 and 0.8."""
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    dense, (_, wanda, short) = (
        results[0],
        (
            r
            for r in results
            if r.label in ("Wanda 20 %", "Magnitude 20 %", "Layer removal (block influence), 2 layers removed")
        ),
    )

    def timed(r: Result, value: float, **turns: float) -> Result:
        kept = [m for m in r.measurements if not m.metric.endswith("_ms")]
        decode = Measurement(
            metric="decode_ms",
            value=value,
            unit="ms",
            low=value * 0.9,
            high=value * 1.1,
            settings={"prompt": 64, **turns},
        )
        return r.model_copy(update={"measurements": [*kept, decode]})

    return build(
        run,
        [
            timed(dense, 120.0),
            timed(wanda, 49.6, baseline_value=49.45, ratio=1.004, ratio_low=0.99, ratio_high=1.02),
            timed(short, 40.0, baseline_value=50.0, ratio=0.8, ratio_low=0.79, ratio_high=0.81),
        ],
        [wanda.key, short.key],
        audience="engineers",
        prices=Prices(per_hour=2.0, watts=100.0),
    )


def test_money_and_energy_follow_the_ratio_and_stand_beside_the_originals(home: Settings) -> None:
    report = seen(home)
    found = [{f.measurement.metric: f for f in report.every_figure(c)} for c in (report.baseline, *report.chosen) if c]
    # The reference is 50 ms, the median of 120, 49.45 and 50: 2 USD x 50 / 3.6 and 100 W x 50 / 3600.
    assert [f["cost_per_mtok"].shown for f in found] == ["27.8 USD", "27.9 USD", "22.2 USD"]
    assert [f["energy_kwh_per_mtok"].shown for f in found] == ["1.39 kWh", "1.39 kWh", "1.11 kWh"]
    assert [f["cost_per_mtok"].original for f in found] == ["\u2013", "27.8 USD", "27.8 USD"]
    assert [f["cost_per_mtok"].difference and f["cost_per_mtok"].difference.change for f in found] == [
        None,
        "no difference beyond the error",
        "\u221220 %",
    ]
    assert found[1]["cost_per_mtok"].spread == "27.5 to 28.3 USD"


def test_every_form_says_what_a_time_is_and_none_shows_another_moments_milliseconds(home: Settings) -> None:
    report = seen(home)
    told = "ratio to the dense model timed in turns with it, times 50 ms, the time of the dense model (the median"
    assert any(told in note for note in report.notes())
    document = to_html(report)
    assert told in document and "120 ms" not in document and "49.6 ms" not in document
    assert re.search(
        r"Latency per token</th><td[^>]*>50.2 ms</td><td[^>]*>49.5 to 51 ms</td><td[^>]*>50 ms</td>"
        r"<td>no difference beyond the error; 100.4 % \([^)]*\) of the dense model",
        document,
    )


def test_slides_and_tables_take_the_tie(home: Settings) -> None:
    report = seen(home)
    costs = next(s for s in story(report) if s.kind == "costs")
    rows = {row[0]: row[1:] for row in costs.table}
    assert rows["Latency per token"] == ("50 ms", "50.2 ms (no difference beyond the error)", "40 ms (\u221220 %)")
    assert rows["Cost per million tokens"][1].endswith("(no difference beyond the error)")
    assert "timed in turns" in costs.lines[0] and not any("120" in cell for row in costs.table for cell in row)
    text = to_csv(report)
    rows_ = [r for r in csv.DictReader(io.StringIO(text)) if r["metric"] == "decode_ms"]
    assert [float(r["value"]) for r in rows_] == pytest.approx([50.0, 50.2, 40.0])
    assert [r["original"] for r in rows_] == ["", "50.0", "50.0"]
    figures = [f for c in json.loads(to_json(report))["candidates"] for f in c["figures"] if f["metric"] == "decode_ms"]
    assert [(f["original"], round(f["settings"]["measured_ms"], 1)) for f in figures] == [(50.0, 49.6), (50.0, 40.0)]
    deck = Presentation(io.BytesIO(to_pptx(report)))
    cells = [
        [c.text for c in row.cells]
        for s in deck.slides
        for shape in s.shapes
        if shape.has_table
        for row in shape.table.rows
    ]
    told = next(row for row in cells if row[0] == "Latency per token")
    assert told[1:4] == ["50.2 ms", "49.5 to 51 ms", "50 ms"]
    assert told[4].startswith("no difference beyond the error; 100.4 % (")


def test_a_report_draws_one_kind_of_energy_and_says_what_it_leaves_out(home: Settings) -> None:
    report = with_energy(made(home), Prices(), settings={"counter": "RAPL"})
    estimate = {"obtained": "estimated", "settings": {"watts": 20.0}}
    other = next(r for r in report.results if not r.baseline and r.key not in report.letters)
    results = [
        r.model_copy(update={"measurements": [*r.measurements[:-1], r.measurements[-1].model_copy(update=estimate)]})
        if r.key == other.key
        else r
        for r in report.results
    ]
    axes = ("energy_j_per_token", "perplexity")
    picked = [*report.letters]
    mixed = build(report.run, results, picked, axes=axes, audience="engineers")
    assert mixed.axes == axes
    assert "Left out is 1 candidate, where it was estimated" in mixed.caption and mixed.caption in to_html(mixed)
    assert other.key not in {p.key for p in charts.points(mixed)}
    unlike = build(report.run, results, [picked[0], other.key], axes=axes, audience="engineers")
    assert unlike.axes is not None and unlike.axes[0] == "removed", "no chart of energy holds both of the chosen"
