"""Reading a stored teacher, whose folder `cache.py` describes and makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import load_file
from torch import Tensor

from core.base.errors import RetortError
from core.engine.distil.batches import Batch
from core.engine.distil.divergences import log_probabilities
from core.engine.models.shared_tokens import SharedTokens
from core.recipe.distil import TeacherCache

INDEX = "index.json"


class Shard(BaseModel):
    """One finished file: which sequences it holds, and its hash."""

    file: str
    numbers: list[int]
    """The sequences, in the order in which their tokens lie in the file."""
    sha256: str
    tokens: int
    bytes: int
    mass: float
    """Sum over its tokens of the probability the k tokens cover."""


class Index(BaseModel):
    """What the folder holds. `key` identifies teacher, data and settings."""

    key: str
    k: int
    classes: int
    temperatures: list[float]
    sequences: int
    """How many the data has; of these, those that some training's budget reads are stored."""
    shards: list[Shard] = []

    @property
    def stored(self) -> set[int]:
        return {number for shard in self.shards for number in shard.numbers}

    @property
    def tokens(self) -> int:
        return sum(s.tokens for s in self.shards)

    @property
    def mass_covered(self) -> float:
        """Mean probability (0 to 1) that the stored tokens cover."""
        return sum(s.mass for s in self.shards) / max(1, self.tokens)

    @property
    def bytes_per_token(self) -> float:
        return sum(s.bytes for s in self.shards) / max(1, self.tokens)


def file_hash(path: Path) -> str:
    """Hash of a file; '' where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class CachedRows:
    """The k outcomes of each token and, with `bucket`, one more for all the rest; `(n, k)` stored."""

    def __init__(
        self,
        stored: dict[str, Tensor],
        temperatures: Sequence[float],
        bucket: bool,
        shared: SharedTokens | None = None,
    ) -> None:
        self._stored = stored
        self._temperatures = list(temperatures)
        self._bucket = bucket
        self._shared = shared

    def __getitem__(self, rows: slice) -> CachedRows:
        part = {n: t[rows] for n, t in self._stored.items()}
        return CachedRows(part, self._temperatures, self._bucket, self._shared)

    def own(self, student: Tensor) -> Tensor:
        return student if self._shared is None else self._shared.of_student(student)

    @property
    def logits(self) -> Tensor:
        raise RetortError("The stored teacher has no full logits.", "Use the live teacher for logit matching.")

    def pair(self, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities over k (+ 1) outcomes, `(n, k + 1)` both.

        Merging outcomes never raises a divergence, so with `bucket` the loss is a lower bound of the full one.
        """
        at = self._temperatures.index(temperature)
        ids = self._stored["ids"]  # (n, k)
        teacher = self._stored["log_p"] / temperature - self._stored["log_z"][:, at, None]
        scaled = self.own(student) / temperature
        known = scaled.gather(1, ids)
        if self._bucket and ids.shape[1] < scaled.shape[1]:
            rest = scaled.scatter(1, ids, float("-inf")).logsumexp(1, keepdim=True)
            known = torch.cat([known, rest], 1)
            teacher = torch.cat([teacher, self._stored["log_tail"][:, at, None]], 1)
        # Rounding to half precision leaves sums a little off 1; both sides are made distributions again.
        return log_probabilities(known), log_probabilities(teacher)


class CachedTeacher:
    """Reads a folder `build_cache` made. Every file is checked against its hash before its first use.

    `shared`: as `LiveTeacher` had it when the folder was made.
    """

    def __init__(
        self, folder: Path, spec: TeacherCache, device: torch.device, shared: SharedTokens | None = None
    ) -> None:
        self.index = Index.model_validate_json((folder / INDEX).read_text())
        self._folder = folder
        self._bucket = spec.tail == "bucket"
        self._device = device
        self._shared = shared
        self._checked: set[str] = set()
        self._open: dict[str, dict[str, Tensor]] = {}
        self._places = {n: (shard, i) for shard in self.index.shards for i, n in enumerate(shard.numbers)}

    def rows(self, batch: Batch, chosen: Tensor, chunk: int) -> Iterator[CachedRows]:
        """See `Teacher.rows`. Raises RetortError for a damaged file or a sequence that was not stored."""
        kept = [self._sequence(int(i)) for i in batch.index]
        merged = {name: torch.cat([s[name] for s in kept]) for name in kept[0]}
        # Rows are stored for every scored place; the caller may ask for more places (cross-entropy
        # elsewhere) only where those coincide, as they do for causal models and classifiers.
        if merged["ids"].shape[0] != int(chosen.sum()):
            raise RetortError("The stored teacher answers other tokens than the run asks for.", "Store them again.")
        for start in range(0, merged["ids"].shape[0], chunk):
            part = {name: t[start : start + chunk].to(self._device) for name, t in merged.items()}
            yield CachedRows(part, self.index.temperatures, self._bucket, self._shared)

    def _sequence(self, number: int) -> dict[str, Tensor]:
        if number not in self._places:
            raise RetortError(f"The stored teacher has no answer for sequence {number}.", "Store them again.")
        shard, place = self._places[number]
        tensors = self._shard(shard)
        start, end = tensors["offsets"][place : place + 2].tolist()
        picked: dict[str, Any] = {n: tensors[n][start:end] for n in ("ids", "log_p", "log_z", "log_tail")}
        ids = picked["ids"]
        # Unsigned 16-bit tensors cannot index: they travel as such and become indices here.
        picked["ids"] = ids.to(torch.int32).long()
        picked["log_p"] = picked["log_p"].float()
        return picked

    def _shard(self, shard: Shard) -> dict[str, Tensor]:
        if shard.file not in self._open:
            path = self._folder / shard.file
            if shard.file not in self._checked and file_hash(path) != shard.sha256:
                raise RetortError(
                    f"The stored teacher file '{shard.file}' is missing or damaged.",
                    "Start the run again: whole files are kept and this one is made anew.",
                )
            self._checked.add(shard.file)
            self._open[shard.file] = load_file(path)  # memory-mapped: only the pages that are read take memory
        return self._open[shard.file]
