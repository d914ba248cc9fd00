"""What changes for those who use a model, in words that need no metric."""

from __future__ import annotations

import math

from core.analysis.differences import Difference, difference
from core.analysis.given_up import LOSS, amount
from core.analysis.promised_vs_measured import find
from core.analysis.recommendation import Offer
from core.recipe.results import Result
from core.registry.formatting import in_full
from core.registry.measurement import Measurement
from core.report.model import Report
from core.report.slide import Slide
from core.report.text import plain

LOSS_MEANS = "Loss: how surprised the model is by text it has not seen. Lower is better."
_NOT_ASKED = "Nobody counted right and wrong answers: put your own questions to it before you decide."


def users(report: Report, candidate: Result, offer: Offer | None) -> Slide | None:
    """The answers that change, then the words; None where no quality was compared."""
    said = [(m, d) for m, d in _tasks(report, candidate) if d.original is not None]
    lines = [_questions(m, d) for m, d in said]
    notes = [f"{d.label}: {in_full(m)}; {d.change}{f'; {d.evidence}' if d.evidence else ''}." for m, d in said]
    big, lead = (f"{_of_hundred(said[0][0].value)} of 100", lines[0]) if said else ("", "")
    lines = lines[1:]
    if offer is not None and offer.given_up.measure == LOSS:
        told = _loss(offer)
        if big:
            lines.append(f"{told} {LOSS_MEANS}")
        else:
            big, lead = amount(LOSS, offer.given_up.value), told
            lines += [LOSS_MEANS, _NOT_ASKED]
    agreed = find(candidate, "top1_agreement")
    if agreed is not None and math.isfinite(agreed.value):
        lines.append(f"Of 100 next words it chooses {_whole(agreed.value)} as the original does.")
        notes.append(f"The same next word as the original: {in_full(agreed)}.")
    if not big:
        return None
    return Slide(
        "users", "What changes for users", tuple(map(_line, lines)), big=big, lead=_line(lead), notes=_all(notes)
    )


def _all(lines: list[str]) -> tuple[str, ...]:
    return tuple(map(_line, lines))


def _line(text: str) -> str:
    return plain(text, 400)


def _tasks(report: Report, candidate: Result) -> list[tuple[Measurement, Difference]]:
    if report.baseline is None:
        return []
    measured = [m for m in candidate.measurements if m.metric == "accuracy" or m.metric.startswith("accuracy:")]
    compared = [(m, difference(candidate, report.baseline, m.metric)) for m in measured if 0.0 <= m.value <= 1.0]
    return [(m, d) for m, d in compared if d is not None]


def _questions(m: Measurement, d: Difference) -> str:
    """'Of 100 questions (PIQA) it answers 60 rightly instead of 68.'"""
    assert d.original is not None
    task = d.label.removesuffix("accuracy").strip()
    which = f" ({task})" if task and d.label != task else ""
    now, was = _of_hundred(m.value), _of_hundred(d.original)
    if d.better is None:
        return f"Of 100 questions{which} it answers {now} rightly; the original {was}: no difference beyond the error."
    return f"Of 100 questions{which} it answers {now} rightly instead of {was}."


def _of_hundred(share: float) -> str:
    return _whole(100.0 * share)


def _whole(value: float) -> str:
    return str(math.floor(value + 0.5))


def _loss(offer: Offer) -> str:
    lost = offer.given_up
    if lost.untold:
        return f"Whether its loss on new text changed cannot be told ({lost.untold})."
    if lost.none:
        return "It reads new text as well as the original, as far as the measurement can tell."
    if lost.value < 0.0:
        return f"Its loss on new text changes by {amount(LOSS, lost.value)}: it is surer of the next word."
    return (
        f"Its loss on new text grows by {amount(LOSS, lost.value).removeprefix('+')}: it is less sure of the next word."
    )


def range_of_hundred(m: Measurement) -> str:
    """'57 to 64'; '' where no error is known."""
    if m.low is None or m.high is None or not m.low < m.high:
        return ""
    return f"{_of_hundred(m.low)} to {_of_hundred(m.high)}"
