"""A tokenizer.json with some of its tokens, numbered anew, and everything else as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from core.engine.trim.bpe import kept_merges


@dataclass(frozen=True)
class Rebuilt:
    """A tokenizer definition, and the former number of each of its tokens, in their new order."""

    definition: dict[str, Any]
    former: list[int]

    @property
    def number(self) -> dict[int, int]:
        """The new number of each former one that stays."""
        return {old: new for new, old in enumerate(self.former)}


def numbers(definition: Mapping[str, Any]) -> dict[str, int]:
    """Every token of a parsed tokenizer.json with its number: those of its model, and those added to it."""
    vocabulary = definition["model"]["vocab"]
    own = vocabulary if isinstance(vocabulary, dict) else {piece: i for i, (piece, _) in enumerate(vocabulary)}
    return {**own, **{str(t["content"]): int(t["id"]) for t in definition.get("added_tokens") or ()}}


def rebuilt(definition: Mapping[str, Any], needed: Set[str], added: Set[str]) -> Rebuilt:
    """The same tokenizer with the tokens `needed` of its model and `added` of those added to it.

    The order stays. Tokens that were added beyond the model's own come last, where the tokenizers library puts them.
    """
    new = copy.deepcopy(dict(definition))
    model, known = new["model"], numbers(definition)
    stays = needed | added
    if isinstance(model["vocab"], dict):
        own = sorted((t for t in model["vocab"] if t in stays), key=lambda t: known[t])
        model["vocab"] = {t: i for i, t in enumerate(own)}
    else:
        kept = [entry for entry in model["vocab"] if entry[0] in stays]
        own = [str(entry[0]) for entry in kept]
        if isinstance(model.get("unk_id"), int):
            model["unk_id"] = own.index(str(model["vocab"][model["unk_id"]][0]))
        model["vocab"] = kept
    if "merges" in model:
        model["merges"] = kept_merges(model["merges"], set(own))
    beyond = sorted((t for t in added if t not in set(own)), key=lambda t: known[t])
    order = [*own, *beyond]
    place = {known[t]: i for i, t in enumerate(order)}
    new["added_tokens"] = sorted(
        ({**t, "id": place[int(t["id"])]} for t in definition.get("added_tokens") or () if t["content"] in stays),
        key=lambda t: int(t["id"]),
    )
    if isinstance(new.get("padding"), dict):
        new["padding"]["pad_id"] = place[new["padding"]["pad_id"]]
    new["post_processor"] = _framed(new.get("post_processor"), place.__getitem__)
    return Rebuilt(new, [known[t] for t in order])


def framing(processor: Any) -> set[int]:
    """The numbers of the tokens that a tokenizer puts around a text."""
    found: set[int] = set()

    def note(number: int) -> int:
        found.add(number)
        return number

    _framed(processor, note)
    return found


def _framed(processor: Any, number: Callable[[int], int]) -> Any:
    """A post-processor with each token's number replaced."""
    if not isinstance(processor, dict):
        return processor
    new = dict(processor)
    if processor.get("type") == "TemplateProcessing":
        new["special_tokens"] = {
            name: {**one, "ids": [number(i) for i in one["ids"]]}
            for name, one in (processor.get("special_tokens") or {}).items()
        }
    for role in ("sep", "cls"):
        if isinstance(processor.get(role), list):
            token, old = processor[role]
            new[role] = [token, number(old)]
    if isinstance(processor.get("processors"), list):
        new["processors"] = [_framed(one, number) for one in processor["processors"]]
    return new
