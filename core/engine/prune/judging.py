"""How near a changed model is to the dense one: KL of its predictions, judged once for each choice and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base import line_files
from core.base.progress import Reporter
from core.engine.models.divergence import divergence
from core.engine.prune.prefix import Prefix

_MOST_BYTES = 1_000_000_000
"""Of the dense model's predictions that are held; fewer windows are judged where there would be more."""

Choice = TypeVar("Choice")


class Judge(Generic[Choice]):
    """KL divergence from the dense model, by choice and number of windows.

    Args:
        model: the dense model; `changed` changes it for a moment.
        windows: (sequences, length) tokens that nothing was fitted on.
        changed: the model is as the choice says inside; what the layers before the first change give is in `Prefix`.
        record: a file that every judgement is added to, and is read from again; None keeps them in memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        windows: Tensor,
        changed: Callable[[Choice, Prefix], AbstractContextManager[None]],
        reporter: Reporter,
        record: Path | None = None,
    ) -> None:
        each = windows.shape[1] * model.config.vocab_size * model.dtype.itemsize
        self._model, self._changed, self._reporter, self._record = model, changed, reporter, record
        self._windows = windows[: max(1, _MOST_BYTES // each)]
        self._prefix: Prefix | None = None
        self._dense: list[Tensor] = []  # logits, (length, vocabulary) a window
        self._known: dict[str, float] = {}
        self._kept: dict[str, float] = {}
        for entry in line_files.entries(record) if record is not None else ():
            if isinstance(entry, list) and len(entry) == 2:
                self._kept[str(entry[0])] = float(entry[1])

    @property
    def windows(self) -> int:
        """How many there are to judge on."""
        return len(self._windows)

    @property
    def count(self) -> int:
        """Judgements asked for so far, those that were on file included."""
        return len(self._known)

    def divergence(self, choice: Choice, windows: int) -> float:
        """Mean KL(dense || changed) on the first windows, in nats a token."""
        key = json.dumps([choice, windows])
        if key not in self._known:
            if key not in self._kept:
                self._reporter.checkpoint()
                self._kept[key] = self._measured(choice, windows)
                if self._record is not None:
                    line_files.append(self._record, [[key, self._kept[key]]], flush=True)
            self._known[key] = self._kept[key]
        return self._known[key]

    def _measured(self, choice: Choice, windows: int) -> float:
        if self._prefix is None:
            self._prefix = Prefix(self._model)
            with self._prefix.recording():
                self._dense = [self._predicted(at).to(self._model.dtype) for at in range(self.windows)]
        with self._changed(choice, self._prefix):
            found = [divergence(self._dense[at].float(), self._predicted(at))[0] for at in range(windows)]
        return sum(float(kl.mean()) for kl in found) / windows

    @torch.no_grad()
    def _predicted(self, at: int) -> Tensor:
        logits: Tensor = self._model(self._windows[at : at + 1], use_cache=False).logits
        return logits[0].float()
