"""The folder of a tokenizer whose vocabulary was trimmed: every file that numbers or lists tokens follows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.base.durable_files import replacing_folder
from core.engine.models.tokenizer import FILE
from core.engine.models.tokenizer_files import SETTINGS, copy_tokenizer
from core.engine.trim.bpe import pair_of
from core.engine.trim.rebuild import Rebuilt

_ADDED, _ROLES, _WORDS, _LINES, _MERGES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
_WHOLE = ("*.model", "tekken.json", "bpe.codes", "dict.txt", "*.tiktoken")
"""Vocabularies in forms of their own, which would still hold every token: readers take tokenizer.json instead."""


def write_trimmed(source: Path, target: Path, new: Rebuilt) -> None:
    """Puts the files of the tokenizer in `source` into the folder `target`, with the tokens of `new`."""
    with replacing_folder(target, flush=False) as folder:
        copy_tokenizer(source, folder)
        for pattern in _WHOLE:
            for path in folder.glob(pattern):
                path.unlink()
        _write(folder / FILE, new.definition)
        _follow(folder, new)


def _follow(folder: Path, new: Rebuilt) -> None:
    """The other files that number tokens."""
    number = new.number
    settings, roles, added = (_read(folder / name) for name in (SETTINGS, _ROLES, _ADDED))
    stay = set(new.definition["model"]["vocab"]) if isinstance(new.definition["model"]["vocab"], dict) else set()
    stay |= {str(piece[0]) for piece in new.definition["model"]["vocab"]} if not stay else set()
    stay |= {str(t["content"]) for t in new.definition["added_tokens"]}
    if settings is not None:
        described = settings.get("added_tokens_decoder")
        if isinstance(described, dict):
            kept = {number[int(old)]: token for old, token in described.items() if int(old) in number}
            settings["added_tokens_decoder"] = {str(i): kept[i] for i in sorted(kept)}
        _write(folder / SETTINGS, _without(settings, stay))
    if roles is not None:
        _write(folder / _ROLES, _without(roles, stay))
    if added is not None:
        _write(folder / _ADDED, {token: number[old] for token, old in added.items() if old in number})
    _lists(folder, new.definition["model"])


def _lists(folder: Path, model: Mapping[str, Any]) -> None:
    """The vocabulary and the merges in files of their own, where the folder had them."""
    words = model["vocab"] if isinstance(model["vocab"], dict) else {}
    if (folder / _WORDS).is_file():
        _write(folder / _WORDS, words)
    if (folder / _LINES).is_file():
        (folder / _LINES).write_text("".join(f"{t}\n" for t in words), "utf-8")
    if (folder / _MERGES).is_file():
        merges = (" ".join(pair_of(m)) for m in model.get("merges") or ())
        (folder / _MERGES).write_text("#version: 0.2\n" + "".join(f"{m}\n" for m in merges), "utf-8")


def named_tokens(folder: Path) -> set[str]:
    """Every token that the tokenizer's settings give a role."""
    found: set[str] = set()
    for name in (SETTINGS, _ROLES):
        found |= set(_named(_read(folder / name) or {}))
    return found


def chat_templates(folder: Path) -> str:
    """The text of all chat templates beside a tokenizer."""
    template = (_read(folder / SETTINGS) or {}).get("chat_template")
    paths = [*folder.glob("*.jinja"), *folder.glob("additional_chat_templates/*.jinja")]
    return json.dumps(template, ensure_ascii=False) + "".join(p.read_text("utf-8") for p in paths)


def _named(settings: Any) -> Iterator[str]:
    if isinstance(settings, list):
        for value in settings:
            yield from [value] if isinstance(value, str) else _named(value)
    if isinstance(settings, dict):
        if isinstance(settings.get("content"), str):
            yield settings["content"]
        for name, value in settings.items():
            if name.endswith("_token") and isinstance(value, str):
                yield value
            elif name.endswith(("_token", "special_tokens")):
                yield from _named(value)


def _without(settings: dict[str, Any], stay: set[str]) -> dict[str, Any]:
    """Settings whose lists of further special tokens name only such as are still there."""
    found = dict(settings)
    for name in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(settings.get(name), list):
            found[name] = [t for t in settings[name] if (t["content"] if isinstance(t, dict) else t) in stay]
    return found


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def _write(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
