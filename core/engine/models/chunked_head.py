"""A model's logits, a few tokens at a time: over a large vocabulary they dominate memory.

The body of the model runs once on a batch; the head then runs on chunks of rows, so no
`batch x tokens x vocabulary` tensor is ever held. Works for any causal model of transformers whose
logits are exactly its output layer applied to its last hidden state. Where they are not (soft-capped
or scaled logits, a masked model's extra layers) the model's own logits are used, in smaller batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from core.base.errors import RetortError
from core.engine.models.source_target import inputs_of

_CHUNK_BYTES = 64 << 20  # float32 logits held at once by the chunked head
_PLAIN_BYTES = 512 << 20  # logits of a whole batch, where the head cannot be run apart
_PROBE_TOKENS = 16


class ChunkedHead:
    """Logits of one model. `features` runs the body, `rows` turns feature rows into float32 logits."""

    def __init__(self, model: PreTrainedModel, ids: Tensor) -> None:
        """Checks once, on the first tokens of `ids` (batch, tokens), whether body and head can run apart."""
        self.model = model
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self._head = _separable_head(model, ids[:1, :_PROBE_TOKENS].to(model.device))

    @property
    def head(self) -> torch.nn.Module | None:
        """The output layer that turns `features` into logits; None where they are the logits."""
        return self._head

    @property
    def chunked(self) -> bool:
        """True where head and body run apart, so that full logits are never held."""
        return self._head is not None

    def batch(self, asked: int, tokens: int) -> int:
        """The batch to use for windows of `tokens`: `asked`, or fewer where full logits must be held."""
        if self.chunked:
            return asked
        size = tokens * self.vocabulary * self.model.dtype.itemsize
        return max(1, min(asked, _PLAIN_BYTES // size))

    def features(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What `rows` needs, from token ids (batch, tokens): (batch, tokens, hidden), or the logits themselves.

        Of an encoder-decoder they are those of the target (`core.engine.models.source_target`).
        """
        body = self.model.base_model if self.chunked else self.model
        given = {"attention_mask": attention_mask, **inputs_of(self.model, ids)}
        out = body(**given, **_no_cache(self.model))
        features: Tensor = out.last_hidden_state if self.chunked else out.logits
        return features

    def rows(self, features: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, vocabulary), float32."""
        return self.computed(features).float()

    def computed(self, features: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, vocabulary), in the number format the model computes in."""
        logits: Tensor = self._head(features) if self._head is not None else features
        return logits

    def chunks(self, features: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Slices of the rows of `features` (rows, hidden), each with its float32 logits."""
        step = max(1, _CHUNK_BYTES // (4 * self.vocabulary))
        for start in range(0, features.shape[0], step):
            part = slice(start, min(start + step, features.shape[0]))
            yield part, self.rows(features[part])


def token_losses(source: ChunkedHead, features: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats of `targets` (rows,) given `features` (rows, hidden): (rows,) float32.

    Raises RetortError where a loss is not a finite number.
    """
    losses = torch.empty(targets.shape[0], dtype=torch.float32, device=targets.device)
    for part, logits in source.chunks(features):  # (chunk, vocabulary)
        losses[part] = losses_of(logits, targets[part])
    refuse_not_finite(losses)
    return losses


def losses_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats of `targets` (rows,) given float32 logits (rows, vocabulary): (rows,)."""
    return logits.logsumexp(dim=1) - logits.gather(1, targets[:, None]).squeeze(1)


def refuse_not_finite(losses: Tensor) -> None:
    """Raises RetortError where a loss is not a finite number."""
    if not bool(torch.isfinite(losses).all()):
        raise RetortError(
            "The model's output contains values that are not numbers, so its loss cannot be measured.",
            "Try a lower sparsity or float32 instead of bfloat16, and check the model's own weights.",
        )


def language_model_kind(model: PreTrainedModel) -> str:
    """'causal', 'seq2seq' or 'masked'.

    Raises RetortError for a model that predicts no tokens.
    """
    if model.can_generate():
        return "seq2seq" if model.config.is_encoder_decoder else "causal"
    if type(model).__name__ in MODEL_FOR_MASKED_LM_MAPPING_NAMES.values():
        return "masked"
    raise RetortError(
        f"{type(model).__name__} is not a language model that predicts the tokens of a text, so it has no perplexity.",
        "Measure it by its accuracy on a task instead, or choose a causal or masked language model.",
    )


def _separable_head(model: PreTrainedModel, ids: Tensor) -> torch.nn.Module | None:
    """The output layer, if applying it to the body's output gives the model's own logits bit by bit."""
    head: torch.nn.Module | None = model.get_output_embeddings()
    body = model.base_model
    if head is None or body is model:
        return None
    with torch.inference_mode():
        given = inputs_of(model, ids)
        expected = model(**given, **_no_cache(model)).logits
        hidden = getattr(body(**given, **_no_cache(model)), "last_hidden_state", None)
        if hidden is None or hidden.shape[-1] != getattr(head, "in_features", hidden.shape[-1]):
            return None
        same = torch.equal(head(hidden), expected)
    return head if same else None


def _no_cache(model: PreTrainedModel) -> dict[str, Any]:
    return {"use_cache": False} if model.can_generate() else {}
