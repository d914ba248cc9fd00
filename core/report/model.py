"""What a report says, before it has a form: candidates, headline, figures, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from core.analysis.differences import Difference, between, difference
from core.analysis.given_up import LOSS
from core.analysis.limits import WithinLimits, bound_words, judged
from core.analysis.one_kind import one_kind
from core.analysis.paired_times import TIMES, busy, stray
from core.analysis.promised_vs_measured import find, verdict
from core.analysis.recommendation import Recommendation
from core.analysis.removed import BY_DEFINITION, REMOVED, with_derived
from core.analysis.time_references import aligned, references, sentences
from core.base.errors import RetortError
from core.base.text import one_line
from core.figures.points import drawn_costs, points_of
from core.recipe.results import Result
from core.registry.formatting import in_full, interval, shown, significant
from core.registry.measurement import Measurement
from core.registry.metrics import metric
from core.report.brand import Brand
from core.report.costs import MONEY_FORMULA, Prices, energy_per_million, money_per_million
from core.report.energy import energy_notes, with_power
from core.report.figure import Figure, settings_in_words
from core.report.outcome_notes import outcome_notes
from core.report.proposal import proposal, recommended
from core.report.said import Said
from core.report.shown_metrics import COSTS, FOR_EXECUTIVES, PLAIN_QUALITIES, QUALITIES, WISHED
from core.store import RunRow

Audience = Literal["executives", "engineers"]
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
MOST = 12
"""Candidates a report may show: one slide each, and each still gets a look."""
HEADLINE = 400
"""Characters of a headline."""


@dataclass(frozen=True)
class Report:
    """Everything a form (HTML, slides, table, JSON) needs. Texts are as users gave them: forms escape them."""

    run: RunRow
    results: tuple[Result, ...]
    """All candidates of the study, the baseline among them: the ground the chosen ones are seen on. Their times are
    comparable ones (core/analysis/paired_times.py), with what was measured in their settings."""
    chosen: tuple[Result, ...]
    headline: str
    audience: Audience
    prices: Prices
    asked: tuple[str, str] | None = None
    """Cost and quality the reader looks at; drawn where every chosen candidate has them."""
    limits: tuple[tuple[str, float], ...] = ()
    """Limits the reader set, in the metrics' own units."""
    share: float | None = None
    """How much quality may be given up (0.05: 5 %), where the reader says it."""
    said: Said = Said()
    """Texts of the models and votes on them (core/report/comparisons.py)."""
    brand: Brand = Brand()
    """Whose report it is."""

    @property
    def baseline(self) -> Result | None:
        """The dense model the figures are compared with."""
        return next((r for r in self.results if r.baseline), None)

    @property
    def letters(self) -> dict[str, str]:
        """What each chosen candidate is called, by its key: A, B, C."""
        return {c.key: chr(ord("A") + i) for i, c in enumerate(self.chosen)}

    @property
    def axes(self) -> tuple[str, str] | None:
        """Cost and quality of the trade-off chart: the first of each that every chosen candidate has.

        Engineers see first what the pages show first, the change of the loss against what is removed.
        The baseline has them too, unless it does something else (an encoder that became a classifier).
        """
        dense = [self.baseline] if self.baseline else []
        plain = self.audience == "executives"
        costs, qualities = (COSTS, PLAIN_QUALITIES) if plain else ((REMOVED, *COSTS), (LOSS, *QUALITIES))
        asked: list[tuple[str, ...]] = [(m,) for m in self.asked] if self.asked else [(), ()]
        if self.asked and self.asked[1] not in qualities and plain:
            asked[1] = ()
        x, y = (
            self._common(first, []) or self._common(ids, dense) or self._common(ids, [])
            for first, ids in zip(asked, (costs, qualities), strict=True)
        )
        return (x, y) if x and y else None

    @cached_property
    def placed(self) -> tuple[Result, ...]:
        """All candidates with what places them on a chart beside what was measured (core/analysis/removed.py)."""
        return tuple(with_derived(self.results))

    def _common(self, ids: Sequence[str], others: Sequence[Result]) -> str | None:
        keys = {r.key for r in (*self.chosen, *others)}
        return next((m for m in ids if keys <= self._drawn(m).keys()), None)

    def _drawn(self, metric_id: str) -> Mapping[str, Measurement]:
        """The figures that a chart can show, by candidate."""
        found = {r.key: m for r in self.placed if (m := find(r, metric_id)) is not None and not stray(m)}
        return one_kind(found).figures

    @property
    def caption(self) -> str:
        """How the times on the trade-off chart came about, and which energies it leaves out; empty without either."""
        if self.axes is None:
            return ""
        x, y = self.axes
        costs = drawn_costs(self.results, self._by_key(x), self._by_key(y))
        timings = sentences(references(self.results), x)
        left_out = costs.sentence({r.key for r in self.results if r.baseline})
        return " ".join(s for s in (timings, left_out) if s)

    @property
    def outcome(self) -> WithinLimits:
        """What keeps the reader's limits, among the candidates of the whole study."""
        points = points_of(self.placed, *self.axes) if self.axes and self.limits else []
        return judged([p for p in points if p.drawable], dict(self.limits), self._by_key)

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """What the figures of the whole study speak for."""
        return recommended(self.results, self.asked, self.limits, self.share)

    def _by_key(self, metric_id: str) -> dict[str, Measurement]:
        return {r.key: found for r in self.results if (found := find(r, metric_id)) is not None}

    def verdict(self, candidate: Result) -> str:
        """What was asked for and what was really gained."""
        dense = self.baseline
        return verdict(candidate, dense) if dense else "No baseline was measured in this study."

    def quality_sentence(self, candidate: Result) -> str:
        """What is lost, and whether that can be claimed."""
        dense_one = [self.baseline] if self.baseline else []
        measured = [m for m in QUALITIES if m not in BY_DEFINITION]
        asked = [self.asked[1]] if self.asked and self.asked[1] in measured else []
        y = self._common([*asked, *measured], dense_one) or self._common(measured, [])
        if y is None:
            return "Quality cannot be compared: the study has no common quality measurement."
        mine = find(candidate, y)
        change = difference(candidate, self.baseline, y) if self.baseline else None
        dense = find(self.baseline, y) if self.baseline else None
        assert mine is not None
        if dense is None or change is None:
            return f"{metric(y).label}: {in_full(mine)}; the original gives none to compare with."
        said = [change.change, *([f"95 % interval {interval(mine)}"] if interval(mine) else []), change.evidence]
        return f"{metric(y).label}: {shown(dense)} becomes {shown(mine)} ({'; '.join(s for s in said if s)})."

    def figures(self, candidate: Result) -> list[Figure]:
        """Every figure of this audience, then the estimates of money and energy."""
        if self.audience == "engineers":
            return self.every_figure(candidate)
        return [f for f in self.every_figure(candidate) if f.measurement.metric.partition(":")[0] in FOR_EXECUTIVES]

    def every_figure(self, candidate: Result) -> list[Figure]:
        """The same for whoever asks: nothing is left out."""
        return [
            Figure(m, candidate, self._change(candidate, m)) for m in (*candidate.measurements, *self._costs(candidate))
        ]

    def _costs(self, candidate: Result) -> list[Measurement]:
        """What a million tokens cost, from the comparable time of one."""
        decode = find(candidate, "decode_ms")
        money = money_per_million(decode, self.prices) if decode is not None else None
        energy = energy_per_million(decode, find(candidate, "energy_j_per_token"), self.prices)
        return [m for m in (money, energy) if m is not None]

    def notes(self) -> list[str]:
        """How the figures came about, and what was not measured."""
        recipe = self.run.recipe
        said = [f"Run {self.run.id} ({self.run.name}) on the model {self.run.model}.", *self.left_out()]
        if any(r.method not in ("dense", "quantise") for r in self.chosen):
            said.append(f"Calibration: {settings_in_words(recipe.get('calibration'))}.")
        said.append(f"Evaluation: {settings_in_words(recipe.get('evaluation'))}.")
        if recipe.get("latency"):
            said.append(f"Latency: {settings_in_words(recipe['latency'])}. Other machines give other times.")
        said += self._times()
        said.append("Ranges of quality are 95 % intervals: about the text and questions used here, not others.")
        said.append("A change is claimed only where it is larger than the error of the measurements.")
        if self.prices.per_hour is not None:
            price = f"{significant(self.prices.per_hour, 4)} {self.prices.currency} an hour"
            said.append(f"Money for a million tokens is estimated: {MONEY_FORMULA}, at {price} and one sequence.")
        said += energy_notes(self.chosen, self.prices)
        if self.outcome.sentence:
            bounds = "; ".join(bound_words(m, limit) for m, limit in self.limits)
            said.append(f"Limits: {bounds}. {self.outcome.sentence}")
        said += outcome_notes(self.run, self.results, self.chosen, self.baseline)
        missing = [metric(m).label.lower() for m in WISHED if not all(find(r, m) for r in self.chosen)]
        if self.prices.watts is not None:  # then energy is said to be estimated
            missing = [m for m in missing if m != metric("energy_j_per_token").label.lower()]
        if not any(m.metric.startswith("accuracy") for r in self.chosen for m in r.measurements):
            missing.append("accuracy on tasks")
        if missing:
            said.append(f"Not measured for all chosen candidates: {', '.join(missing)}.")
        for candidate in self.chosen:
            disturbed = [metric(m.metric).label.lower() for m in candidate.measurements if busy(m)]
            if disturbed:
                said.append(
                    f"{candidate.label}: other work ran on the machine while it was timed ({', '.join(disturbed)})."
                )
            alone = [m for m in candidate.measurements if m.metric in TIMES and stray(m)]
            if alone:
                said.append(f"{candidate.label}: its times cannot be compared, as it was timed without the original.")
            said += [f"{candidate.label}: {note}" for note in candidate.notes]
        return said

    def left_out(self) -> list[str]:
        """What a reader would take to be in the study and is not."""
        run, said = self.run, []
        if run.active or run.state != "done":
            state = "was not finished when this was made" if run.active else f"has not been finished ({run.state})"
            said.append(f"The run {state}: {run.trials_done} of {run.trials_total} candidates were measured.")
        if run.trials_failed:
            said.append(f"{run.trials_failed} of {run.trials_total} candidates failed and left no figures.")
        return said

    def _times(self) -> list[str]:
        """How a time came about, where the chosen ones have any."""
        timed = {m.metric for r in self.chosen for m in r.measurements}
        said = [ref.sentence for ref in references(self.results).values() if ref.metric in timed]
        return [*said, "Ranges of time are 95 % intervals of that ratio."] if said else []

    def _change(self, candidate: Result, m: Measurement) -> Difference | None:
        dense = None if candidate.baseline else self.baseline
        if dense is None:
            return None
        costs = self._costs(dense)
        if m.metric in {c.metric for c in costs}:
            return between(candidate, m, next(c for c in costs if c.metric == m.metric))
        return difference(candidate, dense, m.metric)


