"""Which references there are and how each is written: for models, texts and labelled texts.

Only the form is judged here, so that a recipe is refused before any work; whether something is there is asked of the
catalogue when it is needed.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

from core.base.text import is_whole
from core.registry.samples import SAMPLES, TEXT_PARTS

_LONGEST = 4_096  # characters of a path
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_REVISION = r"(?:@([A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?"
_MODEL = re.compile(rf"({_PART}(?:/{_PART})?){_REVISION}")
_DATA_SET = re.compile(rf"({_PART}(?:/{_PART})?(?:/[\w][\w.+ -]{{0,199}})?){_REVISION}", re.ASCII)
_TEXTS = tuple(s.id for s in SAMPLES.values() if s.kind == "text")
_LABELLED = (
    *(f"{s.id}/{part}" for s in SAMPLES.values() if s.kind == "classification" for part in ("train", "test")),
    "tasks/sst2",
)


_ADDRESS = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/({_PART}/{_PART})"
    r"(?:/(?:tree|blob|resolve|commit)/([^/?#\s]+)(?:/[^?#\s]*)?)?/?(?:[?#]\S*)?",
    re.IGNORECASE,
)
_NO_MODELS = ("datasets", "spaces", "docs", "papers", "collections", "blog", "organizations")


def pasted(text: str) -> str:
    """A model's address on the hub as its reference: 'https://huggingface.co/org/name/tree/REV' is 'hub:org/name@REV'.

    Any other text, addresses of data sets among them, stays as it is.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or found[1].partition("/")[0].lower() in _NO_MODELS:
        return text
    return f"hub:{found[1]}" + (f"@{unquote(found[2])}" if found[2] else "")


def is_path(name: str) -> bool:
    """Whether what follows `path:` can be a path."""
    return 0 < len(name) <= _LONGEST and "\0" not in name and is_whole(name)


def is_part(name: str) -> bool:
    """Whether it can be the name of a sample, a run or a candidate."""
    return re.fullmatch(_PART, name) is not None


def model_parts(text: str) -> tuple[str, str, str | None] | None:
    """(kind, name, revision) of a model reference, or of a model's address on the hub; None where it is none."""
    kind, colon, name = pasted(text).strip().partition(":")
    name = name.strip()
    if not colon:
        return None
    if kind == "path" and is_path(name) or kind == "sample" and is_part(name):
        return kind, name, None
    if kind == "run" and re.fullmatch(rf"{_PART}(/{_PART})?", name):
        return kind, name, None
    found = _MODEL.fullmatch(name) if kind == "hub" and ".." not in name else None
    return ("hub", found[1], found[2]) if found else None


def data_set_parts(name: str) -> tuple[str, str | None, str | None] | None:
    """(owner/name, configuration, revision) of a hub data set, `name` being what follows `hub:`; None: it is none."""
    found = _DATA_SET.fullmatch(name) if ".." not in name else None
    if found is None:
        return None
    parts = found[1].split("/")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None, found[2]


def model_form(text: str) -> str:
    """The reference; of an address on the hub what it stands for. Raises ValueError with a sentence for others."""
    if model_parts(text) is None:
        raise ValueError("a model reference is 'sample:NAME', 'path:/folder', 'hub:org/name@revision' or 'run:ID'")
    return pasted(text)


def text_form(text: str) -> str:
    """Raises ValueError with a sentence where `text` is no reference to texts."""
    kind, _, name = text.partition(":")
    if kind == "sample" and name in _TEXTS or _elsewhere(kind, name):
        return text
    known = " or ".join(f"'sample:{n}'" for n in _TEXTS)
    raise ValueError(f"a text is {known}, 'path:/folder/file.txt' or 'hub:org/name@revision'")


def rows_form(text: str) -> str:
    """Raises ValueError with a sentence where `text` is no reference to a table with columns."""
    kind, _, name = text.partition(":")
    if not _elsewhere(kind, name):
        raise ValueError("questions and answers come from 'path:/folder/file.jsonl' or 'hub:org/name@revision'")
    return text


def labelled_form(text: str) -> str:
    """Raises ValueError with a sentence where `text` is no reference to labelled texts."""
    kind, _, name = text.partition(":")
    if kind == "sample" and name in _LABELLED or _elsewhere(kind, name):
        return text
    known = ", ".join(f"'sample:{n}'" for n in _LABELLED)
    raise ValueError(f"labelled texts are {known}, 'path:/folder/file.csv' or 'hub:org/name@revision'")


def split_form(data: str, split: str | None) -> None:
    """Raises ValueError with a sentence where a sample text has no such part."""
    if data.startswith("sample:") and data.removeprefix("sample:") in _TEXTS and split not in TEXT_PARTS:
        raise ValueError(f"'{data}' has the parts {', '.join(TEXT_PARTS)}: name one of them in 'split'")


def _elsewhere(kind: str, name: str) -> bool:
    return kind == "path" and is_path(name) or kind == "hub" and data_set_parts(name) is not None


ModelReference = Annotated[str, AfterValidator(model_form)]
"""The text of a reference to a model, in a recipe."""
