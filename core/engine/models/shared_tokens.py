"""The tokens a teacher and a student have in common, by their text, and the number each of the two gives them.

Models of one family share a tokenizer and still have outputs of different size: the matrices are filled up to a round
number of rows that no text ever uses. A student whose vocabulary was trimmed numbers its tokens anew. In both cases
every token the student reads is one of the teacher's as well. So the teacher reads the student's tokens under its own
numbers, and the two are compared over the tokens both have: what fills up a matrix is in no loss and in no store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.base.errors import Impossible
from core.engine.models.probes import PROBES

_WAY_OUT = (
    "Use the loss span_likelihood, which compares by the text, let the student learn the teacher's texts "
    "('teacher_texts' with the loss cross_entropy alone), or choose a student whose tokens the teacher has too."
)
_NONE = -1


@dataclass(frozen=True)
class SharedTokens:
    """Attributes:
    student, teacher: `(tokens,)` the numbers the two models give to each shared token; the student's rise.
    rows: tokens the student predicts, those that fill up its matrix included.
    """

    student: Tensor
    teacher: Tensor
    rows: int

    @property
    def count(self) -> int:
        """How many tokens are compared."""
        return int(self.student.numel())

    @property
    def digest(self) -> str:
        """Identifies the two lists."""
        both = torch.stack((self.student, self.teacher))
        return hashlib.sha256(both.numpy().tobytes()).hexdigest()[:24]

    @property
    def unknown(self) -> list[int]:
        """Numbers the student can give that stand for no token of the teacher's."""
        return torch.where(self._teachers() == _NONE)[0].tolist()

    def read(self, ids: Tensor) -> Tensor:
        """The teacher's numbers for the student's, any shape."""
        return self._teachers().to(ids.device)[ids]

    def places(self, targets: Tensor) -> Tensor:
        """The place of the student's numbers among the shared tokens, any shape; negative ones stay."""
        places = torch.full((self.rows,), _NONE)
        places[self.student] = torch.arange(self.count)
        return torch.where(targets < 0, targets, places.to(targets.device)[targets.clamp_min(0)])

    def of_student(self, logits: Tensor) -> Tensor:
        """`(n, the student's tokens)` to `(n, shared tokens)`."""
        return _columns(logits, self.student)

    def of_teacher(self, logits: Tensor) -> Tensor:
        """`(n, the teacher's tokens)` to `(n, shared tokens)`, in the same order."""
        return _columns(logits, self.teacher)

    def _teachers(self) -> Tensor:
        found = torch.full((self.rows,), _NONE)
        found[self.student] = self.teacher
        return found


def shared_tokens(teacher: Any, student: Any, teacher_model: Any, student_model: Any) -> SharedTokens | None:
    """How two models are compared token by token; None where their numbers mean the same throughout.

    Args:
        teacher, student: their tokenizers.
        teacher_model, student_model: their models, for the number of tokens each can predict.

    Raises:
        Impossible: the student has tokens the teacher lacks, or the two cut or join texts by different rules.
    """
    rows_t, rows_s = (int(m.config.get_text_config().vocab_size) for m in (teacher_model, student_model))
    numbers_t, numbers_s = teacher.get_vocab(), student.get_vocab()
    if missing := [t for t in numbers_s if t not in numbers_t]:
        missing.sort(key=lambda t: numbers_s[t])
        shown = ", ".join(repr(t) for t in missing[:3])
        raise Impossible(
            f"The teacher and the student use different tokens: {len(missing):,} of the student's {len(numbers_s):,} "
            f"are none of the teacher's, such as {shown}.",
            _WAY_OUT,
        )
    pairs = sorted((number, numbers_t[token]) for token, number in numbers_s.items())
    ours, theirs = (torch.tensor(numbers) for numbers in zip(*pairs, strict=True))
    shared = SharedTokens(ours, theirs, rows_s)
    _refuse_other_rules(teacher, student, shared, same=numbers_t == numbers_s)
    return None if numbers_t == numbers_s and rows_t == rows_s else shared


def _refuse_other_rules(teacher: Any, student: Any, shared: SharedTokens, same: bool) -> None:
    """Probe texts: the same numbers where the vocabularies are the same, the same text behind them where not."""
    for text in PROBES:
        ids_t, ids_s = (t(text, add_special_tokens=False)["input_ids"] for t in (teacher, student))
        if same and ids_t != ids_s:
            both = zip(ids_t, ids_s, strict=False)
            at = next((i for i, (a, b) in enumerate(both) if a != b), min(len(ids_t), len(ids_s)))
            raise Impossible(
                f"The teacher and the student split the text {text[:40]!r} differently: from token {at + 1} on the "
                f"teacher reads {ids_t[at : at + 3]} and the student {ids_s[at : at + 3]}.",
                _WAY_OUT,
            )
        read = shared.read(torch.tensor(ids_s, dtype=torch.int64)).tolist()
        if not same and teacher.decode(read) != student.decode(ids_s):
            raise Impossible(
                f"The same tokens stand for another text with the teacher than with the student: of {text[:40]!r} the "
                f"teacher reads {teacher.decode(read)[:40]!r}.",
                _WAY_OUT,
            )


def _columns(logits: Tensor, numbers: Tensor) -> Tensor:
    count = numbers.numel()
    if int(numbers[-1]) == count - 1 and torch.equal(numbers, torch.arange(count)):
        return logits[:, :count]  # no copy
    return logits.index_select(1, numbers.to(logits.device))
