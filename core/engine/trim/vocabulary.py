"""Trims the vocabulary of a model to the tokens that texts need: the tokenizer first, then the matrices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from core.base import json_io
from core.base.errors import Impossible
from core.engine.models.load import Loaded
from core.engine.models.tokenizer import FILE, open_tokenizer
from core.engine.prune.prune_report import PruneReport
from core.engine.trim.embeddings import role_tokens, with_tokens
from core.engine.trim.files import chat_templates, named_tokens, write_trimmed
from core.engine.trim.measured import Cut, compared, counted
from core.engine.trim.needed import needed_tokens
from core.engine.trim.rebuild import Rebuilt, framing, numbers, rebuilt
from core.recipe.trial_keys import hashed
from core.registry.formatting import percent, show_bytes


@dataclass(frozen=True)
class Wish:
    """What a vocabulary is trimmed to: the tokens that stand `floor` times or more in `texts`, which are `named` so."""

    texts: Sequence[str]
    floor: int
    named: str


def trim(loaded: Loaded, wish: Wish, judged: Iterable[str], cache: Path) -> tuple[Loaded, PruneReport]:
    """The model with the tokens that the texts need, and what is to be said about it. `loaded` stays as it is.

    Args:
        judged: texts that nothing was counted in, on which the new tokenizer is compared with the old.
        cache: where trimmed tokenizers are kept.

    Raises:
        Impossible: the model has no tokenizer.json, or one of a kind that Retort cannot trim.
    """
    before = loaded.model
    new = _tokens(loaded, wish)
    folder = cache / "tokenizers" / hashed([new.definition, new.former])
    if not folder.is_dir():
        write_trimmed(loaded.folder, folder, new)
    tokenizer = open_tokenizer(folder).tokenizer
    model = with_tokens(before, new.former)
    trimmed = replace(loaded, model=model, tokenizer=tokenizer, folder=folder)
    pair = _file(loaded.folder), _file(folder)
    report = PruneReport()
    _say(report, wish, new, before, model, compared(wish.texts, *pair), compared(judged, *pair))
    return trimmed, report


def _tokens(loaded: Loaded, wish: Wish) -> Rebuilt:
    path = loaded.folder / FILE
    if not path.is_file():
        raise Impossible(
            "The model has no tokenizer.json, so its vocabulary cannot be trimmed.",
            "Save its tokenizer with transformers' save_pretrained, which writes that file.",
        )
    definition: dict[str, Any] = json_io.load(path.read_bytes())
    known = numbers(definition)
    counts = counted(wish.texts, Tokenizer.from_file(str(path)))
    wanted = {t for t, count in counts.items() if count >= wish.floor}
    by_number = {number: token for token, number in known.items()}
    configs = [loaded.model.config, loaded.model.config.get_text_config(), _writes(loaded.model)]
    roles = {n for config in configs if config is not None for n in role_tokens(config)}
    roles |= framing(definition.get("post_processor"))
    padding = definition.get("padding")
    roles |= {padding["pad_id"]} if isinstance(padding, dict) else set()
    template = chat_templates(loaded.folder)
    always = named_tokens(loaded.folder) | {by_number[n] for n in roles if n in by_number}
    added = {
        str(t["content"])
        for t in definition.get("added_tokens") or ()
        if t.get("special") or t["content"] in always | wanted or t["content"] in template
    }
    return rebuilt(definition, needed_tokens(definition, wanted | (always & set(known))), added)


def _writes(model: Any) -> Any:
    """The generation settings of a model that writes text; None of another."""
    return getattr(model, "generation_config", None)


def _file(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / FILE))


def _say(
    report: PruneReport, wish: Wish, new: Rebuilt, before: torch.nn.Module, after: torch.nn.Module, own: Cut, other: Cut
) -> None:
    rows = int(before.config.get_text_config().vocab_size)  # type: ignore[union-attr, operator]
    kept, saved = len(new.former), _bytes(before) - _bytes(after)
    report.facts |= {
        "tokens": kept,
        "tokens_before": rows,
        "characters_as_before": other.share,
        "tokens_longer": other.longer,
        "own_characters_as_before": own.share,
        "own_tokens_longer": own.longer,
        "saved_bytes": saved,
    }
    seen = "once or more" if wish.floor == 1 else f"{wish.floor:,} times or more"
    report.note(
        f"The vocabulary has {kept:,} of {rows:,} tokens: those that stand {seen} in {wish.named}, special tokens, and "
        f"what is needed to write any text. That saves {show_bytes(saved)} of weights."
    )
    report.note(f"Of the texts it was trimmed to, {_cut(own)}. Of the evaluation text, {_cut(other)}.")


def _cut(cut: Cut) -> str:
    return f"{percent(cut.share, 2)} of the characters are cut as before, in {percent(cut.longer, 2)} more tokens"


def _bytes(model: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())
