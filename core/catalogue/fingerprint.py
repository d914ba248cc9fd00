"""Which bytes is this model? A hash of every file's content, remembered while the files stay untouched."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from core.base import json_io
from core.base.durable_files import write
from core.base.settings import Settings
from core.catalogue.download import sha256

_SUFFIXES = (".safetensors", ".json", ".model", ".txt", ".jinja", ".spm", ".bpe", ".tiktoken")
"""Weights, configuration, tokenizer and chat template: what can change a figure."""


def folder_fingerprint(folder: Path, settings: Settings) -> str:
    """`folder:` and a hash of the names and contents of the files that make the model.

    Guarantee: two folders with the same fingerprint hold the same bytes (SHA-256). A file's hash is
    remembered under its path, size, modification time in nanoseconds and inode, so only a tool that
    rewrites bytes in place and sets all of these back would go unnoticed.
    """
    parts = []
    for path in sorted(p for p in folder.iterdir() if _counts(p)):
        parts.append(os.fsencode(path.name) + f" {remembered_hash(path, settings)}".encode())
    return "folder:" + hashlib.sha256(b"\n".join(parts)).hexdigest()[:32]


def _counts(path: Path) -> bool:
    """Retort's own notes on a folder say nothing about the model."""
    return path.suffix in _SUFFIXES and not path.name.startswith("retort-") and path.is_file()


def remembered_hash(path: Path, settings: Settings) -> str:
    """SHA-256 of a file, computed once for as long as it stays untouched (see `folder_fingerprint`)."""
    real = path.resolve()
    facts = real.stat()
    state = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    note = settings.cache / "hashes" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"
    try:
        known = json_io.load(note.read_bytes())
        if known["state"] == state:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not seen yet, or the note is damaged: hash the file
    digest = sha256(real)
    write(note, json.dumps({"state": state, "sha256": digest}))
    return digest
