"""The models the preview server keeps in memory. Imported by its process only: it opens the engine."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import RetortError
from core.catalogue.anatomy import anatomy
from core.registry.formatting import show_bytes

if TYPE_CHECKING:
    from core.engine.models.load import Loaded


@dataclass
class LoadedModel:
    """A model in memory, and what operations keep with it."""

    loaded: Loaded
    bytes: int
    beside: dict[str, Any] = field(default_factory=dict)


class Models:
    """The models used last, within a limit of bytes; the newest stays even where it alone exceeds it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str], LoadedModel] = OrderedDict()

    def get(self, folder: Path, fingerprint: str, dtype: str, most: int) -> LoadedModel:
        """The model, loaded where it is not there yet; others go first where they leave it no room.

        Args:
            most: bytes this process may take.

        Raises:
            RetortError: the model alone would take more, or cannot be loaded.
        """
        key = (f"{folder} {fingerprint}", dtype)
        if key not in self._kept:
            from core.engine.models.load import load_model

            size = _expected_bytes(folder, dtype)
            if size > most:
                raise RetortError(
                    f"This model takes about {show_bytes(size)} of memory, and a job may take {show_bytes(most)}.",
                    "Choose a smaller model, or raise RETORT_MEMORY_LIMIT.",
                )
            while self._kept and self.bytes + size > min(self._limit, most):
                self._kept.popitem(last=False)
            loaded = load_model(folder, dtype)
            self._kept[key] = LoadedModel(loaded, sum(p.numel() * p.element_size() for p in loaded.model.parameters()))
        self._kept.move_to_end(key)
        return self._kept[key]

    @property
    def bytes(self) -> int:
        return sum(k.bytes for k in list(self._kept.values()))

    @property
    def folders(self) -> list[str]:
        return [str(k.loaded.folder) for k in list(self._kept.values())]


def _expected_bytes(folder: Path, dtype: str) -> int:
    """What the model will take; 0 where the files do not say, which is then said by whoever loads it."""
    from core.engine.models.load import compute_dtype

    with suppress(RetortError):
        return anatomy(folder).bytes_in(str(compute_dtype(dtype)).removeprefix("torch."))
    return 0
