"""What the baseline predicts on the evaluation text, held so that every candidate is compared with it.

Kept is what its output layer reads, not the logits: a vocabulary is tens of times as wide as a hidden state, and the
output layer gives the same logits from it again. Where even that is too much, a baseline that stays in memory beside
the candidates reads each batch again.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base import memory
from core.engine.evaluate.questions import Questions
from core.engine.models.chunked_head import ChunkedHead
from core.registry.formatting import show_bytes

_MOST_BYTES = 2 << 30
_SHARE = 0.25  # of the free memory: the rest is for the candidate
NOT_READ = "the original's own were not at hand"


@dataclass
class BaselinePredictions:
    """Filled by one pass of the baseline (`begin`, `add` batch by batch, `end`), then read beside its candidates.

    Attributes:
        model: the baseline itself, where it stays in memory unchanged.
        left_out: why the last candidate was not compared, as part of a sentence; '' where it was.
    """

    model: PreTrainedModel | None = None
    left_out: str = field(default="", init=False)
    asked: Questions | None = field(default=None, init=False)
    _vocabulary: int = field(default=0, init=False)
    _head: torch.nn.Module | None = field(default=None, init=False)
    _kept: Tensor | None = field(default=None, init=False)  # (windows, predicted, width)
    _needed: int = field(default=0, init=False)
    _live: ChunkedHead | None = field(default=None, init=False)

    @property
    def too_large(self) -> bool:
        """Whether they could not be kept, so that only a baseline in memory helps."""
        return self.asked is not None and self._kept is None

    def begin(self, source: ChunkedHead) -> None:
        """The baseline `source` is about to read the text."""
        self.asked, self._vocabulary, self._needed = None, source.vocabulary, 0
        self._head = self._kept = self._live = None

    def add(self, source: ChunkedHead, questions: Questions, part: slice, features: Tensor) -> None:
        """What its output layer reads for the windows `part`, (batch * predicted, width)."""
        if not self._needed:
            self._make_room(source, questions.targets, features)
        if self._kept is not None:
            self._kept[part] = features.view(-1, *self._kept.shape[1:]).cpu()

    def end(self, questions: Questions) -> None:
        """All of the text was read: half a baseline is none."""
        self.asked = questions

    def _make_room(self, source: ChunkedHead, targets: Tensor, features: Tensor) -> None:
        head, shape = source.head, (*targets.shape, features.shape[-1])
        own = sum(p.numel() * p.element_size() for p in head.parameters()) if head is not None else 0
        self._needed = targets.numel() * features.shape[-1] * features.element_size() + own
        if self._needed <= min(_MOST_BYTES, _SHARE * memory.available()):
            self._head = copy.deepcopy(head)  # the model's own may be pruned in place
            self._kept = torch.empty(shape, dtype=features.dtype)

    def answers(self, source: ChunkedHead, questions: Questions) -> bool:
        """Whether the candidate `source` can be compared; `left_out` says why not."""
        self.left_out = self._why_not(source, questions)
        return not self.left_out

    def _why_not(self, source: ChunkedHead, questions: Questions) -> str:
        if self.asked is None:
            return NOT_READ
        if not self.asked.same(questions):
            return "it was asked for other tokens than the original"
        if self._vocabulary != source.vocabulary:
            return f"its vocabulary has {source.vocabulary:,} tokens and the original's {self._vocabulary:,}"
        if self._kept is None and self.model is None:
            return f"the original's own ({show_bytes(self._needed)}) do not fit into memory, nor does it beside them"
        return ""

    def features(self, part: slice) -> Tensor:
        """What the baseline's output layer reads for the windows `part`: (batch * predicted, width)."""
        assert self.asked is not None
        if self._kept is not None:
            return self._kept[part].flatten(0, 1)
        assert self.model is not None
        if self._live is None or self._live.model is not self.model:
            self._live = ChunkedHead(self.model, self.asked.ids)
        return self.asked.answers(self._live.features(self.asked.ids[part].to(self.model.device)), part)

    def logits(self, features: Tensor, device: torch.device) -> Tensor:
        """(rows, width) -> (rows, vocabulary) in float32."""
        if self._kept is None:
            assert self._live is not None
            return self._live.rows(features).to(device)
        rows = features.to(device)
        return (self._head(rows) if self._head is not None else rows).float()
