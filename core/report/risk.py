"""What may be otherwise than a report says: the reach of its errors, and what nobody measured."""

from __future__ import annotations

from core.analysis.paired_times import busy
from core.analysis.promised_vs_measured import find
from core.analysis.recommendation import Offer, Recommendation
from core.analysis.recommendation_words import limit_words
from core.recipe.results import Result
from core.report.model import Report
from core.report.quality_words import range_of_hundred
from core.report.slide import Slide
from core.report.text import plain

_UNKNOWN = {
    "decode_ms": "how fast it writes",
    "peak_memory_bytes": "the most memory it takes while it works",
    "energy_j_per_token": "the energy it takes",
}
"""What a reader would want to know, and is told is not."""


def risk(report: Report, candidate: Result, told: Recommendation | None, offer: Offer | None) -> Slide:
    """Errors first, then what was not measured, then what every measurement of this kind leaves open."""
    lines: list[str] = []
    big = lead = ""
    if offer is not None and told is not None and offer.given_up.interval:
        big = offer.given_up.interval
        measure = "loss" if offer.given_up.measure == "loss_change" else "accuracy"
        lead = f"With 95 % confidence the change of {measure} lies between these two."
        high = offer.given_up.high
        if told.allowed is not None and high is not None and offer.given_up.value <= told.allowed < high:
            lines.append(f"Its upper end is beyond the limit of {limit_words(told)}.")
    for m in candidate.measurements:
        if m.metric.startswith("accuracy") and (found := range_of_hundred(m)):
            lines.append(f"Right answers: {found} of 100, with 95 % confidence.")
    missing = [words for m, words in _UNKNOWN.items() if find(candidate, m) is None]
    if not any(m.metric.startswith("accuracy") for m in candidate.measurements):
        missing.append("right and wrong answers to questions")
    if missing:
        lines.append(f"Not measured: {'; '.join(missing)}.")
    estimated = [f.label.lower() for f in report.every_figure(candidate) if f.measurement.obtained == "estimated"]
    if estimated:
        lines.append(f"Estimated, not measured: {', '.join(dict.fromkeys(estimated))}.")
    if any(busy(m) for m in candidate.measurements):
        lines.append("Other work ran on the machine while it was timed.")
    lines += report.left_out()
    if find(candidate, "decode_ms") is not None:
        lines.append("Times hold for the machine they were taken on: others give other times.")
    lines.append("Your own questions may be harder or easier than the texts that were used here.")
    return Slide("risk", "The risk", tuple(plain(line, 400) for line in lines), big=plain(big, 60), lead=lead)
