"""Whether a teacher and a student mean the same by their classes."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import RetortError


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
