"""The sample text: BoolQ's Wikipedia passages, split once into three parts that share no document."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.untrusted_files import reason
from core.catalogue.shingles import shingles
from core.registry.samples import TEXT_PARTS

_EDGES = (25, 75)
"""Percent of the documents below which a document goes to calibration, and to training."""
_SHARED_WORDS = 8
"""Passages that share a run of this many words count as one document."""


def prepare_wiki(arrow: Path, target: Path) -> dict[str, int]:
    """Reads the passages and writes `PART.jsonl` for every part; returns the documents in each.

    The split is a pure function of the text: it is the same on every machine and in every version.
    """
    import pyarrow as pa

    with pa.OSFile(str(arrow), "rb") as file:
        table = pa.ipc.open_stream(file).read_all()
    parts = split_documents(list(dict.fromkeys(table["passage"].to_pylist())))
    for part, texts in parts.items():
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (target / f"{part}.jsonl").write_text("".join(lines), "utf-8")
    return {part: len(texts) for part, texts in parts.items()}


def split_documents(passages: list[str]) -> dict[str, list[str]]:
    """Groups passages that share text, then sends each whole group to one part by its hash."""
    groups = group_by_shared_text(passages)
    keys = {root: min(_digest(passages[i]) for i in members) for root, members in groups.items()}
    parts: dict[str, list[str]] = {part: [] for part in TEXT_PARTS}
    for root in sorted(groups, key=keys.__getitem__):
        percent = int(keys[root][:8], 16) % 100
        part = TEXT_PARTS[sum(percent >= edge for edge in _EDGES)]
        parts[part] += [passages[i] for i in groups[root]]
    return parts


def group_by_shared_text(passages: list[str]) -> dict[int, list[int]]:
    """Connected components of "shares a run of words": smallest index -> indices, in order."""
    parent = list(range(len(passages)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    owner: dict[int, int] = {}
    for i, passage in enumerate(passages):
        for shingle in shingles(passage, _SHARED_WORDS):
            a, b = root(owner.setdefault(shingle, i)), root(i)
            parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for i in range(len(passages)):
        groups.setdefault(root(i), []).append(i)
    return groups


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_part(folder: Path, part: str) -> list[str]:
    """The documents of one part of the prepared sample. Raises RetortError where the file was changed since."""
    try:
        lines = (folder / f"{part}.jsonl").read_text("utf-8").split("\n")
        rows: list[dict[str, Any]] = [load(line.encode()) for line in lines if line]
        return [str(row["text"]) for row in rows]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RetortError(
            f"{part}.jsonl of the sample text is damaged ({reason(error)}).",
            "Remove the folder samples/wiki from the data folder and fetch it again.",
        ) from error
