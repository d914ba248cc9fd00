"""Two runs side by side: what their recipes, versions and figures differ in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.analysis.differences import UNTOLD, p_words
from core.analysis.paired_times import Ratio, ratio_of, timed, words
from core.analysis.promised_vs_measured import mixed
from core.analysis.statistics import SIGNIFICANT, mcnemar, paired_interval
from core.analysis.time_references import asked
from core.recipe.results import Result
from core.registry.formatting import interval, shown
from core.registry.measurement import Measurement, few_windows
from core.registry.metrics import metric

ABSENT = "not given"
MIXED = "cannot be compared: one was measured and the other estimated"
_RATIO = "_ratio"


@dataclass(frozen=True)
class RunChange:
    """A place where two documents differ. A side that lacks it says `ABSENT`; the others are JSON."""

    path: str
    left: str
    right: str


def changes(left: Mapping[str, object], right: Mapping[str, object]) -> list[RunChange]:
    """Every leaf that differs, in the order of the left document and then of what only the right one has.

    Paths read like `sweep.grid[0].method[1]`. An empty list or mapping is a leaf.
    """
    mine, other = dict(leaves(left)), dict(leaves(right))
    return [
        RunChange(path, mine.get(path, ABSENT), other.get(path, ABSENT))
        for path in dict.fromkeys([*mine, *other])
        if mine.get(path) != other.get(path)
    ]


def leaves(value: object, path: str = "") -> list[tuple[str, str]]:
    """Path and JSON of every leaf of a document, in its order."""
    if isinstance(value, Mapping) and (value or not path):
        return [leaf for k, v in value.items() for leaf in leaves(v, f"{path}.{k}" if path else str(k))]
    if isinstance(value, list | tuple) and value:
        return [leaf for i, v in enumerate(value) for leaf in leaves(v, f"{path}[{i}]")]
    return [(path, json.dumps(value, ensure_ascii=False))]


def versions(left: Sequence[Result], right: Sequence[Result]) -> list[RunChange]:
    """What `environment` says that differs between the candidates of two runs."""
    return changes(environment(left), environment(right))


def environment(results: Sequence[Result]) -> dict[str, str]:
    """Versions, contents of inputs, devices and number formats of candidates; several are joined by commas."""
    found: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.versions.items():
            found.setdefault(name, set()).add(version)
        for name, content in result.inputs.items():
            found.setdefault(f"content of {name}", set()).add(content)
        for m in result.measurements:
            found.setdefault("device", set()).add(m.device)
            found.setdefault("number format", set()).add(m.dtype)
    return {name: ", ".join(sorted(v for v in values if v)) for name, values in sorted(found.items())}


@dataclass(frozen=True)
class FigureChange:
    """One metric of a candidate that both runs have. `verdict` says what the pairs show, where they were kept."""

    label: str
    metric: str
    left: float
    right: float
    verdict: str
    shown: tuple[str, str]
    """Both as a person reads them; of a time its share of the dense model's, timed in turns."""

    @property
    def name(self) -> str:
        """What the figure is called everywhere."""
        time = self.metric.removesuffix(_RATIO)
        return metric(time).label + ("" if time == self.metric else ", of the dense model's")


def figures(left: Sequence[Result], right: Sequence[Result]) -> list[FigureChange]:
    """Every metric that matching candidates share: those made by the same step from the same starting point."""
    others = {_step(r): r for r in right}
    found: list[FigureChange] = []
    for mine in left:
        other = others.get(_step(mine))
        if other is None:
            continue
        theirs = {m.metric: m for m in other.measurements}
        comparable = (
            mine.model == other.model
            and mine.recipe.get("evaluation") == other.recipe.get("evaluation")
            and _read_the_same(mine, other)
        )
        for m in mine.measurements:
            n, same = theirs.get(m.metric), mine.key == other.key
            if n is not None and mixed(m, n):
                found.append(FigureChange(mine.label, m.metric, m.value, n.value, MIXED, _shown(m, n)))
            elif n is not None and timed(m):
                found += _times(mine.label, m, n, same)
            elif n is not None:
                verdict = "the same candidate" if same else _verdict(m, n) if comparable else ""
                found.append(FigureChange(mine.label, m.metric, m.value, n.value, verdict, _shown(m, n)))
    return found


def _shown(m: Measurement, n: Measurement) -> tuple[str, str]:
    """Both values as a person reads them; with more digits where they would look alike and are not."""
    mine, other = shown(m), shown(n)
    if mine == other and m.value != n.value:
        unit = metric(m.metric).unit
        mine, other = (f"{one.value:.9g} {unit}".strip() for one in (m, n))
    return mine, other


def _read_the_same(mine: Result, other: Result) -> bool:
    """Whether what both read under one name was the same; of older results it is not known, and not doubted."""
    return all(other.inputs.get(name, content) == content for name, content in mine.inputs.items())


def _times(label: str, m: Measurement, n: Measurement, same: bool) -> list[FigureChange]:
    """A time as the ratio to the dense model of its own run: milliseconds of different moments say nothing."""
    a, b = ratio_of(m), ratio_of(n)
    if a is None or b is None:
        return []
    verdict = "the same candidate" if same else _apart(a, b) if asked(m) == asked(n) else ""
    return [FigureChange(label, f"{m.metric}{_RATIO}", a.value, b.value, verdict, (words(a), words(b)))]


def _apart(a: Ratio, b: Ratio) -> str:
    """What two ratios with independent errors show."""
    gap = math.log(b.value / a.value)
    ends = ((b.value, b.low), (a.high, a.value)) if gap > 0 else ((b.high, b.value), (a.value, a.low))
    known = a.bounded and b.bounded
    if not known or abs(gap) <= math.hypot(*(math.log(upper / lower) for upper, lower in ends)):
        return "no difference beyond the error"
    return f"{'lower' if gap < 0 else 'higher'} in the second"


def _step(result: Result) -> str:
    return json.dumps([result.method, result.prune, result.distil, result.quantise, result.trim], sort_keys=True)


def _how(m: Measurement) -> dict[str, object]:
    """The settings of a measurement without its own comparison with a baseline."""
    return {k: v for k, v in m.settings.items() if k != "paired"}


def _verdict(left: Measurement, right: Measurement) -> str:
    """A paired test over the same windows or items; '' where they were not kept or cannot be paired.

    Windows of `loss`: the interval of the mean difference. Items that are right or wrong: McNemar.
    """
    a, b = left.samples, right.samples
    if not a or not b or len(a) != len(b) or _how(left) != _how(right):
        return ""
    if left.metric == "loss":
        gap = paired_interval(b, a)
        if not gap.known:
            return f"{UNTOLD} ({few_windows(len(a))})"
        same = gap.includes_zero
        words = "no difference beyond the error" if same else "lower" if gap.value < 0 else "higher"
        low, high = sorted((abs(gap.low), abs(gap.high)))
        apart = Measurement(metric="loss_change", value=abs(gap.value), unit="nats", low=low, high=high)
        return words if same else f"{words} in the second by {interval(apart) or shown(apart)}"
    if set(a) | set(b) <= {0.0, 1.0}:
        p = mcnemar(a, b)
        return f"{'differs' if p < SIGNIFICANT else 'no difference beyond the error'} (McNemar {p_words(p)})"
    return ""
