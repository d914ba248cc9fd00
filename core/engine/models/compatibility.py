"""Whether a teacher and a student speak the same language: the same token ids, the same class names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.engine.models.probes import PROBES

_WAY_OUT = "Choose a student with the teacher's own tokenizer, or let the student learn the teacher's texts instead."


def check_tokenizers(teacher: Any, student: Any, teacher_model: Any, student_model: Any) -> None:
    """Refuses two models whose token ids do not mean the same.

    Equal sizes are not enough: the ids of probe texts and of every token are compared.

    Args:
        teacher, student: their tokenizers.
        teacher_model, student_model: their models, for the number of tokens each can predict.
    Raises:
        RetortError: says which tokens, texts or sizes differ.
    """
    rows_t, rows_s = (int(m.config.get_text_config().vocab_size) for m in (teacher_model, student_model))
    if rows_t != rows_s:
        raise Impossible(f"The teacher predicts {rows_t:,} tokens and the student {rows_s:,}.", _WAY_OUT)
    if difference := _tokens_that_differ(teacher.get_vocab(), student.get_vocab()):
        raise Impossible(f"The teacher and the student use different tokens: {difference}.", _WAY_OUT)
    for text in PROBES:
        ids_t, ids_s = (t(text, add_special_tokens=False)["input_ids"] for t in (teacher, student))
        if ids_t != ids_s:
            shared = zip(ids_t, ids_s, strict=False)
            at = next((i for i, (a, b) in enumerate(shared) if a != b), min(len(ids_t), len(ids_s)))
            raise Impossible(
                f"The teacher and the student split the text {text[:40]!r} differently: from token {at + 1} on the "
                f"teacher reads {ids_t[at : at + 3]} and the student {ids_s[at : at + 3]}.",
                _WAY_OUT,
            )


def _tokens_that_differ(teacher: dict[str, int], student: dict[str, int]) -> str:
    """Up to three tokens with different ids, in words; '' where all are equal."""
    if teacher == student:
        return ""
    differ = [t for t in teacher.keys() | student.keys() if teacher.get(t) != student.get(t)]
    differ.sort(key=lambda t: (teacher.get(t, len(teacher)), t))

    def number(vocabulary: dict[str, int], token: str) -> str:
        return str(vocabulary[token]) if token in vocabulary else "missing"

    shown = [f"{t!r} is {number(teacher, t)} there and {number(student, t)} here" for t in differ[:3]]
    return f"{len(differ):,} differ, such as " + "; ".join(shown)


def label_order(teacher: PreTrainedModel, student: PreTrainedModel) -> Tensor:
    """For each class of the student, the teacher's class of the same name: `(classes,)` indices.

    Letter case does not count. `teacher_logits[:, label_order(...)]` are then in the student's order.

    Raises:
        RetortError: the names are not the same set, or are not names at all while the order may differ.
    """
    names_t, names_s = ([name.lower() for name in class_names(model)] for model in (teacher, student))
    if sorted(names_t) != sorted(names_s):
        only_t, only_s = sorted(set(names_t) - set(names_s)), sorted(set(names_s) - set(names_t))
        raise RetortError(
            f"The classes differ: only the teacher has {only_t[:5]}, only the student has {only_s[:5]}.",
            "Give both models the same label names (id2label in their config).",
        )
    return torch.tensor([names_t.index(name) for name in names_s])


def class_names(model: PreTrainedModel) -> list[str]:
    """A classifier's class names in the order of its logits."""
    names: dict[int, str] = {int(i): str(name) for i, name in (model.config.id2label or {}).items()}
    return [names[i] for i in sorted(names)]
