"""A recommendation in plain sentences, the same on every surface, and what to try next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.analysis.differences import difference
from core.analysis.given_up import LOSS, amount, lowered
from core.analysis.limits import bound_words
from core.analysis.promised_vs_measured import share_words, sparsity_of
from core.analysis.recommendation import Offer, Recommendation
from core.recipe.results import TRAINED
from core.registry.metrics import metric

_SHORT = {
    "disk_bytes": "file",
    "memory_bytes": "memory",
    "peak_memory_bytes": "peak memory",
    "decode_ms": "token",
    "prefill_ms": "prompt",
}
"""What a cost is called beside its change: 'file -8 %', 'token -9 %' (the time of one)."""


@dataclass(frozen=True)
class Advice:
    """What to try next."""

    kind: Literal["recover", "remove", "more", "longer"]
    sentence: str
    key: str = ""
    """The candidate it is about."""


def sentence(told: Recommendation) -> str:
    """What to take, what it saves and gives up, and what else there is."""
    return " ".join(sentences(told))


def sentences(told: Recommendation) -> list[str]:
    """The same one by one: first what to take, or that nothing qualifies."""
    said = _first(told)
    if told.best is not None and told.safe is not None and told.best.given_up.high is not None:
        reaches = amount(told.measure, told.best.given_up.high)
        said.append(f"Its interval reaches {reaches}; {_named(told, told.safe)} keeps the limit with all of it.")
    if told.best is not None and told.next is not None:
        said.append(f"Smaller still: {_named(told, told.next)}.")
    if told.best is not None:
        said.append(_at_no_loss(told, told.best))
    return said


def about(told: Recommendation, key: str) -> str:
    """One candidate in the same words; '' for one that has no figures to decide by."""
    offer = next((o for o in told.offers if o.key == key), None)
    if offer is None:
        return ""
    where = "within" if offer.keeps else "beyond"
    return f"{_named(told, offer)}: {where} {limit_words(told)}."


def saving(told: Recommendation, offer: Offer) -> str:
    """'file -8 %, token -9 %': the cost that decides, then size or time."""
    other = ("decode_ms",) if told.cost not in ("decode_ms", "prefill_ms") else ("disk_bytes",)
    said = [_change(told, offer, m) for m in (told.cost, *other)]
    return ", ".join(s for s in said if s)


def limit_words(told: Recommendation) -> str:
    """'+5 % loss', or the reader's own limits."""
    if told.allowed is None:
        return "; ".join(bound_words(m, limit) for m, limit in told.limits)
    if told.measure == LOSS:
        return f"{amount(LOSS, told.allowed)} loss"
    return f"{amount(told.measure, told.allowed)} of {lowered(metric(told.measure).label)}"


def advice(told: Recommendation) -> Advice | None:
    """What to try next; None where the figures leave nothing to try."""
    if told.next is None:
        if told.best is not None:
            return None
        return Advice("remove", "To become smaller, remove layers or narrow them: zeros alone save no room.")
    if told.allowed is None and all(metric(m).role == "cost" for m, _ in told.limits):
        return Advice("more", "Loosen a limit, or remove more of the model.")
    name = told.next.candidate.label
    if told.next.candidate.method in TRAINED:
        return Advice("longer", f"{name} is trained already: train it longer, or remove less of the model.")
    return Advice("recover", f"Train {name} by the original: what it gives up may come back.", told.next.key)


def _first(told: Recommendation) -> list[str]:
    inside = f"Within {limit_words(told)}" if told.allowed is not None else f"Within your limits ({limit_words(told)})"
    if told.best is not None:
        return [f"{inside}: {_named(told, told.best)}."]
    if told.next is not None:
        said = [f"Nothing here is smaller {lowered(inside)}.", f"The closest is {_named(told, told.next)}."]
    else:
        costs = metric(told.cost)
        lower = "faster" if costs.unit == "ms" else "smaller"
        said = [f"Nothing here is {lower} than the original ({lowered(costs.label)})."]
    return [*said, *_sparsest(told, inside)]


def _sparsest(told: Recommendation, inside: str) -> list[str]:
    if told.sparsest is None:
        return []
    sparsity = sparsity_of(told.sparsest.candidate)
    zeros = "" if sparsity is None else f"{share_words(sparsity.value / 100.0)} zeros, "
    name = told.sparsest.candidate.label
    return [f"The sparsest {lowered(inside)} is {name} ({zeros}{told.sparsest.given_up.words}); zeros save no room."]


def _at_no_loss(told: Recommendation, best: Offer) -> str:
    if best.given_up.untold:
        return f"Whether quality was lost cannot be told ({best.given_up.untold})."
    if told.free is None:
        return "Nothing here is smaller at no loss."
    if told.free.key == best.key:
        return "Its loss of quality is within the error."
    return f"At no loss beyond the error: {told.free.candidate.label} ({saving(told, told.free)})."


def _named(told: Recommendation, offer: Offer) -> str:
    """'Remove 2 layers (file -8 %, token -9 %, loss +3.9 %)'."""
    parts = [p for p in (saving(told, offer), offer.given_up.words) if p]
    return f"{offer.candidate.label} ({', '.join(parts)})"


def _change(told: Recommendation, offer: Offer, metric_id: str) -> str:
    change = difference(offer.candidate, told.baseline, metric_id)
    if change is None or change.change == "not comparable":
        return ""
    name = _SHORT.get(metric_id) or lowered(metric(metric_id).label)
    return f"{name} {change.change}" if change.better is not None else f"{name} as before"
