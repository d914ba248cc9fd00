"""What candidates and models are called for those who need not know the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.analysis.promised_vs_measured import find, share_words, sparsity_of
from core.recipe.results import Result
from core.registry.methods import method

_DEEPEST = 8  # steps that a name goes back


def renamed(results: Sequence[Result]) -> list[Result]:
    """The same candidates under plain names, each with one of its own."""
    by_key = {r.key: r for r in results}
    found: list[Result] = []
    used: dict[str, int] = {}
    for r in results:
        name = _name(r, by_key)
        used[name] = used.get(name, 0) + 1
        own = name if used[name] == 1 else f"{name}, variant {used[name]}"
        found.append(r.model_copy(update={"label": own}))
    return found


def model_name(reference: str) -> str:
    """'smollm2-135m' of 'sample:smollm2-135m'; what was made here has no name of its own."""
    kind, _, rest = reference.partition(":")
    if kind == "run":
        return "a model made here"
    name = (rest or kind).partition("@")[0].rstrip("/\\").replace("\\", "/")
    return name.rpartition("/")[2] or "the model"


def _name(r: Result, by_key: Mapping[str, Result], depth: int = 0) -> str:
    if r.baseline:
        return "The original"
    own = _own(r, next((o for o in by_key.values() if o.baseline), None))
    before = by_key.get(r.parent or "")
    if before is None or before.baseline or depth > _DEEPEST:
        return own[0].upper() + own[1:]
    return f"{_name(before, by_key, depth + 1)}, then {own}"


def _own(r: Result, dense: Result | None) -> str:
    if r.method == "distil":
        return "trained by a teacher"
    if r.method == "finetune":
        return "trained further"
    if r.method == "trim":
        return "with the words its texts need"
    if r.method == "quantise":
        return "stored in 8 bits"
    sparsity = sparsity_of(r)
    known = method(r.method)
    if sparsity is not None and (known is None or not known.structured):
        return f"{share_words(sparsity.value / 100.0)} of the weights set to zero"
    layers = ((r.prune or {}).get("target") or {}).get("remove_layers")
    if isinstance(layers, int) and layers > 0:
        return f"{layers} layer{'s' if layers > 1 else ''} removed"
    mine, all_of = find(r, "parameters"), find(dense, "parameters") if dense is not None else None
    if mine is not None and all_of is not None and 0 < mine.value < all_of.value:
        return f"{share_words(1.0 - mine.value / all_of.value)} of the model removed"
    return "a variant of the model"
