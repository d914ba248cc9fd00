"""Training sequences as a teacher with another tokenizer reads them.

The student's tokens are turned back into text, the teacher's tokenizer cuts that text, and both are compared behind
every character at which a token ends with both (`alignment.py`). Between two such places lies a span of text, one or
more tokens with either. What a window cuts through (half a character, half a word at its edge) is in no comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from core.engine.data.framing import frame_for
from core.engine.distil.alignment import UNREADABLE, common_ends, cut, refuse_without_offsets, same_tokens
from core.engine.distil.batches import Batch, Examples, Reading, pad
from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.engine.models.plain_generation import padding_token


def unread(batch: Batch) -> Batch:
    """The batch without its reading: every token of its spans counts again."""
    if batch.reading is None:
        return batch
    return replace(batch, scored=batch.reading.spans >= 0, reading=None)


class _Row(NamedTuple):
    """One sequence: the teacher's ids, and pairs (student's position, teacher's position) behind the same text."""

    ids: list[int]
    pairs: list[tuple[int, int]]


class Reader:
    """Reads a causal student's sequences with its teacher's tokenizer.

    Raises:
        Impossible: one of the two tokenizers does not tell which characters its tokens stand for.
    """

    def __init__(self, student: Loaded, teacher: Loaded) -> None:
        refuse_without_offsets(student.tokenizer, "student")
        refuse_without_offsets(teacher.tokenizer, "teacher")
        self._student, self._teacher = student.tokenizer, teacher.tokenizer
        self._before = list(frame_for(teacher.tokenizer, "causal").before)
        self._special = frozenset(student.tokenizer.all_special_ids)
        self._context = context_of(teacher.model)
        self._padding = padding_token(teacher.model)

    def read(self, batch: Batch) -> Batch:
        """The batch with the teacher's reading of it; only places that both reach count as compared."""
        rows = [self._row(ids[kept].tolist()) for ids, kept in zip(batch.ids, batch.attended, strict=True)]
        places, spans = torch.full_like(batch.ids, -1), torch.full_like(batch.ids, -1)
        stops = torch.full_like(batch.ids, -1)
        for n, row in enumerate(rows):
            counted = batch.scored[n].tolist()
            for number, ((start, at), (end, until)) in enumerate(pairwise(row.pairs)):
                if all(counted[start:end]):
                    places[n, start], stops[n, start], spans[n, start:end] = at, until, number
        ids = [torch.tensor(row.ids, dtype=torch.int64) for row in rows]
        attended = pad([torch.ones(len(row.ids), dtype=torch.bool) for row in rows], False)
        reading = Reading(pad(ids, self._padding), attended, places, stops, spans)
        return replace(batch, scored=places >= 0, reading=reading)

    def _row(self, ids: list[int]) -> _Row:
        first, last = self._body(ids)
        body = ids[first:last]
        text = self._decoded(body)
        own, theirs = cut(self._student, text), cut(self._teacher, text)
        known = {found: first + given for given, found in same_tokens(body, own.ids)}
        before = len(self._before)
        pairs = [(known[i], before + j) for i, j in common_ends(own.offsets, theirs.offsets) if i in known]
        if first and before and known.get(0) == first:
            pairs.insert(0, (first - 1, before - 1))  # both stand behind a start token
        whole = [*self._before, *theirs.ids] or [self._padding]
        limit = self._context or len(whole)
        return _Row(whole[:limit], [(i, j) for i, j in pairs if j < limit])

    def _body(self, ids: Sequence[int]) -> tuple[int, int]:
        """Where the text begins and ends between special tokens."""
        first, last = 0, len(ids)
        while first < last and ids[first] in self._special:
            first += 1
        while last > first and ids[last - 1] in self._special:
            last -= 1
        return first, last

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._student.decode(list(ids), clean_up_tokenization_spaces=False)
        return text.strip(UNREADABLE)


@dataclass(frozen=True)
class ReadExamples:
    """Examples whose batches carry the teacher's reading."""

    examples: Examples
    reader: Reader

    @property
    def count(self) -> int | None:
        return self.examples.count

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        return self.reader.read(self.examples.take(indices, seed))


@dataclass(frozen=True)
class Retokenised:
    """Examples in the teacher's tokens, for prompts that it continues."""

    examples: Examples
    reader: Reader

    @property
    def count(self) -> int | None:
        return self.examples.count

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        reading = self.reader.read(self.examples.take(indices, seed)).reading
        assert reading is not None
        everything: Tensor = reading.attended
        return Batch(reading.ids, everything, reading.ids, everything, everything, torch.tensor(indices))