def build(
    run: RunRow,
    results: Sequence[Result],
    picks: Sequence[str] = (),
    *,
    headline: str = "",
    audience: Audience = "executives",
    prices: Prices | None = None,
    axes: tuple[str, str] | None = None,
    limits: Sequence[tuple[str, float]] = (),
    share: float | None = None,
    brand: Brand | None = None,
) -> Report:
    """A report on a study.

    Args:
        picks: keys of candidates or their beginnings (at least 6 characters); none: those the recommendation names.
        headline: one or two sentences; empty: proposed from the figures.
        axes: cost and quality to draw; None: the first that all of them have.
        limits: metric and limit, in the metric's own unit.
        share: how much quality may be given up (0.05: 5 %); None: the usual.
        brand: title, author, colour and logo; None: the usual ones.
    Raises:
        RetortError: nothing is finished, a pick is unknown or means two candidates, too many, a headline too long.
    """
    results = with_power(aligned(results), prices or Prices())
    candidates = [r for r in results if not r.baseline]
    if not candidates:
        raise RetortError("This study has no finished candidate yet.", "Wait for its first one, or choose another run.")
    if len(headline) > HEADLINE:
        raise RetortError(f"The headline is longer than {HEADLINE} characters.", "Say it in one or two sentences.")
    chosen = [_one(pick, candidates) for pick in dict.fromkeys(picks)]
    if len(chosen) > MOST:
        raise RetortError(f"A report shows at most {MOST} candidates.", "Choose the ones that matter.")
    told = recommended(results, axes, limits, share)
    named = [c for key in (told.shown if told else []) for c in candidates if c.key == key]
    chosen = chosen or named or candidates[-2:]  # of a chain of steps, where it ends
    words = headline.strip() or one_line(proposal(told, chosen, results, run), HEADLINE)
    return Report(
        run,
        tuple(results),
        tuple(chosen),
        words,
        audience,
        prices or Prices(),
        axes,
        tuple(limits),
        share,
        brand=brand or Brand(),
    )


def _one(pick: str, candidates: Sequence[Result]) -> Result:
    found = [c for c in candidates if len(pick) >= 6 and c.key.startswith(pick)]
    if len(found) != 1:
        what = "no candidate" if not found else "several candidates"
        raise RetortError(f"'{pick[:40]}' names {what} of this study.", "Use the keys that 'core runs --json' shows.")
    return found[0]
