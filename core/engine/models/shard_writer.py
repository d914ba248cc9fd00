"""Writes a model's tensors to safetensors files as they come, holding at most one file's worth."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

INDEX = "model.safetensors.index.json"


class ShardWriter:
    """Collects tensors into files of about `limit` bytes; `close` names them as transformers expects."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._held: dict[str, Tensor] = {}
        self._bytes = 0
        self._parts: list[tuple[Path, list[str]]] = []
        self.total = 0

    def add(self, name: str, tensor: Tensor) -> None:
        """One more tensor; a file is written when the ones held fill it."""
        size = tensor.numel() * tensor.element_size()
        if self._held and self._bytes + size > self._limit:
            self._flush()
        self._held[name] = tensor.contiguous()
        self._bytes += size
        self.total += size

    def close(self) -> None:
        """Writes what is left, and the index where there is more than one file."""
        self._flush()
        count = len(self._parts)
        if count == 1:
            self._parts[0][0].rename(self._folder / "model.safetensors")
            return
        where: dict[str, str] = {}
        for i, (path, names) in enumerate(self._parts):
            final = f"model-{i + 1:05}-of-{count:05}.safetensors"
            path.rename(self._folder / final)
            where |= dict.fromkeys(names, final)
        index = {"metadata": {"total_size": self.total}, "weight_map": where}
        (self._folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _flush(self) -> None:
        if not self._held:
            return
        path = self._folder / f"part-{len(self._parts):05}.safetensors"
        save_file(self._held, path, metadata={"format": "pt"})
        self._parts.append((path, list(self._held)))
        self._held, self._bytes = {}, 0
