"""Slides and PDF as their readers see them: rendered to pictures, their words read back."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from pptx import Presentation

from core.base.settings import Settings
from core.report.brand import brand
from core.report.model import Report
from core.report.pdf import to_pdf
from core.report.pptx import to_pptx
from core.report.presented import presented
from core.report.story import story
from tests.report.test_brand import picture
from tests.report.test_executives import executive, forbidden

OFFICE, PAGES, WORDS = (shutil.which(name) for name in ("soffice", "pdftoppm", "pdftotext"))


def pictures(pdf: Path) -> list[Image.Image]:
    subprocess.run([PAGES or "", "-r", "30", "-png", pdf, pdf.with_suffix("")], check=True, timeout=120)
    return [Image.open(p) for p in sorted(pdf.parent.glob(f"{pdf.stem}-*.png"))]


def read(pdf: Path) -> str:
    done = subprocess.run([WORDS or "", "-layout", pdf, "-"], check=True, capture_output=True, timeout=60)
    return " ".join(done.stdout.decode().split())


def branded(home: Settings) -> Report:
    look = brand("Smaller and cheaper?", "Ann", "#D55E00", picture((300, 90)))
    return executive(home, "large", share=0.4, brand=look)


def test_slides_come_from_a_master_of_their_own_with_a_foot_and_notes(home: Settings) -> None:
    report = branded(home)
    deck = Presentation(io.BytesIO(to_pptx(report)))
    assert [layout.name for layout in deck.slide_layouts] == ["Headline", "Big figure", "Content"]
    told = story(presented(report))
    assert [s.shapes.title.text_frame.text for s in deck.slides] == [s.title for s in told]
    for slide, one in zip(deck.slides, told, strict=True):
        words = [s.text_frame.text for s in slide.shapes if s.has_text_frame]
        assert "Study of large" in words and any(re.fullmatch(r"\d+ [A-Z][a-z]+ \d{4}", w) for w in words)
        assert b'type="slidenum"' in slide.part.blob and sum(s.shape_type == 13 for s in slide.shapes) == 1
        assert one.big in words or not one.big
        notes = slide.notes_slide.notes_text_frame.text
        assert notes.startswith("From: Study of large, measured ") and all(n in notes for n in one.notes)
    money = next(s for s in deck.slides if s.shapes.title.text_frame.text == "What it saves: money")
    assert "Cost per million tokens: 125 EUR (124 to 126 EUR), estimated" in money.notes_slide.notes_text_frame.text
    seen = [w for s in deck.slides for shape in s.shapes if shape.has_text_frame for w in [shape.text_frame.text]]
    assert [w for w in forbidden(report) if any(re.search(rf"\b{re.escape(w)}\b", t, re.I) for t in seen)] == []


def test_the_chart_has_the_axis_of_the_page_the_original_and_errors(home: Settings) -> None:
    deck = Presentation(io.BytesIO(to_pptx(branded(home))))
    (chart,) = [s.chart for slide in deck.slides for s in slide.shapes if s.has_chart]
    series = {s.name: list(zip(s.iter_values(), strict=True)) for s in chart.plots[0].series}
    # The loss grows by 0.4237 of ln(11.07) and by 0.2782: 17.6 and 11.6 percent; the original has no place on a
    # logarithmic axis and stands at its lower end, a power of two below half of the least.
    assert {n: [round(v, 1) for (v,) in of] for n, of in series.items()} == {
        "Other variants": [11.6],
        "A. 3 layers removed": [17.6],
        "The original": [4.0],
    }
    xml = chart._chartSpace.xml
    assert '<c:logBase val="2"/>' in xml.replace("ns0:", "c:") and chart.value_axis.minimum_scale == 4.0
    assert chart.category_axis.axis_title.text_frame.text == "Weights on disk, GB (lower is better)"
    assert "errBars" in xml


@pytest.mark.slow
@pytest.mark.skipif(not (OFFICE and PAGES and WORDS), reason="LibreOffice or poppler's tools are not installed")
def test_an_office_program_draws_every_slide_with_its_figures(home: Settings, tmp_path: Path) -> None:
    report, file = branded(home), tmp_path / "deck.pptx"
    file.write_bytes(to_pptx(report))
    command = [OFFICE or "", f"-env:UserInstallation=file://{tmp_path}/office", "--headless", "--convert-to", "pdf"]
    subprocess.run([*command, "--outdir", tmp_path, file], check=True, timeout=240, capture_output=True)
    drawn, told = pictures(tmp_path / "deck.pdf"), story(presented(report))
    assert len(drawn) == len(told)
    words = read(tmp_path / "deck.pdf")
    assert all(one.big in words for one in told if one.big) and "2,500 EUR instead of 2,931 EUR" in words
    ground = drawn[0].convert("RGB").getpixel((drawn[0].width // 2, drawn[0].height - 10))
    assert ground == (0xD5, 0x5E, 0x00), "the first slide stands on the author's colour"
    for page in drawn[1:]:
        colors = page.convert("L").getcolors(256)
        assert colors is not None and len(colors) > 20, "no slide is empty"


@pytest.mark.skipif(not (PAGES and WORDS), reason="poppler's tools are not installed")
@pytest.mark.parametrize("study", ["small", "large"])
def test_the_pdf_has_the_figures_of_the_story_and_no_term_of_the_field(
    home: Settings, tmp_path: Path, study: str
) -> None:
    report, file = executive(home, study), tmp_path / "report.pdf"
    file.write_bytes(to_pdf(report))
    words, told = read(file), story(presented(report))
    assert all(" ".join(text.split()) in words for one in told for text in (one.title, one.big) if len(text) < 60)
    assert {"small": "60 rightly instead of 68", "large": "70 rightly instead of 75"}[study] in words
    assert {"small": "from 269.1 MB to 240.7 MB", "large": "from 2.5 GB to 2.1 GB"}[study] in words
    # 0.9 * 2.5 EUR an hour: 23.5 EUR become 20.8 for a million tokens, 469 and 415 for 20 million.
    assert {"small": "\u221254.2 EUR a month", "large": "\u2212431 EUR a month"}[study] in words
    assert [w for w in forbidden(report) if re.search(rf"\b{re.escape(w)}\b", words, re.IGNORECASE)] == []
    drawn = pictures(file)
    assert len(drawn) >= len(told) and drawn[0].convert("RGB").getpixel((9, 9)) == (0x00, 0x72, 0xB2)


@pytest.mark.skipif(not WORDS, reason="poppler's tools are not installed")
def test_the_pdf_of_engineers_has_every_figure_of_the_store(home: Settings, tmp_path: Path) -> None:
    report = replace(executive(home, "small"), audience="engineers")
    (tmp_path / "report.pdf").write_bytes(to_pdf(report))
    words = read(tmp_path / "report.pdf")
    for said in ("58.26", "53.8 to 63.1", "240.7 MB", "0.603", "0.567 to 0.638", "120.4 M", "31.03", "McNemar"):
        assert said in words, said
    assert report.run.id in words


@pytest.mark.skipif(not WORDS, reason="poppler's tools are not installed")
def test_the_pdf_takes_any_words_and_shows_what_its_font_has(home: Settings, tmp_path: Path) -> None:
    letters = "\u041f\u0440\u0438\u0432\u0435\u0442 \u03b1\u03b2\u03b3 \u0141\u00f3d\u017a"
    odd = f"</script><img src=x onerror=alert(1)> \u202e {letters} \u6771\u4eac {'A' * 300}"
    report = executive(home, "large", headline=odd[:390])
    (tmp_path / "report.pdf").write_bytes(to_pdf(report))
    words = read(tmp_path / "report.pdf")
    assert "<img src=x onerror=alert(1)>" in words and f"{letters} ??" in words
    assert b"/JavaScript" not in to_pdf(report) and b"/URI" not in to_pdf(report)
    assert to_pdf(report) == to_pdf(report), "the same report is the same file"
