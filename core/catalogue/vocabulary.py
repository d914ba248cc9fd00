"""How a tokenizer cuts text, under the name llama.cpp gives each way, and whether tokens can be taken out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.base.json_io import load
from core.base.text import one_line
from core.base.untrusted_files import read_bounded

_TOKENIZER_BYTES = 64_000_000
_TRIMMED = ("BPE", "WordPiece", "Unigram")

# The rule a family cuts words by, as its tokenizer.json states it -> llama.cpp's name for that rule.
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_RULES = {_QWEN2: "qwen2", _LLAMA3: "llama-bpe"}


def vocabulary_kind(folder: Path) -> str:
    """'gpt-2', 'smollm', 'qwen2' or 'llama-bpe' for byte-level BPE cut by these rules; '' for any other tokenizer."""
    path = folder / "tokenizer.json"
    try:
        return _kind(load(read_bounded(path, _TOKENIZER_BYTES)))
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return ""


def untrimmable(folder: Path) -> str:
    """Why the vocabulary of this model cannot be trimmed, as part of a sentence; '' where nothing speaks against it."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return "the model has no tokenizer.json"
    try:
        kind = load(read_bounded(path, _TOKENIZER_BYTES))["model"]["type"]
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return ""  # what cannot be read is said by whoever opens the tokenizer
    if kind in _TRIMMED:
        return ""
    return f"its tokenizer is of the kind {one_line(str(kind), 40)}, and only {', '.join(_TRIMMED)} are known"


def _kind(tokenizer: dict[str, Any]) -> str:
    model, cut = tokenizer["model"], tokenizer["pre_tokenizer"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        return ""
    if (tokenizer.get("normalizer") or {}).get("type", "NFC") != "NFC":
        return ""
    steps = cut["pretokenizers"] if cut["type"] == "Sequence" else [cut]
    kinds = [step["type"] for step in steps]
    if kinds[-1] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return ""
    if len(steps) == 1:
        return "gpt-2" if steps[0].get("use_regex", True) else ""
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and steps[0].get("behavior") == "Isolated" and not steps[1].get("use_regex"):
        return _RULES.get(steps[0]["pattern"].get("Regex", ""), "")
    return ""
