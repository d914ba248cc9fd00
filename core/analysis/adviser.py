"""Which technique fits: ranked plans for a situation, each with its reasons, its source and a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.analysis.adviser_formats import preferred_format, take_away
from core.analysis.adviser_plans import TECHNIQUES, Technique
from core.analysis.adviser_solver import LEAST_KEPT, Wish, solved
from core.analysis.differences import difference
from core.analysis.promised_vs_measured import Measured, find, verdict
from core.recipe.heal import with_usual_heal
from core.recipe.recipe import Recipe
from core.registry.formatting import show, show_bytes
from core.registry.methods import plain

Deployment = Literal["cloud", "edge", "phone", "realtime"]
Quality = Literal["nearly_all", "most", "some"]
Data = Literal["none", "text", "labels"]
Compute = Literal["minutes", "hours", "gpu"]

ROOM = 0.7
"""Share of the memory weights may take: the rest is for the cache, activations and everything else."""

_ROUNDED = 1.0001
"""Times a limit up to which it counts as kept: shares of the blocks are worked out to a thousandth."""


@dataclass(frozen=True)
class Subject:
    """The model in question, as far as advice needs it; from its anatomy."""

    reference: str
    parameters: int
    block_parameters: int
    layers: int
    experts: int
    encoder: bool
    adapted: bool = True
    """Whether Retort can take parts out of this architecture."""
    context: int | None = None
    pair: bool = False
    """Whether it has an encoder and a decoder, which Retort prunes and does not train."""


@dataclass(frozen=True)
class Situation:
    """What somebody has and wants."""

    subject: Subject
    deployment: Deployment = "cloud"
    quality: Quality = "most"
    data: Data = "none"
    compute: Compute = "minutes"
    memory_mb: float | None = None
    """Memory of the device the model shall run on; None: not the point."""
    latency: bool = False
    """Whether it is too slow as it is."""
    sparse_gpu: bool = False
    """A graphics card with 2:4 units, and software that uses them."""
    milliseconds: float | None = None
    """What a token may take on this machine; None: not the point."""
    dense_ms: float | None = None
    """What it takes as the model is, where that was measured on this machine."""
    formats: tuple[str, ...] = ()
    """Export formats this model can be written in, by id."""

    @property
    def weight_bytes(self) -> int:
        """In 16 bits."""
        return 2 * self.subject.parameters

    @property
    def room(self) -> float | None:
        """Bytes that the weights may take."""
        return None if self.memory_mb is None else ROOM * self.memory_mb * 1e6

    @property
    def fits(self) -> bool:
        return self.room is None or self.weight_bytes <= self.room

    @property
    def quick(self) -> bool:
        """Whether a token takes no longer than it may, as far as that is known."""
        return self.milliseconds is None or self.dense_ms is None or self.dense_ms <= self.milliseconds

    @property
    def wish(self) -> Wish:
        """The limits, for the solver."""
        of = self.subject
        return Wish(of.parameters, of.block_parameters, self.room, self.milliseconds, self.dense_ms)

    def answers(self) -> set[str]:
        """What counts for or against a technique, by the names `Technique.points` uses."""
        said = {f"{name}:{getattr(self, name)}" for name in ("deployment", "quality", "data", "compute")}
        return said | {name for name, true in self._wishes() if true}

    def _wishes(self) -> tuple[tuple[str, bool], ...]:
        return ("latency", self.latency or not self.quick), ("too_large", not self.fits)


CONDITIONS: Mapping[str, tuple[Callable[[Situation], bool], str]] = {
    "fits": (lambda s: s.memory_mb is not None and s.fits, "no memory was named that the model fits into"),
    "causal": (lambda s: not s.subject.encoder and not s.subject.pair, "it is for models that write text"),
    "adapted": (lambda s: s.subject.adapted, "Retort cannot take parts out of this architecture"),
    "dense": (lambda s: s.subject.experts < 2, "neurons inside experts cannot be taken out"),
    "layers": (lambda s: s.subject.layers > 2, "the model has too few layers to take some out"),
    "experts": (lambda s: s.subject.experts > 1, "the model is no mixture of experts"),
    "encoder": (lambda s: s.subject.encoder and not s.subject.pair, "it needs a text encoder, such as sample:minilm"),
    "text": (lambda s: s.data != "none", "it needs text to train on"),
    "labels": (lambda s: s.data == "labels", "it needs labelled texts"),
    "time": (lambda s: s.compute != "minutes", "it needs hours of a processor or a graphics card"),
    "sparse_gpu": (lambda s: s.sparse_gpu, "it needs a graphics card with 2:4 units"),
}
"""What a technique may need: whether it is there, and what is said where it is not."""

WORDS: Mapping[str, str] = {
    "deployment:cloud": "you serve it in the cloud",
    "deployment:edge": "it runs on an edge device",
    "deployment:phone": "it runs on a phone",
    "deployment:realtime": "it must answer in real time",
    "quality:nearly_all": "nearly all quality must stay",
    "quality:most": "most of the quality must stay",
    "quality:some": "quality may give way",
    "data:none": "you have no training data",
    "data:text": "you have text",
    "data:labels": "you have labelled texts",
    "compute:minutes": "you have minutes of computing",
    "compute:hours": "you have hours of a processor",
    "compute:gpu": "you have a graphics card",
    "latency": "it is too slow as it is",
    "too_large": "it does not fit as it is",
}


@dataclass(frozen=True)
class RankedPlan:
    """A technique for a situation."""

    technique: Technique
    score: int
    reasons: tuple[str, ...]
    """The answers that speak for it, strongest first."""
    size: str
    """What becomes of the weights, estimated from shapes."""
    fits: bool
    take_away: str
    """The format to take away where it will run; '' where any will do."""
    measured: str
    """What a candidate of this very model showed, or ''."""
    recipe: Recipe


def advise(
    situation: Situation, measured: Sequence[tuple[Measured, Measured]] = ()
) -> tuple[list[RankedPlan], list[str]]:
    """Plans, best first, and a sentence for each technique that is not possible here.

    Args:
        measured: candidates of the same model with their baselines; the best of a technique is named with it.
    """
    plans, refused = [], []
    for technique in (*_solved(situation), *TECHNIQUES):
        lacking = [text for met, text in (CONDITIONS[n] for n in technique.needs) if not met(situation)]
        if lacking:
            refused.append(f"{technique.title}: {' and '.join(lacking)}.")
        else:
            plans.append(_plan(technique, situation, measured))
    # What only zeroes goes last whatever its points: it serves none of these ends; what was worked out for the limits
    # goes first where it fits. Python's sort keeps ties in order.
    return sorted(
        plans, key=lambda p: (p.technique.id == "zeros", not p.fits, p.technique.id != "solved", -p.score)
    ), refused


def _plan(technique: Technique, situation: Situation, measured: Sequence[tuple[Measured, Measured]]) -> RankedPlan:
    counted = {a: technique.points[a] for a in situation.answers() if a in technique.points}
    reasons = sorted((a for a in counted if counted[a] > 0), key=lambda a: (-counted[a], a))
    left = _bytes_left(technique, situation)
    takes = situation.wish.milliseconds_at(1.0 if technique.kept is None else technique.kept)
    large = situation.room is not None and left > situation.room * _ROUNDED
    slow = situation.milliseconds is not None and takes is not None and takes > situation.milliseconds * _ROUNDED
    size = f"{show_bytes(situation.weight_bytes)} of 16-bit weights become about {show_bytes(left)} (estimated)."
    if left >= 0.999 * situation.weight_bytes:
        size = f"The weights stay at {show_bytes(situation.weight_bytes)} in 16 bits."
    if large:
        size += " That does not fit into the memory you named."
    if takes is not None and technique.kept is not None:
        size += f" A token takes about {show('decode_ms', takes)} instead of {show('decode_ms', situation.dense_ms)}"
        size += " (estimated from the parameters)."
    if slow:
        size += f" That is more than the {show('decode_ms', situation.milliseconds)} you named."
    return RankedPlan(
        technique,
        sum(counted.values()),
        tuple(WORDS[a] for a in reasons),
        size,
        not large and not slow,
        take_away(technique.byte_share < 1.0, situation.deployment, situation.formats),
        _own(technique, measured),
        recipe_of(technique, situation.subject),
    )


def _solved(situation: Situation) -> list[Technique]:
    of = situation.subject
    trains = situation.data != "none" and situation.compute != "minutes"
    trains = trains and not of.pair
    causal = not of.encoder and not of.pair
    found = solved(
        situation.wish,
        adapted=of.adapted,
        experts=of.experts > 1,
        causal=causal,
        trains=trains,
        export=preferred_format(situation.deployment, situation.formats),
    )
    return [] if found is None else [found]


def _bytes_left(technique: Technique, situation: Situation) -> float:
    subject = situation.subject
    blocks = subject.block_parameters * (1.0 if technique.kept is None else technique.kept)
    return 2 * ((subject.parameters - subject.block_parameters) + blocks * technique.byte_share)


def _own(technique: Technique, measured: Sequence[tuple[Measured, Measured]]) -> str:
    """The candidate of this technique with the least loss, in a sentence."""
    mine = [(c, b) for c, b in measured if plain(c.method) in technique.methods and find(c, "loss") and find(b, "loss")]
    if not mine:
        return ""
    best, dense = min(mine, key=lambda pair: _loss(pair[0]))
    change = difference(best, dense, "loss")
    assert change is not None
    return f"{best.label}: loss {change.shown} ({change.change}). {verdict(best, dense)}"


def _loss(candidate: Measured) -> float:
    found = find(candidate, "loss")
    return float("inf") if found is None else found.value


def recipe_of(technique: Technique, subject: Subject) -> Recipe:
    """The technique as a recipe for a model, ready to run."""
    window = min(256, subject.context or 256)
    data: dict[str, Any] = {
        "name": technique.title[:120],
        "model": subject.reference,
        "calibration": {"sequences": 32, "length": window},
        "evaluation": {"tokens": 8192, "window": window, **technique.evaluation},
        "latency": {"prompt": min(64, window // 2), "new_tokens": 8, "repeats": 5},
    }
    if technique.sweep is not None:
        return Recipe.model_validate(with_usual_heal({**data, "sweep": technique.sweep}))
    return Recipe.model_validate(with_usual_heal({**data, "steps": [_fitted(s, subject) for s in technique.steps]}))


def _fitted(step: dict[str, Any], subject: Subject) -> dict[str, Any]:
    """A step with what depends on the model filled in: a designed student's layers, and what it can read at once."""
    out = dict(step)
    if "design" in step:
        out["design"] = {"layers": max(1, round(subject.layers * 2 / 3))}
    if "recovery" in step:
        out["recovery"] = dict(step["recovery"])
    for holder in (out, out.get("recovery")):
        if holder and "data" in holder:
            length = min(holder["data"]["length"], subject.context or holder["data"]["length"])
            holder["data"] = {**holder["data"], "length": length}
    return out


def summary(situation: Situation, plans: Sequence[RankedPlan]) -> str:
    """One sentence on whether what was named can be reached, and by what; '' where nothing was named."""
    if situation.memory_mb is None and situation.milliseconds is None:
        return ""
    if situation.milliseconds is not None and situation.dense_ms is None:
        unknown = " What a token takes now was not measured on this machine yet, so the time is left out."
    else:
        unknown = ""
    if situation.fits and situation.quick:
        return f"It fits as it is.{unknown}"
    fitting = [p for p in plans if p.fits and p.technique.id != "nothing"]
    if fitting:
        more = f"; {len(fitting) - 1} more would" if len(fitting) > 1 else ""
        return f"As it is it does not fit. This would: {fitting[0].technique.title}{more}.{unknown}"
    least = situation.wish.least_bytes
    if situation.room is not None and least > situation.room:
        return (
            f"Nothing here fits: even int8 with {100 * LEAST_KEPT:.0f} % of the blocks takes {show_bytes(least)}, "
            f"which needs a device of {show_bytes(least / ROOM)}. Name more memory, or start from a smaller model."
            f"{unknown}"
        )
    return f"Nothing here is fast and small enough. Allow more time, or start from a smaller model.{unknown}"
