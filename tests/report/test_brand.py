"""Whose report it is: colours that can be read, logos that are pictures."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from core.base.errors import RetortError
from core.base.settings import Settings
from core.commands.parser import main
from core.report.brand import brand, contrast, ink_on, readable
from tests.pages.study import finished_study


def picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#FFFFFF", 21.0),
        ("#777777", "#FFFFFF", 4.48),
        ("#0072B2", "#FFFFFF", 5.19),
        ("#FFFF00", "#000000", 19.56),
    ],
)
def test_contrast_is_that_of_the_guidelines(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01) == pytest.approx(contrast(other, one), abs=0.01)


@pytest.mark.parametrize(("accent", "ink"), [("#0072B2", "#FFFFFF"), ("#F0E442", "#000000"), ("#777777", "#000000")])
def test_what_is_written_on_the_colour_can_be_read(accent: str, ink: str) -> None:
    assert ink_on(accent) == ink and contrast(ink, accent) >= 4.5
    for ground in ("#FFFFFF", "#11171D"):
        assert contrast(readable(accent, ground), ground) >= 4.5
    assert readable("#0072B2", "#FFFFFF") == "#0072B2", "what can be read stays as it is"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_logo_becomes_a_small_picture_of_our_own(kind: str) -> None:
    made = brand(logo=picture((1600, 480), kind)).logo
    seen = Image.open(io.BytesIO(made))
    assert (seen.format, seen.size) == ("PNG", (800, 240))
    assert brand(logo=made).logo[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<svg onload=alert(1)>", "cannot be read as a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "cannot be read as a picture"),
        (picture((400, 100))[:90], "cannot be read as a picture"),
        (picture((40, 10), "GIF"), "cannot be read as a picture"),
        (picture((5000, 2)), "4,096 pixels"),
        (b"\x89PNG" * 300_000, "larger than 1 MB"),
    ],
)
def test_what_is_no_logo_is_refused_in_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(RetortError, match=said):
        brand(logo=data)


@pytest.mark.parametrize("accent", ["red", "#12", "#12345G", "#123456;}", "url(x)"])
def test_what_is_no_colour_is_refused(accent: str) -> None:
    with pytest.raises(RetortError, match="is no colour"):
        brand(accent=accent)


def test_the_command_takes_title_author_colour_logo_and_traffic(home: Settings) -> None:
    folder = home.home.parent
    logo, out = folder / "logo.png", folder / "report.html"
    logo.write_bytes(picture((60, 20)))
    options = ["--title", "Smaller?", "--author", "Ann", "--accent", "#d55e00", "--logo", str(logo)]
    options += ["--price", "2", "--traffic", "100", "--out", str(out), "--home", str(home.home)]
    assert main(["report", finished_study(home), *options]) == 0
    page = out.read_text("utf-8")
    assert "<title>Smaller?</title>" in page and "Ann \u00b7" in page and "--accent:#D55E00;--on:#000000" in page
    assert 'src="data:image/png;base64,' in page and "At 100 million tokens a month" in page
    (folder / "logo.png").write_bytes(b"GIF89a")
    assert main(["report", finished_study(home), *options]) == 2
