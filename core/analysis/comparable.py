"""Whether two studies can stand on one chart: the same dense model, judged and timed in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.registry.formatting import show
from core.registry.measurement import Measurement, find_metric
from core.registry.metrics import metric

_TOLD: Mapping[str, str] = {
    "corpus": "text",
    "split": "part of the text",
    "window": "window in tokens",
    "windows": "number of windows",
    "place": "where windows lie",
    "begins": "framing",
    "tokens": "number of tokens",
    "kind": "kind of measurement",
    "task": "task",
    "items": "number of items",
    "shots": "number of examples",
    "scorer": "scorer",
    "prompt": "prompt in tokens",
    "new_tokens": "new tokens",
    "threads": "threads",
    "method": "way of timing",
    "of": "what is counted",
    "how": "what is counted",
    "formula": "formula",
    "watts": "power in watts",
}
"""Settings that make a figure another one, and their names. The batch of a latency is one, too."""

_SAME_MODEL = 0.005
"""Quality of a dense model measured twice in the same way; it differs by more only where the models do."""


class Dense(Protocol):
    """The baseline of a study: a `Result`."""

    @property
    def key(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def measurements(self) -> Sequence[Measurement]: ...


def why_apart(reference: Dense | None, other: Dense | None, metric_ids: Sequence[str]) -> list[str]:
    """What differs between two studies for these metrics, a phrase each; empty where they can be drawn together.

    `reference` and `other` are the dense baselines measured in them. What counts is what was recorded beside the
    figures, not what was asked for.
    """
    if reference is None or other is None:
        return ["no dense baseline is measured yet"]
    if reference.key == other.key:
        return []
    if reference.model != other.model:
        return [f"its model is {other.model} and not {reference.model}"]
    found: list[str] = []
    for name in metric_ids:
        mine, theirs = find_metric(other.measurements, name), find_metric(reference.measurements, name)
        if mine is None or theirs is None:
            if mine is not theirs:
                found.append(f"{metric(name).label.lower()} was measured in one of the two only")
            continue
        found += _settings_apart(mine, theirs)
    return list(dict.fromkeys(found)) or _values_apart(reference, other, metric_ids)


def _settings_apart(mine: Measurement, theirs: Measurement) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        ("device", mine.device, theirs.device),
        ("dtype", mine.dtype, theirs.dtype),
    ]
    told = dict(_TOLD)
    if metric(mine.metric).role == "cost":
        told["batch"] = "batch"
    machines = mine.settings.get("machine"), theirs.settings.get("machine")
    if all(machines):  # earlier versions recorded none
        pairs.append(("machine", *machines))
    pairs += [(words, mine.settings.get(key), theirs.settings.get(key)) for key, words in told.items()]
    label = metric(mine.metric).label.lower()
    contents = mine.settings.get("content"), theirs.settings.get("content")
    if None not in contents and contents[0] != contents[1] and not any(a != b for _, a, b in pairs):
        return [f"the text behind {label} was another one, though it has the same name"]
    return [f"the {words} of {label} {_said(a, b)}" for words, a, b in pairs if a != b]


def _said(mine: object, theirs: object) -> str:
    if mine is None or theirs is None:
        return "was recorded in one of the two only"
    a, b = (f"{v:,}" if isinstance(v, int) else str(v) for v in (mine, theirs))
    return f"is {a} and not {b}"


def _values_apart(reference: Dense, other: Dense, metric_ids: Sequence[str]) -> list[str]:
    """The same settings must give the same quality, or the files behind the model's name have changed."""
    for name in metric_ids:
        mine, theirs = find_metric(other.measurements, name), find_metric(reference.measurements, name)
        if metric(name).role != "quality" or mine is None or theirs is None:
            continue
        if abs(mine.value - theirs.value) > _SAME_MODEL * max(abs(mine.value), abs(theirs.value)):
            return [
                f"its dense model has {metric(name).label.lower()} {show(name, mine.value)} and not "
                f"{show(name, theirs.value)}, so the files behind the name differ"
            ]
    return []
