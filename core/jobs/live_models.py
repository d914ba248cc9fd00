"""The models the live host keeps in memory. Imported by the host only: it opens the engine."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.engine.models.load import Loaded


@dataclass
class Kept:
    """A model in memory, and what operations keep with it."""

    loaded: Loaded
    bytes: int
    beside: dict[str, Any] = field(default_factory=dict)


class Models:
    """The models used last, within a limit of bytes; the newest stays even where it alone exceeds it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()

    def get(self, folder: Path, fingerprint: str, dtype: str) -> Kept:
        key = (f"{folder} {fingerprint}", dtype)
        if key not in self._kept:
            from core.engine.models.load import load_model

            loaded = load_model(folder, dtype)
            size = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
            while self._kept and self.bytes + size > self._limit:
                self._kept.popitem(last=False)
            self._kept[key] = Kept(loaded, size)
        self._kept.move_to_end(key)
        return self._kept[key]

    @property
    def bytes(self) -> int:
        return sum(k.bytes for k in list(self._kept.values()))

    @property
    def folders(self) -> list[str]:
        return [str(k.loaded.folder) for k in list(self._kept.values())]
