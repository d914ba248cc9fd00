"""The note in a sample's folder that says what it is and that it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.base.json_io import load
from core.base.text import one_line
from core.base.untrusted_files import read_bounded

MANIFEST = "retort-sample.json"
"""Written last into a fetched sample's folder: its presence means the folder is complete."""
_BYTES = 1_000_000

Shown = Annotated[str, AfterValidator(lambda text: one_line(text, 300))]
"""Text as pages and the terminal may show it: the folder may come from anybody."""


class FileFacts(BaseModel):
    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str = ""


class Manifest(BaseModel):
    """What a sample was made of."""

    model_config = ConfigDict(frozen=True)
    id: Shown = ""
    label: Shown = ""
    pin: Shown = ""
    packages: tuple[Shown, ...] = Field((), max_length=100)
    made_from: Shown | None = None
    licence: Shown = ""
    licence_url: Shown = ""
    note: Shown = ""
    files: dict[str, FileFacts] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        return ", ".join(self.packages) or f"made from sample:{self.made_from}"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished sample folder; None where there is none, or it is damaged."""
    try:
        return Manifest.model_validate(load(read_bounded(folder / MANIFEST, _BYTES)))
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        return None
