"""A model seen as a body, run once a batch, and a head, run on a few tokens at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.catalogue.kinds import Task
from core.engine.distil.batches import Batch
from core.engine.models.chunked_head import ChunkedHead
from core.engine.models.shared_tokens import SharedTokens

_PROBE_TOKENS = 16
_CHUNK_BYTES = 96 << 20  # float32 logits of one chunk
_BLOCK_BYTES = 2 << 20  # float32 logits a loss works on at once: what it makes of them stays in a processor's cache


class Outputs:
    """What a loss needs of one model: hidden states at the outputs, and logits from some of them.

    For a language model the logits of one chunk of tokens exist at a time, where body and head can
    be run apart. A classifier has one output a sequence, and its logits are its states. An encoder
    without a head has no logits: only features can be compared.

    Args:
        model: used in place.
        task: `causal`, `masked`, `classification` or `encoder`.
        order: `(classes,)`, the class to put in each place, where a teacher's classes are in another order.
        half: compute in bfloat16 under autocast (weights stay as they are).
        shared: batches hold the student's tokens, and this is the teacher: it reads them under its own numbers, and
            a language model's logits are those of the shared tokens alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        task: Task,
        order: Tensor | None = None,
        half: bool = False,
        shared: SharedTokens | None = None,
    ) -> None:
        self.model = model
        self.task = task
        self.order = order
        self.half = half
        self.shared = shared
        self._logits = ChunkedHead(model, _probe(model)) if task in ("causal", "masked") else None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def classes(self) -> int:
        """Width of the logits."""
        if self._logits is None:
            return len(self.model.config.id2label or {})
        return self.shared.count if self.shared is not None else self._logits.vocabulary

    @property
    def chunked(self) -> bool:
        """False where the model's own full logits must be held once."""
        return self._logits is None or self._logits.chunked

    @property
    def chunk(self) -> int:
        """Outputs whose logits are computed at once."""
        return max(1, _CHUNK_BYTES // (4 * self.classes))

    @property
    def block(self) -> int:
        """Outputs a loss is computed on at once, a part of a chunk."""
        return max(1, _BLOCK_BYTES // (4 * self.classes)) if self.device.type == "cpu" else self.chunk

    def precision(self) -> AbstractContextManager[Any]:
        """The number format to run body and head in. Inside one region each weight is rounded only once."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def states(self, batch: Batch) -> Tensor:
        """`(batch, outputs, width)`: what `logits` needs."""
        # Without padding, no mask: attention then takes its fastest path.
        mask = None if bool(batch.attended.all()) else batch.attended.long()
        ids = batch.ids if self.shared is None else self.shared.read(batch.ids)
        if self._logits is not None:
            return self._logits.features(ids, mask)
        found = self.model(input_ids=ids, attention_mask=mask)
        states: Tensor = found.last_hidden_state if self.task == "encoder" else found.logits[:, None]
        return states

    def logits(self, states: Tensor) -> Tensor:
        """`(n, width)` to `(n, classes)`, as the model computes them, classes in the wanted order."""
        logits = states if self._logits is None else self._logits.computed(states)
        if self._logits is not None and self.shared is not None:
            return self.shared.of_teacher(logits)
        return logits if self.order is None else logits[:, self.order.to(logits.device)]

    def gold(self, batch: Batch) -> Tensor:
        """`(batch, outputs)`: the column of the logits that is right, as in `Batch.targets`."""
        if self._logits is not None and self.shared is not None:
            return self.shared.places(batch.targets)
        return batch.targets


def _probe(model: PreTrainedModel) -> Tensor:
    vocabulary = int(model.config.get_text_config().vocab_size)
    return torch.arange(1, _PROBE_TOKENS + 1)[None].remainder(vocabulary)
