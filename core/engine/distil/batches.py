"""What one training step reads: token ids, and which positions count for which loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

IGNORED = -100


@dataclass(frozen=True)
class Reading:
    """The texts of a batch as a teacher with a tokenizer of its own reads them, and where the two can be compared.

    Attributes:
        ids: `(batch, tokens)` the teacher's token ids.
        attended: `(batch, tokens)` bool, False for padding.
        places: `(batch, outputs)` at each of the student's outputs that counts the teacher's position behind the same
            text; -1 elsewhere.
        ends: `(batch, outputs)` the teacher's position where the span of text that begins there ends; -1 elsewhere.
        spans: `(batch, outputs)` the number of the span each of the student's outputs predicts a part of; -1: of none.
    """

    ids: Tensor
    attended: Tensor
    places: Tensor
    ends: Tensor
    spans: Tensor

    def to(self, device: torch.device | str) -> Reading:
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def split(self, size: int) -> list[Reading]:
        parts = [getattr(self, f.name).split(size) for f in fields(self)]
        return [Reading(*tensors) for tensors in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Batch:
    """Sequences of equal length, padded on the right. Causal models are already shifted: row t predicts t + 1.

    Attributes:
        ids: `(batch, length)` token ids.
        attended: `(batch, length)` bool, False for padding.
        targets: `(batch, outputs)` gold classes, `IGNORED` where none counts.
        scored: `(batch, outputs)` bool, where the student's and the teacher's distributions are compared.
        positions: `(batch, length)` bool, where their hidden states are compared.
        index: `(batch,)` number of each sequence in the data set, -1 for one written during training.
        reading: the same texts in the tokens of a teacher that cuts them otherwise.

    `outputs` is `length` for a language model and 1 for a classifier.
    """

    ids: Tensor
    attended: Tensor
    targets: Tensor
    scored: Tensor
    positions: Tensor
    index: Tensor
    reading: Reading | None = None

    def to(self, device: torch.device | str) -> Batch:
        return replace(self, **{name: part.to(device) for name, part in self._parts().items()})

    def split(self, size: int) -> list[Batch]:
        """Micro-batches of at most `size` sequences, in order."""
        parts = {name: part.split(size) for name, part in self._parts().items()}
        return [Batch(**dict(zip(parts, each, strict=True))) for each in zip(*parts.values(), strict=True)]

    def _parts(self) -> dict[str, Any]:
        return {f.name: part for f in fields(self) if (part := getattr(self, f.name)) is not None}

    @property
    def tokens(self) -> int:
        """Tokens read, padding left out."""
        return int(self.attended.sum())


class Examples(Protocol):
    """Training sequences by number, so that the order can be drawn, repeated and resumed."""

    @property
    def count(self) -> int | None:
        """How many there are; None for a stream, whose numbers must be asked for in rising order."""
        ...

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        """The sequences with these numbers. `seed` decides what is drawn inside them (masked words)."""
        ...


def causal_batch(ids: Tensor, attended: Tensor, counted: Tensor, index: Tensor) -> Batch:
    """A batch for a causal language model, all arguments `(batch, length)` but `index`.

    `counted` marks the tokens that count *as targets*; the first of a sequence never does.
    """
    ahead = (counted & attended).roll(-1, 1)
    ahead[:, -1] = False
    targets = ids.roll(-1, 1).masked_fill(~ahead, IGNORED)
    return Batch(ids, attended, targets, ahead, ahead, index)


def pad(sequences: Sequence[Tensor], fill: int | bool) -> Tensor:
    """Sequences of any length, padded on the right to the longest: `(batch, length)`."""
    return torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=fill)


@dataclass(frozen=True)
class Windows:
    """Packed text: `(sequences, length)` full windows in which every token counts."""

    ids: Tensor

    @property
    def count(self) -> int:
        return int(self.ids.shape[0])

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        ids = self.ids[list(indices)].long()
        everything = torch.ones_like(ids, dtype=torch.bool)
        return causal_batch(ids, everything, everything, torch.tensor(indices))


@dataclass(frozen=True)
class Answers:
    """Sequences of different lengths of which only some tokens count: `(ids, counted)`, both `(length,)`."""

    examples: Sequence[tuple[Tensor, Tensor]]
    padding: int

    @property
    def count(self) -> int:
        return len(self.examples)

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        chosen = [self.examples[i] for i in indices]
        ids = pad([ids for ids, _ in chosen], self.padding)
        attended = pad([torch.ones_like(counted) for _, counted in chosen], False)
        return causal_batch(ids, attended, pad([counted for _, counted in chosen], False), torch.tensor(indices))


@dataclass(frozen=True)
class MaskedWindows:
    """Windows for a masked language model; which tokens are hidden is drawn anew each time."""

    ids: Tensor  # (sequences, length), special tokens included
    mask_token: int
    special: tuple[int, ...] = ()
    """Tokens that are never hidden."""
    share: float = 0.15

    @property
    def count(self) -> int:
        return int(self.ids.shape[0])

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        """`share` of the tokens are hidden and are the only targets (BERT).

        Distributions and states are compared at every token, as DistilBERT does.
        """
        ids = self.ids[list(indices)].long()
        attended = torch.ones_like(ids, dtype=torch.bool)
        drawn = torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed))
        hidden = (drawn < self.share) & ~torch.isin(ids, torch.tensor(self.special, dtype=ids.dtype))
        targets = ids.masked_fill(~hidden, IGNORED)
        return Batch(
            ids.masked_fill(hidden, self.mask_token), attended, targets, attended, attended, torch.tensor(indices)
        )


@dataclass(frozen=True)
class LabelledExamples:
    """Texts with one gold class each, for classification."""

    sequences: Sequence[Tensor]  # (length,) each
    labels: Tensor  # (examples,)
    padding: int

    @property
    def count(self) -> int:
        return len(self.sequences)

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        chosen = [self.sequences[i] for i in indices]
        attended = pad([torch.ones_like(ids, dtype=torch.bool) for ids in chosen], False)
        targets = self.labels[list(indices)].long()[:, None]  # (batch, 1)
        scored = torch.ones_like(targets, dtype=torch.bool)
        return Batch(pad(chosen, self.padding), attended, targets, scored, attended, torch.tensor(indices))


@dataclass(frozen=True)
class SoftLabelled(LabelledExamples):
    """Texts whose labels are a teacher's: `labels` are its likeliest classes."""

    log_p: Tensor
    """`(examples, classes)` its log-probabilities."""
