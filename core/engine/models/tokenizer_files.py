"""Writing a tokenizer as it came: its own files, in words that older versions of transformers read as well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.engine.models.tokenizer import FILE, PLAIN, SOURCE, reads_alike

SETTINGS = "tokenizer_config.json"
_PATTERNS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.jinja",
    "chat_template.json",
    "tekken.json",
    "bpe.codes",
    "dict.txt",
    "*.tiktoken",
)
_OF_ONE_VERSION = ("backend", "is_local", "local_files_only", "name_or_path")
"""Settings that only transformers 5 writes, about how it happened to load the tokenizer."""
_GENERAL = "PreTrainedTokenizerFast"
"""The class that every version has, and that reads tokenizer.json as it is."""


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Puts the tokenizer's files into `folder`: those it was opened from, or what transformers writes for it.

    Raises:
        RetortError: what was written cuts text otherwise than the tokenizer.
    """
    source = getattr(tokenizer, SOURCE, None)
    if source is not None and (Path(source) / SETTINGS).is_file():
        copy_tokenizer(Path(source), folder)
    else:
        tokenizer.save_pretrained(folder)
    tidy_settings(folder / SETTINGS, general=bool(getattr(tokenizer, PLAIN, False)))
    if (folder / FILE).is_file() and not reads_alike(tokenizer, Tokenizer.from_file(str(folder / FILE))):
        raise RetortError(
            "The tokenizer that was written cuts text otherwise than the one that was read.",
            "Nothing was saved: report this with the model's tokenizer files.",
        )


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copies the files of a tokenizer from one model folder to another."""
    for pattern in _PATTERNS:
        for path in source.glob(pattern):
            if path.is_file() and not path.name.endswith(".index.json"):
                shutil.copy2(path, folder / path.name)
    if (source / "additional_chat_templates").is_dir():
        shutil.copytree(source / "additional_chat_templates", folder / "additional_chat_templates", dirs_exist_ok=True)


def tidy_settings(path: Path, general: bool = False) -> None:
    """Names classes and keys in tokenizer_config.json that every version of transformers knows.

    Args:
        general: the folder's tokenizer.json holds the rules, and the class in the settings would replace them.
    """
    if not path.is_file():
        return
    settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
    given = dict(settings)
    if general or settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = _GENERAL
    if given.get("backend") is not None:  # transformers 5 wrote it
        for key in _OF_ONE_VERSION:
            settings.pop(key, None)
    if "auto_map" in settings and not settings["auto_map"]:
        settings.pop("auto_map")
    more = settings.get("extra_special_tokens")
    if isinstance(more, list):  # version 4 has a dictionary by this name
        settings.pop("extra_special_tokens")
        settings["additional_special_tokens"] = [*(settings.get("additional_special_tokens") or []), *more]
    if settings != given:
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_otherwise(tokenizer: Any, folder: Path) -> bool:
    """Whether plain transformers reads the written tokenizer by other rules than its file states."""
    if not getattr(tokenizer, PLAIN, False):
        return False
    try:
        again = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception:  # it needs naming its class all the same
        return True
    return not reads_alike(again, Tokenizer.from_file(str(folder / FILE)))
