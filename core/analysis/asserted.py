"""Whether a run's result keeps what its recipe asserts: a sentence each, with the figure's interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.analysis.given_up import LOSS, amount, given_up, lowered
from core.analysis.promised_vs_measured import find
from core.analysis.proportions import wilson
from core.analysis.weak_classes import class_changes
from core.recipe.asserts import Asserts
from core.recipe.results import Result
from core.registry.formatting import interval, shown, significant
from core.registry.metrics import metric

_UPPER = {
    "megabytes": ("disk_bytes", 1e6, "MB"),
    "prefill_ms": ("prefill_ms", 1.0, "ms"),
    "decode_ms": ("decode_ms", 1.0, "ms"),
}
_UNCERTAIN = "; its error does not rule the other out"


@dataclass(frozen=True)
class Verdict:
    """One assertion about one candidate."""

    candidate: str
    held: bool
    words: str

    @property
    def sentence(self) -> str:
        """'Kept: int8 weights, loss +1.2 % (+0.9 to +1.5 %), at most +5 % asserted.'"""
        return f"{'Kept' if self.held else 'Not kept'}: {self.candidate}, {self.words}."


def verdicts(asserts: Asserts | None, results: Sequence[Result], sweep: bool) -> list[Verdict]:
    """Every assertion, about the candidates it is for; of `some`, about the one that keeps most.

    Args:
        results: of the run, in order, the baseline among them.
        sweep: whether the recipe is a sweep.
    """
    if asserts is None:
        return []
    baseline = next((r for r in results if r.baseline), None)
    candidates = [r for r in results if not r.baseline]
    if not candidates:
        return [Verdict("the run", False, "it left no candidate")]
    of = asserts.of or ("some" if sweep else "last")
    judged = [_judge(asserts, c, baseline) for c in (candidates[-1:] if of == "last" else candidates)]
    if of == "every":
        return [v for one in judged for v in one]
    return max(judged, key=lambda one: (all(v.held for v in one), sum(v.held for v in one)))


def all_held(found: Sequence[Verdict]) -> bool:
    """Whether nothing asserted was broken."""
    return all(v.held for v in found)


def _judge(asserts: Asserts, candidate: Result, baseline: Result | None) -> list[Verdict]:
    return [Verdict(candidate.label, held, words) for held, words in _each(asserts, candidate, baseline)]


def _each(asserts: Asserts, candidate: Result, baseline: Result | None) -> Iterator[tuple[bool, str]]:
    if asserts.loss_percent is not None:
        yield _lost(candidate, baseline, LOSS, asserts.loss_percent / 100.0)
    if asserts.accuracy_points is not None:
        measured = [m.metric for m in candidate.measurements if m.metric.partition(":")[0] == "accuracy"]
        for one in measured or ["accuracy"]:
            yield _lost(candidate, baseline, one, asserts.accuracy_points / 100.0)
    if asserts.f1_points is not None:
        yield _lost(candidate, baseline, "f1", asserts.f1_points / 100.0)
    if asserts.agreement_percent is not None:
        yield _bounded(candidate, "top1_agreement", asserts.agreement_percent, 1.0, "%", least=True)
    if asserts.recall is not None or asserts.class_recall:
        yield from _recalls(asserts, candidate)
    for field, (metric_id, factor, unit) in _UPPER.items():
        limit = getattr(asserts, field)
        if limit is not None:
            yield _bounded(candidate, metric_id, limit, factor, unit, least=False)


def _lost(candidate: Result, baseline: Result | None, measure: str, most: float) -> tuple[bool, str]:
    found = given_up(candidate, baseline, measure) if baseline is not None else None
    asked = f"at most {amount(measure, most)} asserted"
    if found is None:
        name = "loss" if measure == LOSS else lowered(metric(measure).label)
        return False, f"{name} was not compared with the original's, {asked}"
    between = f" ({found.interval})" if found.interval else ""
    unsure = found.low is not None and found.high is not None and found.low <= most <= found.high
    return found.value <= most, f"{found.words}{between}, {asked}{_UNCERTAIN if unsure else ''}"


def _bounded(
    candidate: Result, metric_id: str, limit: float, factor: float, unit: str, *, least: bool
) -> tuple[bool, str]:
    name, m = lowered(metric(metric_id).label), find(candidate, metric_id)
    asked = f"at {'least' if least else 'most'} {significant(limit, 6)} {unit} asserted"
    if m is None:
        return False, f"{name} was not measured, {asked}"
    bound = limit * factor
    between = f" ({interval(m)})" if interval(m) else ""
    unsure = m.low is not None and m.high is not None and m.low < bound < m.high
    held = m.value >= bound if least else m.value <= bound
    return held, f"{name} {shown(m)}{between}, {asked}{_UNCERTAIN if unsure else ''}"


def _recalls(asserts: Asserts, candidate: Result) -> Iterator[tuple[bool, str]]:
    classes = {c.name: c for c in class_changes(candidate, None)}
    floors = {name: asserts.recall for name in classes if asserts.recall is not None}
    for name, floor in {**floors, **asserts.class_recall}.items():
        assert floor is not None
        asked = f"at least {significant(floor, 3)} asserted"
        if name not in classes:
            yield False, f"no text of the class '{name}' was judged, {asked}"
            continue
        one = classes[name]
        error = wilson(one.recall, one.texts)
        between = f" ({error.low:.2f} to {error.high:.2f})"
        unsure = error.low < floor < error.high
        words = f"recall of '{name}' {one.recall:.3f}, {one.right:,} of {one.texts:,} texts{between}, {asked}"
        yield one.recall >= floor, words + (_UNCERTAIN if unsure else "")
    if not classes and not asserts.class_recall:
        yield False, "classes were not judged, and a recall is asserted"
