"""`report`: a study as a file to hand on."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from core.analysis.limits import limit_unit
from core.base.durable_files import write
from core.base.errors import RetortError
from core.base.private_files import hand_on
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import read_bounded, reason
from core.commands.terminal import put_json, say
from core.registry.metrics import METRICS, metric
from core.report.forms import FORMS, Form
from core.store import Store

_SUFFIXES = ", ".join(f".{form}" for form in list(FORMS)[:-1]) + f" or .{list(FORMS)[-1]}"


def report(chosen: argparse.Namespace, settings: Settings) -> int:
    """Writes the report of a run; an existing file is replaced whole or not at all.

    Raises:
        RetortError: there is no such run or candidate, nothing is finished, the file's name says no kind of report, or
            it cannot be written.
    """
    form = _form(chosen.format, chosen.out)
    from core.report.brand import brand
    from core.report.comparisons import with_comparisons
    from core.report.costs import Prices
    from core.report.model import build  # plotly and python-pptx: only where a report is made
    from core.report.write import render

    store = Store(settings)
    run = store.runs.get(chosen.run)
    made = build(
        run,
        store.candidates.results(run_id=run.id),
        chosen.pick or (),
        headline=chosen.headline,
        audience=chosen.audience,
        prices=Prices(
            per_hour=chosen.price, watts=chosen.watts, currency=chosen.currency, mtok_per_month=chosen.traffic
        ),
        axes=(chosen.x or "disk_bytes", chosen.y or "perplexity") if chosen.x or chosen.y else None,
        limits=chosen.limit or (),
        brand=brand(chosen.title, chosen.author, chosen.accent, _logo(chosen.logo)),
    )
    made = with_comparisons(made, store, chosen.text or ())
    data = render(made, form)
    out: Path = chosen.out
    try:
        write(out, data, private=False)
        hand_on(out)
    except OSError as error:
        raise RetortError(
            f"The report could not be written to '{one_line(str(out), 200)}' ({reason(error)}).",
            "Name a file in a folder that is there and that you may write to.",
        ) from error
    if chosen.json:
        put_json({"file": str(out), "format": form, "bytes": len(data), "picks": [c.key for c in made.chosen]})
    else:
        say(f"The report is in {out}.")
    return 0


def _logo(path: Path | None) -> bytes:
    """The bytes of a picture.

    Raises:
        RetortError: it cannot be read, or is larger than a logo may be.
    """
    if path is None:
        return b""
    try:
        return read_bounded(path, 1_000_000)
    except (OSError, ValueError) as error:
        raise RetortError(
            f"The logo '{one_line(str(path), 200)}' cannot be read ({reason(error)}).",
            "Name a PNG or JPEG of at most 1 MB.",
        ) from error


def _form(wanted: Form | None, out: Path) -> Form:
    """What the file's name says is what is written.

    Raises:
        RetortError: the name says nothing Retort writes, or something else than was asked for.
    """
    suffix = out.suffix.lower().removeprefix(".")
    named = next((form for form in FORMS if form == ("html" if suffix == "htm" else suffix)), None)
    if named is None and (wanted is None or suffix):
        name = one_line(out.name, 80)
        raise RetortError(f"'{name}' does not say which kind of report to write.", f"Let its name end in {_SUFFIXES}.")
    if wanted is not None and named not in (None, wanted):
        raise RetortError(
            f"'--format {wanted}' and the name '{one_line(out.name, 80)}' say different things.",
            f"Leave '--format' out, or let the name end in .{wanted}.",
        )
    return wanted or named or "html"


def register(one: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    one.add_argument("run", metavar="RUN")
    one.add_argument("--format", choices=list(FORMS), help="default: what the name of FILE says")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"its name ends in {_SUFFIXES}")
    one.add_argument(
        "--pick", action="append", metavar="KEY", help="a candidate, by the beginning of its key; repeat it"
    )
    one.add_argument(
        "--text",
        action="append",
        metavar="ID",
        help="texts saved on the Compare page, by the id in their address, ID.N for prompt N of a list; repeat it",
    )
    one.add_argument("--headline", default="", metavar="TEXT", help="default: proposed from the figures")
    one.add_argument(
        "--audience", choices=["executives", "engineers"], default="executives", help="default: executives"
    )
    one.add_argument(
        "--price",
        type=_amount,
        metavar="NUMBER",
        help="price of the machine for an hour; default: no money is estimated",
    )
    one.add_argument("--currency", type=_currency, default="USD", metavar="CODE", help="of the price; default: USD")
    one.add_argument(
        "--watts",
        type=_amount,
        metavar="NUMBER",
        help="power the machine draws; default: no energy of a million tokens is estimated",
    )
    one.add_argument(
        "--traffic", type=_amount, metavar="NUMBER", help="million tokens a month that savings are told for"
    )
    one.add_argument("--title", default="", metavar="TEXT", help="default: the question of the study")
    one.add_argument("--author", default="", metavar="TEXT", help="who signs it")
    one.add_argument("--accent", default="", metavar="COLOUR", help="its colour, as #0072B2")
    one.add_argument("--logo", type=Path, metavar="FILE", help="a PNG or JPEG of at most 1 MB")
    one.add_argument(
        "--x", metavar="METRIC", help="the cost of the chart, as the Trade-offs page has it in its address"
    )
    one.add_argument("--y", metavar="METRIC", help="quality on the chart")
    one.add_argument(
        "--limit",
        action="append",
        type=_limit,
        metavar="METRIC=NUMBER",
        help="a limit: sizes in MB, parameters in millions, shares in percent; repeat it",
    )


def _amount(text: str) -> float:
    """A number above 0 and at most a million, as `core.report.costs.Prices` takes it."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is not a number above 0 and at most a million")
    return value


def _limit(text: str) -> tuple[str, float]:
    """A metric and its limit in the metric's own unit."""
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    known = name in METRICS or metric(name).role == "quality"  # of tasks that only a recipe names
    if not known or not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text[:60]}' is no limit: write one such as disk_bytes=200")
    return name, value * limit_unit(name)[1]


def _currency(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}|[$\u20ac\u00a3\u00a5]", text):
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is no currency: write a code such as USD")
    return text
